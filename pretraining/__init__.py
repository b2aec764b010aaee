"""How the shipped formula weights were made, and what they are worth; imports any room but cli, and none imports it."""
