"""Binary networks with contextual dependencies for Keras, from training to the device."""

from larq_bcd import _keras

_keras.settle()

from larq_bcd import activations, layers, models, quantizers, summary  # noqa: E402  (Keras is settled before they import it)

__all__ = ["activations", "layers", "models", "quantizers", "summary"]
__version__ = "0.1.0"
