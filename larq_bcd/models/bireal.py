"""Bi-Real Net and ReActNet-18: ResNet with a shortcut around every binary convolution."""

import functools
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.models import _arguments, papers, pytorch, resnet
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    BinaryArguments,
    ImageShape,
    KerasTensor,
    PathLike,
    binary_model,
    network,
)


def bireal(
    network: str,
    *,
    width: float,
    strides: Sequence[int],
    units: Sequence[int],
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """Bi-Real Net: ResNet whose units are one binary convolution each.

    Source: Bi-Real Net (arXiv 1808.00278), figure 3.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights or, for
            `ReActNet18`, to an official PyTorch checkpoint, or `None` for random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of each stage, 1 or 2.
        units: number of units of one convolution of each of the four stages.
        input_quantizer: quantizer of the binary layers' inputs.
        kernel_quantizer: quantizer of their kernels; `None` for the real kernels of the
            first training step.
        pad_values: what a binary convolution sees outside of the image: 0.0 as in the
            papers, or 1.0, which costs less on the device.
        threshold: the thresholds of the signs: `"zero"`; `"static"`, learned;
            `"contextual"`, from the contextual embedding of BCDNet-B; or `"dysign"`, from
            channel statistics.
        activation: what ends a unit: `"rprelu"`, `"dynamic_rprelu"`, or `None` for nothing.
        name: name of the model.

    Returns:
        A functional `tf.keras.Model` of normalized float32 images `(batch, height, width,
        channels)`; its logits `(batch, num_classes)` are float32.

    Raises:
        ImportError: if `weights` is a PyTorch checkpoint and PyTorch is not installed.
        UserError: if an argument is out of its range.
    """

    def features(x, binarization: Binarization):
        steps = _arguments.stage_strides(strides, stages=6)
        x = resnet.stem(x, width, steps)
        for unit in resnet.units_of(x.shape[-1], units, steps[2:]):
            x = resnet.binary_unit(x, unit, binarization)
        return x

    return binary_model(network, features, **arguments)


_bireal = functools.partial(network, bireal, reduced=resnet.REDUCED)


@_bireal(
    paper=papers.BIREAL,
    parameters=11_689_512,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=56.4,
)
def BiRealNet18(
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
    kernel_quantizer: Quantizer = "magnitude_aware_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "zero",
    activation: Activation = None,
    name: str = "bi_real_net_18",
) -> tf.keras.Model:
    """Bi-Real Net 18 (arXiv 1808.00278), on ResNet-18.

    No thresholds and no activation functions are learned.
    """
    return bireal("BiRealNet18", **locals())


@_bireal(
    paper=papers.BIREAL,
    parameters=21_797_672,
    binary_parameters=21_086_208,
    bops=3_525_967_872,
    flops=137_793_536,
    top1=62.2,
)
def BiRealNet34(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = resnet.STRIDES,
    units: Sequence[int] = resnet.UNITS_34,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "magnitude_aware_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "zero",
    activation: Activation = None,
    name: str = "bi_real_net_34",
) -> tf.keras.Model:
    """Bi-Real Net 34 (arXiv 1808.00278), on ResNet-34."""
    return bireal("BiRealNet34", **locals())


@_bireal(
    paper=papers.REACTNET,
    official=pytorch.RESNET_18,
    parameters=11_704_424,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=65.5,
)
def ReActNet18(
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
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_18",
) -> tf.keras.Model:
    """ReActNet-18: Bi-Real Net 18 with learned thresholds and activation functions.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """
    return bireal("ReActNet18", **locals())
