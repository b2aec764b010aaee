"""Paths, atomic files, errors, what machine and installation are, and who runs tasks; imports no other room."""
