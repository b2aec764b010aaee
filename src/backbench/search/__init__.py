"""What to try next, when to stop, and who runs trials; imports from export down."""
