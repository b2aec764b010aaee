"""A folder of images to arrays: scan, decode, split, store; and the views that training sees."""
