"""Paths, atomic files, digests, errors, the console, and what machine and installation are; imports no other room."""
