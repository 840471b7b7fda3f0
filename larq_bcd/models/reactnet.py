"""ReActNet: MobileNetV1 with binary convolutions, learned thresholds and activations."""

import functools
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.models import _arguments, papers, pytorch
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    BinaryArguments,
    ImageShape,
    KerasTensor,
    PathLike,
    binary_model,
    network,
)

BLOCKS = (1, 2, 2, 6, 2)
STRIDES = (2, 1, 2, 2, 2, 2)
REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 1, 2, 2),
    "blocks": (1, 1, 1, 2, 1),
}


def reactnet(
    network: str,
    *,
    width: float,
    strides: Sequence[int],
    blocks: Sequence[int],
    real_groups: int | None = None,
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """ReActNet: the binary MobileNetV1.

    The 1x1 convolutions that double the channels are binary, or, in ReActNet-B and -C, real
    in `real_groups` groups.

    Source: ReActNet (arXiv 2003.03488), sections 4 and 5.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights or, for
            `ReActNetA`, to an official PyTorch checkpoint, or `None` for random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of each stage, 1 or 2.
        blocks: number of blocks of each of the five stages.
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
        channels = _arguments.scaled_channels(32, width)
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, channels, steps[0])
        depths = _arguments.depths("blocks", blocks, 5)
        stages = parts.stages(x.shape[-1], steps[1:], depths)
        return parts.react_blocks(x, stages, binarization, real_groups)

    return binary_model(network, features, **arguments)


_reactnet = functools.partial(network, reactnet, paper=papers.REACTNET, reduced=REDUCED)
_REAL_INPUT = (
    "that the real convolutions see the activations and not their signs is this package's "
    "choice."
)


@_reactnet(
    official=pytorch.MOBILENET,
    parameters=29_343_592,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=11_862_016,
    top1=69.4,
)
def ReActNetA(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = STRIDES,
    blocks: Sequence[int] = BLOCKS,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_a",
) -> tf.keras.Model:
    """ReActNet-A (ReActNet, arXiv 2003.03488, section 4): everything inside is binary."""
    return reactnet("ReActNetA", **locals())


@_reactnet(
    parameters=28_818_824,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=43_974_656,
    top1=70.1,
    reconstruction=_REAL_INPUT,
)
def ReActNetB(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = STRIDES,
    blocks: Sequence[int] = BLOCKS,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_b",
) -> tf.keras.Model:
    """ReActNet-B: ReActNet-A whose channel-doubling 1x1 convolutions are real, in 4 groups.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """
    return reactnet("ReActNetB", real_groups=4, **locals())


@_reactnet(
    parameters=29_342_600,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=140_312_576,
    top1=71.4,
    reconstruction=_REAL_INPUT,
)
def ReActNetC(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = STRIDES,
    blocks: Sequence[int] = BLOCKS,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_c",
) -> tf.keras.Model:
    """ReActNet-C: ReActNet-A whose channel-doubling 1x1 convolutions are real.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """
    return reactnet("ReActNetC", real_groups=1, **locals())
