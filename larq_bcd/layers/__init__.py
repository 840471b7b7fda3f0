"""Keras layers of binary networks. All take and return NHWC tensors."""

from larq_bcd.layers.batch_normalization import BatchNormalization
from larq_bcd.layers.dynamic_threshold import DynamicThreshold
from larq_bcd.layers.dynamic_threshold_quant_conv2d import DynamicThresholdQuantConv2D
from larq_bcd.layers.dysign import DySign
from larq_bcd.layers.group_average import GroupAverage
from larq_bcd.layers.information_recoupling import InformationRecoupling
from larq_bcd.layers.learnable_bias import LearnableBias
from larq_bcd.layers.max_pooling2d import MaxPooling2D
from larq_bcd.layers.position_embedding import PositionEmbedding
from larq_bcd.layers.quant_attention import QuantAttention
from larq_bcd.layers.quant_conv2d import QuantConv2D
from larq_bcd.layers.quant_shift_mlp import QuantShiftMLP
from larq_bcd.layers.rsign import RSign
from larq_bcd.layers.sequence_pooling import SequencePooling
from larq_bcd.layers.spatial_shift import SpatialShift

__all__ = [
    "BatchNormalization",
    "DySign",
    "DynamicThreshold",
    "DynamicThresholdQuantConv2D",
    "GroupAverage",
    "InformationRecoupling",
    "LearnableBias",
    "MaxPooling2D",
    "PositionEmbedding",
    "QuantAttention",
    "QuantConv2D",
    "QuantShiftMLP",
    "RSign",
    "SequencePooling",
    "SpatialShift",
]


def __dir__() -> list[str]:
    return __all__
