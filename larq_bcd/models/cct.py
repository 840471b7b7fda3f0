"""Compact convolutional transformers with everything binary but the first and last layer."""

import functools

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.data.preprocessing import CIFAR10_MEAN, CIFAR10_STD, Preprocessing
from larq_bcd.layers import MaxPooling2D, PositionEmbedding, QuantAttention, SequencePooling
from larq_bcd.models import _arguments, blocks, papers
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    BinaryArguments,
    ImageShape,
    KerasTensor,
    PathLike,
    binary_model,
    network,
)

_RECONSTRUCTION = (
    "the paper's equations and code were not at hand. This package's choices are batch "
    "normalization in place of layer normalization, a residual unit around every binary "
    "product, the binary probabilities of `larq_bcd.layers.QuantAttention`, and batch "
    "normalization behind the tokenizer's binary convolution."
)


def cct(
    network: str,
    *,
    tokenizer: tuple[int, ...] = (),
    kernel_size: int,
    channels: int,
    layers: int,
    heads: int,
    expansion: int,
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """A binary compact convolutional transformer, CCT.

    Convolutions of `kernel_size` make the tokens: of the filters `tokenizer`, and the last
    one of `channels`.

    Source: DyBinaryCCT (DySign, arXiv 2211.02292) on CCT (arXiv 2104.05704).

    Args:
        input_shape: `(height, width, channels)`, by default that of its data set; height and
            width are fixed, because the positions are learned.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights, or `None` for
            random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        channels: number of channels of a token, divisible by the heads.
        layers: number of blocks of attention and MLP.
        heads: number of heads of the attention.
        expansion: hidden channels per channel of the MLP.
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
        x = _tokenizer(x, kernel_size, (*tokenizer, channels), binarization)
        x = PositionEmbedding(name="positions")(x)
        for layer in range(1, _arguments.positive("layers", layers) + 1):
            x = attention_block(x, heads, binarization, f"block{layer}")
            x = blocks.mlp(x, expansion, binarization, f"block{layer}_mlp")
        return blocks.batch_norm(x, "norm")

    return binary_model(network, features, _classifier, **arguments)


def _classifier(x, num_classes: int, names: tuple[str, ...]):
    return blocks.heads(SequencePooling(name="pool")(x), num_classes, names)


_cct = functools.partial(
    network,
    cct,
    paper=papers.DYSIGN,
    reconstruction=_RECONSTRUCTION,
    float_products=(r"block\d+_attention",),
)
_REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "channels": 16,
    "layers": 2,
    "heads": 2,
}
_cct14 = functools.partial(_cct, reduced={**_REDUCED, "input_shape": (64, 64, 3)})
_cct7 = functools.partial(
    _cct,
    input_shape=(32, 32, 3),
    num_classes=10,
    preprocessing=Preprocessing((32, 32), CIFAR10_MEAN, CIFAR10_STD, resize=None),
    reduced=_REDUCED,
)


@_cct14(
    parameters=22_593_910,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=118_548_480,
)
def BinaryCCT14(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    channels: int = 384,
    layers: int = 14,
    heads: int = 6,
    expansion: int = 3,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "binary_cct_14",
) -> tf.keras.Model:
    """Binary CCT-14/7x2 with static thresholds, the baseline of `DyBinaryCCT14`."""
    return cct("BinaryCCT14", kernel_size=7, tokenizer=(64,), **locals())


@_cct14(
    parameters=31_435_166,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=127_323_136,
    top1=56.1,
)
def DyBinaryCCT14(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    channels: int = 384,
    layers: int = 14,
    heads: int = 6,
    expansion: int = 3,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "dysign",
    activation: Activation = "rprelu",
    name: str = "dy_binary_cct_14",
) -> tf.keras.Model:
    """DyBinaryCCT at CCT-14/7x2 (DySign, arXiv 2211.02292): thresholds follow the image."""
    return cct("DyBinaryCCT14", kernel_size=7, tokenizer=(64,), **locals())


@_cct7(
    parameters=3_826_449,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=7_211_520,
)
def BinaryCCT7(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    *,
    channels: int = 256,
    layers: int = 7,
    heads: int = 4,
    expansion: int = 2,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "binary_cct_7",
) -> tf.keras.Model:
    """Binary CCT-7/3x1 for images of 32x32: static thresholds."""
    return cct("BinaryCCT7", kernel_size=3, **locals())


@_cct7(
    parameters=5_222_865,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=8_587_776,
)
def DyBinaryCCT7(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    *,
    channels: int = 256,
    layers: int = 7,
    heads: int = 4,
    expansion: int = 2,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "dysign",
    activation: Activation = "rprelu",
    name: str = "dy_binary_cct_7",
) -> tf.keras.Model:
    """DyBinaryCCT at CCT-7/3x1, for images of 32x32: thresholds follow the image."""
    return cct("DyBinaryCCT7", kernel_size=3, **locals())


def _tokenizer(x, kernel_size: int, filters: tuple[int, ...], binarization: Binarization):
    """Convolutions, each with ReLU and max-pooling: the first real, the others binary."""
    stride = max(1, kernel_size // 2 - 1)
    for i, channels in enumerate(filters, 1):
        name = f"tokenizer{i}"
        if i == 1:
            x = blocks.real_conv(x, channels, kernel_size, stride, f"{name}_conv")
        else:
            # Of this size and stride, the engine's zeros cannot be the same on both sides.
            x = blocks.binary_conv(
                x, channels, kernel_size, stride, binarization, name, padding="same"
            )
            x = blocks.batch_norm(x, f"{name}_bn")
        x = tf.keras.layers.ReLU(name=f"{name}_relu")(x)
        x = MaxPooling2D(3, 2, "symmetric", name=f"{name}_pool")(x)
    return x


def attention_block(x, heads: int, binarization: Binarization, name: str):
    """Binary self-attention: query, key, value and projection are residual units."""

    def unit(part: str, branch_of=None):
        def branch(x):
            source = x if branch_of is None else branch_of
            return blocks.binary_conv(source, x.shape[-1], 1, 1, binarization, f"{name}_{part}")

        return blocks.residual(x, branch, binarization, f"{name}_{part}")

    signed = [
        blocks.threshold(unit(part), binarization, f"{name}_{part}_sign")
        for part in ("query", "key", "value")
    ]
    attended = QuantAttention(heads, binarization.input_quantizer, name=f"{name}_attention")(
        signed
    )
    return unit("projection", attended)
