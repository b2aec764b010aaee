"""The command line, the doctor, and what `make` starts; imports any room."""
