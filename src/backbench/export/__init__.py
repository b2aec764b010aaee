"""The exported model: images to probabilities, from a cell's folder of models; imports from adaptation down."""
