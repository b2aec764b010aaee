"""Prepared images and the views that training sees, and how arrays and tables are written; imports config and below."""
