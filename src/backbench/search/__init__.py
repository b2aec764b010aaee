"""What to try next, and when to stop trying it; imports from export down."""
