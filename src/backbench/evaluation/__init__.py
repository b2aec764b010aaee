"""Numbers from predictions and features, and the pixel baseline; imports from backbones down."""
