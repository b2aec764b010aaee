"""The page, its pictures, and what DVC shows; imports from comparison down."""
