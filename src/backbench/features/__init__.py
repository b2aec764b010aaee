"""Activations at the freeze boundary, and their store; imports from results down."""
