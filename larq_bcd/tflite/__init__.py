"""The `.tflite` file itself, without Keras."""
