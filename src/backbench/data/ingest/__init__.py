"""A folder of images to arrays: list, check, decode, split, store; imports config, data.arrays and below."""
