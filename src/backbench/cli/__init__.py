"""The command line, what it lists, the doctor, and what `make` starts; imports any room."""
