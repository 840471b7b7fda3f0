"""BNext: MobileNetV1's stages of binary units that recouple with their real input."""

from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.layers import InformationRecoupling
from larq_bcd.models import _arguments, papers, reactnet
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


def bnext(
    network: str,
    *,
    width: float,
    strides: Sequence[int],
    blocks: Sequence[int],
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """BNext: the stages of ReActNet-A, with a squeeze and an expansion in every unit.

    Every second 3x3 convolution is multiplied with its shortcut ("element-wise attention").
    The gradual binarization of the official training, a temperature on the signs, is not
    part of the network.

    Source: BNext (arXiv 2211.12933), section 3, and its official code.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights, or `None` for
            random weights.
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
        UserError: if an argument is out of its range.
    """

    def features(x, binarization: Binarization):
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, _arguments.scaled_channels(32, width), steps[0])
        depths = _arguments.depths("blocks", blocks, 5)
        for block, (filters, stride) in enumerate(
            parts.stages(x.shape[-1], steps[1:], depths), 1
        ):
            x = _block(x, filters, stride, binarization, block)
        return _prelu(x, "prelu")

    return binary_model(network, features, **arguments)


@network(
    bnext,
    paper=papers.BNEXT,
    parameters=30_853_276,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=13_344_512,
    top1=72.4,
    reduced=reactnet.REDUCED,
)
def BNextT(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = reactnet.STRIDES,
    blocks: Sequence[int] = reactnet.BLOCKS,
    input_quantizer: Quantizer = "wide_sign",
    kernel_quantizer: Quantizer = "wide_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = None,
    name: str = "bnext_t",
) -> tf.keras.Model:
    """BNext-T (BNext, arXiv 2211.12933)."""
    return bnext("BNextT", **locals())


def _block(x, filters: int, stride: int, binarization: Binarization, block: int):
    """A 3x3 unit and one or two 1x1 units; every second 3x3 unit is multiplied."""
    name = f"block{block}"
    x = _unit(x, 3, stride, binarization, f"{name}_3x3", is_multiplied=block % 2 == 0)
    if filters == x.shape[-1]:
        return _unit(x, 1, 1, binarization, f"{name}_1x1")
    halves = [_unit(x, 1, 1, binarization, f"{name}_1x1_{i}") for i in (1, 2)]
    return tf.keras.layers.Concatenate(name=f"{name}_1x1_concatenate")(halves)


def _prelu(x, name: str):
    return tf.keras.layers.PReLU(
        alpha_initializer=tf.keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name
    )(x)


def _unit(x, kernel_size, stride, binarization: Binarization, name, is_multiplied=False):
    """A binary convolution, recoupled with its input, and its shortcut."""
    y = parts.binary_conv(x, x.shape[-1], kernel_size, stride, binarization, name)
    y = _prelu(parts.batch_norm(y, f"{name}_bn1"), f"{name}_prelu")
    source = parts.halved(x, f"{name}_source") if stride == 2 else x
    shortcut = source
    if is_multiplied:
        shortcut = _prelu(x, f"{name}_shortcut_prelu")
        if stride == 2:
            shortcut = parts.halved(shortcut, f"{name}_shortcut")
    y = InformationRecoupling(name=f"{name}_recoupling")([y, source])
    if is_multiplied:
        y = tf.keras.layers.Multiply(name=f"{name}_multiply")([y, shortcut])
    y = parts.batch_norm(y, f"{name}_bn2")
    return tf.keras.layers.Add(name=f"{name}_add")([y, shortcut])
