"""The parts that the networks are made of, as functions from tensor to tensor.

Every learned or counted layer carries the name of its position: `block3_1x1_conv`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import tensorflow as tf

from larq_bcd.activations import DynamicRPReLU, RPReLU
from larq_bcd.errors import UserError
from larq_bcd.layers import (
    BatchNormalization,
    DynamicThreshold,
    DynamicThresholdQuantConv2D,
    GroupAverage,
    LearnableBias,
    QuantConv2D,
    QuantShiftMLP,
)
from larq_bcd.layers import _initial_values as initial_values
from larq_bcd.models import _arguments

Quantizer: TypeAlias = str | Callable | None
Threshold: TypeAlias = Literal["zero", "static", "contextual", "dysign"]
Activation: TypeAlias = Literal["rprelu", "dynamic_rprelu", None]


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
            each channel, or, computed from the image, `"contextual"` by BCDNet or
            `"dysign"`.
        activation: what ends a unit: `"rprelu"`, `"dynamic_rprelu"`, or `None` for nothing.

    Raises:
        UserError: if there is no such threshold or activation.
    """

    input_quantizer: Quantizer = "approx_sign"
    kernel_quantizer: Quantizer = "scaled_sign"
    pad_values: float = 0.0
    threshold: Threshold = "static"
    activation: Activation = "rprelu"

    def __post_init__(self):
        for name, kind in {"threshold": Threshold, "activation": Activation}.items():
            choices = get_args(kind)
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name}={getattr(self, name)!r} is not supported: choose one of "
                    f"{', '.join(map(repr, choices))}."
                )

    def kernel_arguments(self) -> dict:
        """Returns the quantizers and the initializer of a binary layer's kernel."""
        if self.kernel_quantizer is None:
            initializer = initial_values.of_kernel()
        else:
            initializer = tf.keras.initializers.RandomUniform(0.0, 0.001)
        return {
            "input_quantizer": self.input_quantizer,
            "kernel_quantizer": self.kernel_quantizer,
            "kernel_initializer": initializer,
        }


def batch_norm(x, name: str):
    """Batch normalization with the papers' epsilon and momentum."""
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def real_conv(x, filters: int, kernel_size: int, stride: int, name: str, groups: int = 1):
    """Real convolution without bias, padded on both sides."""
    return QuantConv2D(
        filters,
        kernel_size,
        stride,
        "symmetric",
        groups=groups,
        use_bias=False,
        kernel_initializer=initial_values.of_kernel(),
        name=name,
    )(x)


def stem(x, filters: int, stride: int, kernel_size: int = 3):
    """Real convolution and batch normalization, with no activation."""
    return batch_norm(real_conv(x, filters, kernel_size, stride, "stem_conv"), "stem_bn")


def patches(x, filters: int, size: int):
    """Real linear embedding of patches, and batch normalization."""
    embedding = QuantConv2D(
        filters,
        size,
        size,
        use_bias=False,
        kernel_initializer=initial_values.of_kernel(),
        name="stem_conv",
    )
    return batch_norm(embedding(x), "stem_bn")


def threshold(x, binarization: Binarization, name: str):
    """Moves the threshold of the sign that follows to zero."""
    if binarization.threshold == "zero":
        return x
    if binarization.threshold == "dysign":
        return DynamicThreshold(name=f"{name}_threshold")(x)
    return LearnableBias(name=f"{name}_threshold")(x)


def binary_conv(
    x,
    filters: int,
    kernel_size: int,
    stride: int,
    binarization: Binarization,
    name: str,
    padding: str = "symmetric",
):
    """Binary convolution behind a threshold."""
    arguments = {
        "filters": filters,
        "kernel_size": kernel_size,
        "strides": stride,
        "padding": padding,
        "pad_values": binarization.pad_values,
        "use_bias": False,
        "name": f"{name}_conv",
        **binarization.kernel_arguments(),
    }
    if binarization.threshold == "contextual":
        return DynamicThresholdQuantConv2D(**arguments)(x)
    x = threshold(x, binarization, name)
    return QuantConv2D(**arguments)(x)


def activation(x, binarization: Binarization, name: str):
    """The activation function at the end of a unit."""
    if binarization.activation is None:
        return x
    kind = RPReLU if binarization.activation == "rprelu" else DynamicRPReLU
    return kind(name=f"{name}_rprelu")(x)


def residual(x, branch, binarization: Binarization, name: str, shortcut=None):
    """`activation(BN(branch(x)) + shortcut(x))`, the unit of every binary network here.

    Args:
        x: NHWC tensor.
        branch: function of it.
        binarization: what the activation is.
        name: name of the unit.
        shortcut: function of `x`, by default the identity.
    """
    y = batch_norm(branch(x), f"{name}_bn")
    y = tf.keras.layers.Add(name=f"{name}_add")([y, shortcut(x) if shortcut else x])
    return activation(y, binarization, name)


def halved(x, name: str):
    """Average pooling that halves the height and the width."""
    return tf.keras.layers.AveragePooling2D(padding="same", name=f"{name}_pool")(x)


def react_block(
    x,
    filters: int,
    stride: int,
    binarization: Binarization,
    name: str,
    real_groups: int | None = None,
):
    """A binary 3x3 and a binary 1x1 unit, MobileNetV1's block in ReActNet.

    With twice the filters of its input, the two 1x1 convolutions of the paper, which see
    the same signs, are one convolution with twice the filters, and the shortcut is
    repeated: the same function of the same parameters.

    Source: ReActNet (arXiv 2003.03488), figure 4.

    Args:
        x: NHWC tensor.
        filters: as many as it has channels, or twice that.
        stride: of the 3x3 convolution.
        binarization: how the convolutions are binary.
        name: name of the block.
        real_groups: None, or the groups of a real 1x1 convolution where the block doubles
            the channels.
    """
    channels = x.shape[-1]
    doubles = filters > channels

    def spatial(x):
        return binary_conv(x, channels, 3, stride, binarization, f"{name}_3x3")

    def pointwise(x):
        if doubles and real_groups:
            return real_conv(x, filters, 1, 1, f"{name}_1x1_conv", real_groups)
        return binary_conv(x, filters, 1, 1, binarization, f"{name}_1x1")

    def pooled(x):
        return halved(x, f"{name}_3x3")

    def repeated(x):
        return tf.keras.layers.Concatenate(name=f"{name}_1x1_repeat")([x, x])

    x = residual(x, spatial, binarization, f"{name}_3x3", pooled if stride == 2 else None)
    return residual(x, pointwise, binarization, f"{name}_1x1", repeated if doubles else None)


def stages(channels: int, strides, blocks) -> Iterator[tuple[int, int]]:
    """Filters and stride of each block of MobileNetV1's stages.

    Args:
        channels: of the stem; the first block of each stage doubles them.
        strides: stride of the first block of each stage.
        blocks: number of blocks of each stage.
    """
    for stride, count in zip(strides, blocks, strict=True):
        channels *= 2
        yield channels, stride
        yield from [(channels, 1)] * (count - 1)


def react_blocks(x, shapes, binarization: Binarization, real_groups: int | None = None):
    """Blocks of the given filters and strides; see `stages` and `react_block`."""
    for block, (filters, stride) in enumerate(shapes, 1):
        x = react_block(x, filters, stride, binarization, f"block{block}", real_groups)
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

    return residual(x, branch, binarization, name)


def point(x, binarization: Binarization, name: str):
    """The BiMLP unit with its pointwise branch alone."""

    def branch(x):
        x = threshold(x, binarization, name)
        kernel = binarization.kernel_arguments()
        return QuantConv2D(x.shape[-1], 1, use_bias=False, name=f"{name}_conv", **kernel)(x)

    return residual(x, branch, binarization, name)


def mlp(x, expansion: int, binarization: Binarization, name: str):
    """A binary MLP of two layers, each a unit with a shortcut of its own.

    The shortcut to the hidden layer repeats the channels, the one out of it averages them in
    the same groups. Both products are 1x1 convolutions.
    """
    channels = x.shape[-1]
    expansion = _arguments.positive("expansion", expansion)

    def branch(filters, part):
        return lambda x: binary_conv(x, filters, 1, 1, binarization, f"{name}_{part}")

    def repeated(x):
        return tf.keras.layers.Concatenate(name=f"{name}_up_repeat")([x] * expansion)

    def averaged(x):
        return GroupAverage(expansion, name=f"{name}_down_average")(x)

    hidden = expansion * channels
    x = residual(x, branch(hidden, "up"), binarization, f"{name}_up", repeated)
    return residual(x, branch(channels, "down"), binarization, f"{name}_down", averaged)


def token_mixing_mlp(x, expansion: int, binarization: Binarization, name: str):
    """A binary MLP over the positions of an image, the same for each channel.

    The positions become the channels of an image of as many pixels as there were channels.

    Source: BCDNet (arXiv 2209.01404), equation 10.
    """
    height, width, channels = x.shape[1:]
    if height is None or width is None:
        raise UserError(
            "input_shape with an open height or width is not supported: the positions are "
            "the channels of the token-mixing MLP; pass a fixed size."
        )
    layers = tf.keras.layers
    x = layers.Reshape((height * width, channels), name=f"{name}_tokens")(x)
    x = layers.Permute((2, 1), name=f"{name}_transpose")(x)
    x = layers.Reshape((channels, 1, height * width), name=f"{name}_positions")(x)
    x = mlp(x, expansion, binarization, name)
    x = layers.Reshape((channels, height * width), name=f"{name}_channels")(x)
    x = layers.Permute((2, 1), name=f"{name}_transpose_back")(x)
    return layers.Reshape((height, width, channels), name=f"{name}_image")(x)


def mixer_block(x, token_expansion: int, expansion: int, binarization: Binarization, name: str):
    """A binary MLP over the positions, and one over the channels."""
    x = token_mixing_mlp(x, token_expansion, binarization, f"{name}_tokens")
    return mlp(x, expansion, binarization, f"{name}_mlp")


def pooled(x, kind: Literal["avg", "max"]):
    """The mean or the maximum of features over all positions, `(batch, channels)`."""
    layers = tf.keras.layers
    kinds = {
        ("avg", 4): layers.GlobalAveragePooling2D,
        ("max", 4): layers.GlobalMaxPooling2D,
        ("avg", 3): layers.GlobalAveragePooling1D,
        ("max", 3): layers.GlobalMaxPooling1D,
    }
    return kinds[kind, x.shape.rank](name="pool")(x)


def classifier(x, num_classes: int, names: tuple[str, ...]):
    """Global average pooling and linear classifiers; their mean, where there are several."""
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return heads(x, num_classes, names)


def heads(x, num_classes: int, names: tuple[str, ...]):
    """Linear classifiers of features `(batch, channels)`; their mean, if there are several.

    The logits are float32 under every precision policy.
    """
    outputs = [
        tf.keras.layers.Dense(
            num_classes,
            kernel_initializer=initial_values.of_kernel(),
            bias_initializer=initial_values.of_bias(x.shape[-1]),
            dtype="float32",
            name=name,
        )(x)
        for name in names
    ]
    if len(outputs) == 1:
        return outputs[0]
    return tf.keras.layers.Average(dtype="float32", name="logits")(outputs)
