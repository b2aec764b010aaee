"""What a cell leaves behind, as values and as files, and what it took to compute; imports from evaluation down."""
