"""Compact convolutional transformers with everything binary but the first and last layer."""

import functools

import tensorflow as tf

from larq_bcd.data.preprocessing import CIFAR10_MEAN, CIFAR10_STD, Preprocessing
from larq_bcd.layers import MaxPooling2D, PositionEmbedding, QuantAttention, SequencePooling
from larq_bcd.models import _arguments, blocks, papers
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

_RECONSTRUCTION = (
    "the paper's equations and code were not at hand. This package's choices are batch "
    "normalization in place of layer normalization, a residual unit around every binary "
    "product, the binary probabilities of `larq_bcd.layers.QuantAttention`, and batch "
    "normalization behind the tokenizer's binary convolution."
)
_FLOAT_PRODUCTS = (r"block\d+_attention",)
_REDUCED = {"input_shape": (16, 16, 3), "num_classes": 5, "channels": 16, "layers": 2}
_DYNAMIC = Binarization(threshold="dysign")
_CIFAR10 = Preprocessing((32, 32), CIFAR10_MEAN, CIFAR10_STD, resize=None)


def _classifier(x, num_classes: int, names: tuple[str, ...]):
    return blocks.heads(SequencePooling(name="pool")(x), num_classes, names)


_cct = functools.partial(
    network,
    paper=papers.DYSIGN,
    classifier=_classifier,
    reconstruction=_RECONSTRUCTION,
    float_products=_FLOAT_PRODUCTS,
)


@_cct(
    "binary_cct_14",
    binarization=Binarization(),
    parameters=22_593_910,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=118_548_480,
    reduced={**_REDUCED, "input_shape": (64, 64, 3), "heads": 2},
)
def BinaryCCT14(x, binarization, *, channels=384, layers=14, heads=6, expansion=3):
    """Binary CCT-14/7x2: static thresholds, the baseline of `DyBinaryCCT14`."""
    return _features(x, binarization, 7, (64, channels), layers, heads, expansion)


@_cct(
    "dy_binary_cct_14",
    binarization=_DYNAMIC,
    parameters=31_435_166,
    binary_parameters=21_848_064,
    bops=5_403_353_088,
    flops=127_323_136,
    top1=56.1,
    reduced={**_REDUCED, "input_shape": (64, 64, 3), "heads": 2},
)
def DyBinaryCCT14(x, binarization, *, channels=384, layers=14, heads=6, expansion=3):
    """DyBinaryCCT at CCT-14/7x2: every sign has thresholds that follow the image."""
    return _features(x, binarization, 7, (64, channels), layers, heads, expansion)


@_cct(
    "binary_cct_7",
    binarization=Binarization(),
    parameters=3_826_449,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=7_211_520,
    input_shape=(32, 32, 3),
    num_classes=10,
    preprocessing=_CIFAR10,
    reduced={**_REDUCED, "heads": 2},
)
def BinaryCCT7(x, binarization, *, channels=256, layers=7, heads=4, expansion=2):
    """Binary CCT-7/3x1 for images of 32x32: static thresholds."""
    return _features(x, binarization, 3, (channels,), layers, heads, expansion)


@_cct(
    "dy_binary_cct_7",
    binarization=_DYNAMIC,
    parameters=5_222_865,
    binary_parameters=3_670_016,
    bops=1_174_405_120,
    flops=8_587_776,
    input_shape=(32, 32, 3),
    num_classes=10,
    preprocessing=_CIFAR10,
    reduced={**_REDUCED, "heads": 2},
)
def DyBinaryCCT7(x, binarization, *, channels=256, layers=7, heads=4, expansion=2):
    """DyBinaryCCT at CCT-7/3x1 for images of 32x32."""
    return _features(x, binarization, 3, (channels,), layers, heads, expansion)


def _features(x, binarization: Binarization, kernel_size, filters, layers, heads, expansion):
    x = _tokenizer(x, kernel_size, filters, binarization)
    x = PositionEmbedding(name="positions")(x)
    for layer in range(1, _arguments.positive("layers", layers) + 1):
        x = attention_block(x, heads, binarization, f"block{layer}")
        x = blocks.mlp(x, expansion, binarization, f"block{layer}_mlp")
    return blocks.batch_norm(x, "norm")


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
