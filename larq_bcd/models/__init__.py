"""Binary networks as functional Keras models, in the manner of `tf.keras.applications`."""

from larq_bcd.models.bcdnet import BCDNetA, BCDNetB
from larq_bcd.models.reactnet import ReActNetA
from larq_bcd.models.weights import copy_weights, with_training_heads

__all__ = ["BCDNetA", "BCDNetB", "ReActNetA", "copy_weights", "with_training_heads"]
