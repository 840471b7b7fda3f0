"""Compact convolutional transformers with everything binary but the first and last layer."""

import functools

import tensorflow as tf

from larq_bcd.data.preprocessing import CIFAR10_MEAN, CIFAR10_STD, Preprocessing
from larq_bcd.layers import MaxPooling2D, PositionEmbedding, QuantAttention, SequencePooling
from larq_bcd.models import _arguments, blocks, papers
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    OWN,
    ImageShape,
    KerasTensor,
    PathLike,
    Pooling,
    build_model,
    variant,
)
from larq_bcd.models.registry import ModelInfo


def cct(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = OWN,
    *,
    pooling: Pooling = None,
    channels: int = OWN,
    layers: int = OWN,
    heads: int = OWN,
    expansion: int = OWN,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = OWN,
    activation: Activation = "rprelu",
    name: str = OWN,
) -> tf.keras.Model:
    """A binary compact convolutional transformer, CCT.

    Convolutions make the tokens: one, or, of CCT-14, two, of 64 filters and of `channels`.

    Source: DyBinaryCCT (DySign, arXiv 2211.02292) on CCT (arXiv 2104.05704).

    Args:
        channels: number of channels of a token, divisible by the heads.
        layers: number of blocks of attention and MLP.
        heads: number of heads of the attention.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        x = _tokenizer(x, channels, binarization, **info.settings)
        x = PositionEmbedding(name="positions")(x)
        for layer in range(1, _arguments.positive("layers", layers) + 1):
            x = attention_block(x, heads, binarization, f"block{layer}")
            x = blocks.mlp(x, expansion, binarization, f"block{layer}_mlp")
        return blocks.batch_norm(x, "norm")

    return _build(
        info,
        features,
        input_shape,
        input_tensor,
        weights,
        include_top,
        num_classes,
        name,
        pooling,
    )


def _classifier(x, num_classes: int, names: tuple[str, ...]):
    return blocks.heads(SequencePooling(name="pool")(x), num_classes, names)


_build = functools.partial(build_model, classifier=_classifier)
_FACTS: dict = {
    "paper": papers.DYSIGN,
    "reconstruction": "the paper's equations and code were not at hand. This package's choices "
    "are batch normalization in place of layer normalization, a residual unit around every "
    "binary product, the binary probabilities of `larq_bcd.layers.QuantAttention`, and batch "
    "normalization behind the tokenizer's binary convolution.",
    "float_products": (r"block\d+_attention",),
}
_REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "channels": 16,
    "layers": 2,
    "heads": 2,
}
_CCT_14: dict = {
    **_FACTS,
    "settings": {"kernel_size": 7, "tokenizer": (64,)},
    "reduced": {**_REDUCED, "input_shape": (64, 64, 3)},
}
_CCT_7: dict = {
    **_FACTS,
    "settings": {"kernel_size": 3, "tokenizer": ()},
    "input_shape": (32, 32, 3),
    "num_classes": 10,
    "preprocessing": Preprocessing((32, 32), CIFAR10_MEAN, CIFAR10_STD, resize=None),
    "reduced": _REDUCED,
}


@variant(
    cct,
    **_CCT_14,
    parameters=22_593_910,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=118_548_480,
)
def BinaryCCT14(
    num_classes: int = 1000,
    *,
    channels: int = 384,
    layers: int = 14,
    heads: int = 6,
    expansion: int = 3,
    threshold: Threshold = "static",
    name: str = "binary_cct_14",
):
    """Binary CCT-14/7x2 with static thresholds, the baseline of `DyBinaryCCT14`."""


@variant(
    cct,
    **_CCT_14,
    parameters=31_435_166,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=127_323_136,
    top1=56.1,
)
def DyBinaryCCT14(
    num_classes: int = 1000,
    *,
    channels: int = 384,
    layers: int = 14,
    heads: int = 6,
    expansion: int = 3,
    threshold: Threshold = "dysign",
    name: str = "dy_binary_cct_14",
):
    """DyBinaryCCT at CCT-14/7x2 (DySign, arXiv 2211.02292): thresholds follow the image."""


@variant(
    cct,
    **_CCT_7,
    parameters=3_826_449,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=7_211_520,
)
def BinaryCCT7(
    num_classes: int = 10,
    *,
    channels: int = 256,
    layers: int = 7,
    heads: int = 4,
    expansion: int = 2,
    threshold: Threshold = "static",
    name: str = "binary_cct_7",
):
    """Binary CCT-7/3x1 for images of 32x32: static thresholds."""


@variant(
    cct,
    **_CCT_7,
    parameters=5_222_865,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=8_587_776,
)
def DyBinaryCCT7(
    num_classes: int = 10,
    *,
    channels: int = 256,
    layers: int = 7,
    heads: int = 4,
    expansion: int = 2,
    threshold: Threshold = "dysign",
    name: str = "dy_binary_cct_7",
):
    """DyBinaryCCT at CCT-7/3x1, for images of 32x32: thresholds follow the image."""


def _tokenizer(x, channels: int, binarization: Binarization, kernel_size: int, tokenizer):
    """Convolutions, each with ReLU and max-pooling: the first real, the others binary.

    Args:
        x: NHWC tensor.
        channels: filters of the last.
        binarization: how the others are binary.
        kernel_size: of each.
        tokenizer: filters of those before the last.
    """
    stride = max(1, kernel_size // 2 - 1)
    for i, filters in enumerate((*tokenizer, channels), 1):
        name = f"tokenizer{i}"
        if i == 1:
            x = blocks.real_conv(x, filters, kernel_size, stride, f"{name}_conv")
        else:
            # Of this size and stride, the engine's zeros cannot be the same on both sides.
            x = blocks.binary_conv(
                x, filters, kernel_size, stride, binarization, name, padding="same"
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
