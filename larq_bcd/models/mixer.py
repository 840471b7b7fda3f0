"""The pilot studies of BCDNet: binary MLPs over the positions of an image."""

import functools
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.models import _arguments, papers, resnet
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

_pilot_study = functools.partial(
    network,
    paper=papers.BCDNET,
    reconstruction="the paper says what is binary and the expansion of the MLPs; batch "
    "normalization, the residual unit around every binary product and its shortcuts are this "
    "package's choice.",
)


def mixer(
    network: str,
    *,
    width: float,
    patch: int,
    layers: int,
    token_expansion: int,
    expansion: int,
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """MLP-Mixer with binary MLPs.

    Source: BCDNet (arXiv 2209.01404), section 3.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            are fixed, because the positions are the channels of an MLP.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights, or `None` for
            random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        width: factor of the channels.
        patch: height and width of the patches, which become the positions.
        layers: number of blocks of a token-mixing and a channel-mixing MLP.
        token_expansion: hidden positions per position of the token-mixing MLP.
        expansion: hidden channels per channel of the channel-mixing MLP.
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
        channels = _arguments.scaled_channels(512, width)
        x = parts.patches(x, channels, _arguments.positive("patch", patch))
        for layer in range(1, _arguments.positive("layers", layers) + 1):
            name = f"block{layer}"
            x = parts.mixer_block(x, token_expansion, expansion, binarization, name)
        return parts.batch_norm(x, "norm")

    return binary_model(network, features, **arguments)


_REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.0625,
    "patch": 4,
    "layers": 2,
}


@_pilot_study(
    family=mixer,
    parameters=20_314_024,
    binary_parameters=19_235_840,
    bops=4_547_149_824,
    flops=77_582_336,
    reduced=_REDUCED,
)
def BinaryMixerS(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    patch: int = 16,
    layers: int = 8,
    token_expansion: int = 4,
    expansion: int = 4,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "binary_mixer_s",
) -> tf.keras.Model:
    """MLP-Mixer-S/16 with binary MLPs, of the pilot study of BCDNet (arXiv 2209.01404)."""
    return mixer("BinaryMixerS", **locals())


def resnet_mlp(
    network: str,
    *,
    width: float,
    strides: Sequence[int],
    units: Sequence[int],
    token_expansion: int,
    expansion: int,
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """ReActNet-18 whose last three convolutions are binary Mixer blocks.

    Source: BCDNet (arXiv 2209.01404), section 3.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            are fixed, because the positions are the channels of an MLP.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights, or `None` for
            random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of each stage, 1 or 2.
        units: number of units of one convolution of each of the four stages.
        token_expansion: hidden positions per position of the token-mixing MLP.
        expansion: hidden channels per channel of the channel-mixing MLP.
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
        x = resnet.stem(x, width, steps)
        for unit in resnet.units_of(x.shape[-1], units, steps[2:]):
            if unit.stage < 4 or unit.changes:
                x = resnet.binary_unit(x, unit, binarization)
                continue
            x = parts.mixer_block(x, token_expansion, expansion, binarization, unit.name)
        return x

    return binary_model(network, features, **arguments)


@_pilot_study(
    family=resnet_mlp,
    parameters=11_016_890,
    binary_parameters=10_256_664,
    bops=1_667_248_128,
    flops=137_793_536,
    reduced=resnet.REDUCED,
)
def ResNetMLP(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    strides: Sequence[int] = resnet.STRIDES,
    units: Sequence[int] = resnet.UNITS_18,
    token_expansion: int = 4,
    expansion: int = 4,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "resnet_mlp",
) -> tf.keras.Model:
    """ResNet-MLP of the pilot study of BCDNet (arXiv 2209.01404)."""
    return resnet_mlp("ResNetMLP", **locals())
