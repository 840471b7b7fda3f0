"""DyBCNN: ReActNet with thresholds and activation functions that depend on the image."""

from larq_bcd.models import bireal, papers, reactnet, resnet
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

_BINARIZATION = Binarization(threshold="dysign", activation="dynamic_rprelu")
_RECONSTRUCTION = (
    "the paper's equations and code were not at hand; the hyper function, its size and the "
    "static slope are this package's, see `larq_bcd.layers.DynamicThreshold`."
)


@network(
    "dybcnn_a",
    paper=papers.DYSIGN,
    binarization=_BINARIZATION,
    parameters=33_258_772,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=15_742_848,
    top1=71.2,
    reconstruction=_RECONSTRUCTION,
    reduced=reactnet.REDUCED,
)
def DyBCNNA(x, binarization, *, width=1.0, strides=reactnet.STRIDES, blocks=reactnet.BLOCKS):
    """DyBCNN on ReActNet-A: its thresholds and biases follow the image."""
    return reactnet.features(x, binarization, width, strides, blocks)


@network(
    "dybcnn_18",
    paper=papers.DYSIGN,
    binarization=_BINARIZATION,
    parameters=12_522_288,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_599_424,
    top1=67.4,
    reconstruction=_RECONSTRUCTION,
    reduced=resnet.REDUCED,
)
def DyBCNN18(x, binarization, *, width=1.0, strides=resnet.STRIDES, units=resnet.UNITS_18):
    """DyBCNN on ReActNet-18: its thresholds and biases follow the image."""
    return bireal.features(x, binarization, width, strides, units)
