"""Binary networks with contextual dependencies for Keras, from training to the device."""

from larq_bcd import _keras

_keras.settle()
