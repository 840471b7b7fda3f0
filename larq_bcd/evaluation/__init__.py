"""What a classifier, a Keras model or a file, gets right."""
