"""Binary networks as functional Keras models, in the manner of `tf.keras.applications`."""

from larq_bcd.models.bcdnet import BCDNetA, BCDNetB
from larq_bcd.models.reactnet import ReActNetA
from larq_bcd.models.registry import ModelInfo, get_model, list_models, model_info
from larq_bcd.models.weights import copy_weights, with_training_heads

__all__ = [
    "BCDNetA",
    "BCDNetB",
    "ModelInfo",
    "ReActNetA",
    "copy_weights",
    "get_model",
    "list_models",
    "model_info",
    "with_training_heads",
]
