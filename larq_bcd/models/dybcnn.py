"""DyBCNN: ReActNet with thresholds and activation functions that depend on the image."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.models import papers, reactnet, resnet
from larq_bcd.models.bireal import bireal
from larq_bcd.models.blocks import Activation, Quantizer, Threshold
from larq_bcd.models.network import ImageShape, KerasTensor, PathLike, network

_dybcnn = functools.partial(
    network,
    paper=papers.DYSIGN,
    reconstruction="the paper's equations and code were not at hand; the hyper function, its "
    "size and the static slope are this package's, see `larq_bcd.layers.DynamicThreshold`.",
)


@_dybcnn(
    family=reactnet.reactnet,
    parameters=33_258_772,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=15_742_848,
    top1=71.2,
    reduced=reactnet.REDUCED,
)
def DyBCNNA(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = reactnet.STRIDES,
    blocks: Sequence[int] = reactnet.BLOCKS,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "dysign",
    activation: Activation = "dynamic_rprelu",
    name: str = "dybcnn_a",
) -> tf.keras.Model:
    """DyBCNN on ReActNet-A (DySign, arXiv 2211.02292): thresholds follow the image."""
    return reactnet.reactnet("DyBCNNA", **locals())


@_dybcnn(
    family=bireal,
    parameters=12_522_288,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_599_424,
    top1=67.4,
    reduced=resnet.REDUCED,
)
def DyBCNN18(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = resnet.STRIDES,
    units: Sequence[int] = resnet.UNITS_18,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "dysign",
    activation: Activation = "dynamic_rprelu",
    name: str = "dybcnn_18",
) -> tf.keras.Model:
    """DyBCNN on ReActNet-18 (DySign, arXiv 2211.02292): thresholds follow the image."""
    return bireal("DyBCNN18", **locals())
