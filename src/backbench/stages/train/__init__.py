"""The train stage: the choice of a cell, trained once per seed, and its test predictions."""
