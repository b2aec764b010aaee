"""Images drawn by program, with a class each: the source task of the shipped weights. No photograph, no digit."""
