"""A folder of models, and images to probabilities from it; imports from adaptation down."""
