"""What goes wrong between a model and its flatbuffer."""

from larq_bcd.errors import UserError


class ConversionError(UserError):
    """The model, or what the caller asked for, cannot be converted; says what to do."""


class FloatFallbackError(ConversionError):
    """Layers that train as binary would ship as float."""


class CheckError(ConversionError):
    """The flatbuffer does not compute what the Keras model computes."""
