"""backbench: which pretrained image backbone, adapted how, at which learning rate, for my images?"""
