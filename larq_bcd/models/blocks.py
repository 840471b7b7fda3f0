"""The parts that the networks are made of, as functions from tensor to tensor.

Every learned or counted layer carries the name of its place: `block3_1x1_conv`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from larq_bcd.activations import RPReLU
from larq_bcd.errors import UserError
from larq_bcd.layers import (
    DynamicThresholdQuantConv2D,
    LearnableBias,
    QuantConv2D,
    QuantShiftMLP,
)

THRESHOLDS = ("zero", "static", "contextual")


@dataclass(frozen=True)
class Binarization:
    """How the binary layers of a network are binary.

    Attributes:
        input_quantizer: quantizer of their inputs.
        kernel_quantizer: quantizer of their kernels; `None` for real kernels, as in the
            first of the two training steps.
        pad_values: what a binary convolution sees outside of the image: 0.0 as in the
            papers, or 1.0, which costs less on the device.
        threshold: the thresholds of their signs: `"zero"`, `"static"`, one learned value for
            each channel, or `"contextual"`, computed from the image.

    Raises:
        UserError: if there is no such threshold.
    """

    input_quantizer: str | None = "approx_sign"
    kernel_quantizer: str | None = "scaled_sign"
    pad_values: float = 0.0
    threshold: str = "static"

    def __post_init__(self):
        if self.threshold not in THRESHOLDS:
            raise UserError(
                f"threshold={self.threshold!r} is not supported: choose one of "
                f"{', '.join(map(repr, THRESHOLDS))}."
            )

    def kernel_arguments(self) -> dict:
        """Returns the quantizers and the initializer of a binary layer's kernel."""
        if self.kernel_quantizer is None:
            # PyTorch's default, U(-1, 1) / sqrt(fan_in), with which step 1 starts.
            initializer = tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        else:
            initializer = tf.keras.initializers.RandomUniform(0.0, 0.001)
        return {
            "input_quantizer": self.input_quantizer,
            "kernel_quantizer": self.kernel_quantizer,
            "kernel_initializer": initializer,
        }


def batch_norm(x, name: str):
    """Batch normalization with the papers' epsilon and momentum."""
    return tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def stem(x, filters: int, stride: int):
    """Real 3x3 convolution and batch normalization, with no activation."""
    x = QuantConv2D(filters, 3, stride, "symmetric", use_bias=False, name="stem_conv")(x)
    return batch_norm(x, "stem_bn")


def threshold(x, binarization: Binarization, name: str):
    """Moves the threshold of the sign that follows to zero."""
    if binarization.threshold == "zero":
        return x
    return LearnableBias(name=f"{name}_threshold")(x)


def binary_conv(
    x, filters: int, kernel_size: int, stride: int, binarization: Binarization, name: str
):
    """Binary convolution behind a threshold."""
    arguments = {
        "filters": filters,
        "kernel_size": kernel_size,
        "strides": stride,
        "padding": "symmetric",
        "pad_values": binarization.pad_values,
        "use_bias": False,
        "name": f"{name}_conv",
        **binarization.kernel_arguments(),
    }
    if binarization.threshold == "contextual":
        return DynamicThresholdQuantConv2D(**arguments)(x)
    x = threshold(x, binarization, name)
    return QuantConv2D(**arguments)(x)


def residual(x, branch: Callable, name: str, shortcut: Callable | None = None):
    """`RPReLU(BN(branch(x)) + shortcut(x))`, the unit of every network here."""
    y = batch_norm(branch(x), f"{name}_bn")
    y = tf.keras.layers.Add(name=f"{name}_add")([y, shortcut(x) if shortcut else x])
    return RPReLU(name=f"{name}_rprelu")(y)


def react_block(x, filters: int, stride: int, binarization: Binarization, name: str):
    """A binary 3x3 and a binary 1x1 unit, MobileNetV1's block in ReActNet.

    With twice the filters of its input, the two 1x1 convolutions of the paper, which see
    the same signs, are one convolution with twice the filters, and the shortcut is
    repeated: the same function of the same parameters.

    Source: ReActNet (arXiv 2003.03488), figure 4.
    """
    channels = x.shape[-1]

    def spatial(x):
        return binary_conv(x, channels, 3, stride, binarization, f"{name}_3x3")

    def pointwise(x):
        return binary_conv(x, filters, 1, 1, binarization, f"{name}_1x1")

    def pooled(x):
        return tf.keras.layers.AveragePooling2D(padding="same", name=f"{name}_3x3_pool")(x)

    def repeated(x):
        return tf.keras.layers.Concatenate(name=f"{name}_1x1_repeat")([x, x])

    x = residual(x, spatial, f"{name}_3x3", pooled if stride == 2 else None)
    return residual(x, pointwise, f"{name}_1x1", repeated if filters > channels else None)


def react_stages(x, strides, extra_blocks, binarization: Binarization):
    """Stages of ReAct blocks: one that doubles the channels, and some that keep them.

    Args:
        x: NHWC tensor.
        strides: stride of the first block of each stage.
        extra_blocks: number of further blocks of each stage.
        binarization: how the convolutions are binary.
    """
    block = 0
    for stride, extra in zip(strides, extra_blocks, strict=True):
        filters = 2 * x.shape[-1]
        for step in (stride, *(1,) * extra):
            block += 1
            x = react_block(x, filters, step, binarization, f"block{block}")
    return x


def bi_mlp(x, ranges: tuple, binarization: Binarization, name: str):
    """BiMLP unit: the long-short-range binary MLP behind a threshold, never contextual.

    Source: BCDNet (arXiv 2209.01404), equation 15 and figure 4.
    """
    short_range, long_range = ranges

    def branch(x):
        x = threshold(x, binarization, name)
        return QuantShiftMLP(
            x.shape[-1],
            short_range,
            long_range,
            name=f"{name}_shift_mlp",
            **binarization.kernel_arguments(),
        )(x)

    return residual(x, branch, name)


def point(x, binarization: Binarization, name: str):
    """The BiMLP unit with its pointwise branch alone."""

    def branch(x):
        x = threshold(x, binarization, name)
        kernel = binarization.kernel_arguments()
        return QuantConv2D(x.shape[-1], 1, use_bias=False, name=f"{name}_conv", **kernel)(x)

    return residual(x, branch, name)


def classifier(x, num_classes: int, names: tuple[str, ...]):
    """Global average pooling and linear classifiers; their mean, where there are several.

    The logits are float32 under every precision policy.
    """
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = [
        tf.keras.layers.Dense(num_classes, dtype="float32", name=name)(x) for name in names
    ]
    if len(outputs) == 1:
        return outputs[0]
    return tf.keras.layers.Average(dtype="float32", name="logits")(outputs)
