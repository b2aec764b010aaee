"""Strategies, and fitting them: one candidate after another, or many heads at once; imports from features down."""
