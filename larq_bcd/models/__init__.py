"""Binary networks as functional Keras models, in the manner of `tf.keras.applications`."""

from larq_bcd.models.applications import decode_predictions, preprocess_input
from larq_bcd.models.bcdnet import BCDNetA, BCDNetB
from larq_bcd.models.bcdnet18 import BCDNetA18, BCDNetB18
from larq_bcd.models.bireal import BiRealNet18, BiRealNet34, ReActNet18
from larq_bcd.models.bnext import BNextT
from larq_bcd.models.cct import BinaryCCT7, BinaryCCT14, DyBinaryCCT7, DyBinaryCCT14
from larq_bcd.models.described import describe, description_of
from larq_bcd.models.dybcnn import DyBCNN18, DyBCNNA
from larq_bcd.models.mixer import BinaryMixerS, ResNetMLP
from larq_bcd.models.mobilenet import MobileNetV1
from larq_bcd.models.reactnet import ReActNetA, ReActNetB, ReActNetC
from larq_bcd.models.registry import ModelInfo, get_model, list_models, model_info
from larq_bcd.models.resnet import ResNet18
from larq_bcd.models.stages import FeatureStage, feature_stages
from larq_bcd.models.weights import copy_weights, with_training_heads

__all__ = [
    "BCDNetA",
    "BCDNetA18",
    "BCDNetB",
    "BCDNetB18",
    "BNextT",
    "BiRealNet18",
    "BiRealNet34",
    "BinaryCCT7",
    "BinaryCCT14",
    "BinaryMixerS",
    "DyBCNN18",
    "DyBCNNA",
    "DyBinaryCCT7",
    "DyBinaryCCT14",
    "FeatureStage",
    "MobileNetV1",
    "ModelInfo",
    "ReActNet18",
    "ReActNetA",
    "ReActNetB",
    "ReActNetC",
    "ResNet18",
    "ResNetMLP",
    "copy_weights",
    "decode_predictions",
    "describe",
    "description_of",
    "feature_stages",
    "get_model",
    "list_models",
    "model_info",
    "preprocess_input",
    "with_training_heads",
]


def __dir__() -> list[str]:
    return __all__
