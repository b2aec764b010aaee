"""What decides a number: private parts of Keras, of its backends and of KerasHub."""
