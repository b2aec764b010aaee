"""A folder of images to arrays: list, decode, split, store; and views to train on; imports from config down."""
