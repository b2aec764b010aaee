"""Do the shipped formula weights transfer better than random weights? Data, probes, fine-tuning and intervals."""
