"""How the formula weights are made, and what they are worth; imports any room but cli, and no room imports it."""
