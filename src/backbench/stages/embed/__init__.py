"""Activations of every image at the freeze boundaries of all strategies: one pass per backbone, in ranges of images."""
