"""Measurements of this project beside its alternatives; docs/performance.md shows them."""
