"""What the networks on ResNet's stages share, and the full-precision ResNet-18."""

from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from larq_bcd.layers import MaxPooling2D
from larq_bcd.models import _arguments, blocks, papers
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

STRIDES = (2, 2, 1, 2, 2, 2)
UNITS_18 = (4, 4, 4, 4)
UNITS_34 = (6, 8, 12, 6)
REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 2, 1, 2),
    "units": (1, 2, 1, 2),
}


@dataclass(frozen=True)
class Place:
    """The place of a unit of one convolution.

    Attributes:
        name: `stage{stage}_{unit}`, both from 1.
        stage: number of the stage, from 1.
        filters: number of output channels.
        stride: stride of the convolution.
        changes: whether the image size or the number of channels changes there.
    """

    name: str
    stage: int
    filters: int
    stride: int
    changes: bool


def places(channels: int, units, strides: tuple[int, ...]) -> Iterator[Place]:
    """The places of a network's units, each stage of twice the channels of the last.

    Args:
        channels: of the stem and the first stage.
        units: number of units of each stage.
        strides: stride of the first unit of each stage.
    """
    units = _arguments.depths("units", units, len(strides))
    for stage, (count, first) in enumerate(zip(units, strides, strict=True), 1):
        for unit in range(1, count + 1):
            stride = first if unit == 1 else 1
            changes = unit == 1 and (stage > 1 or stride > 1)
            filters = channels * 2 ** (stage - 1)
            yield Place(f"stage{stage}_{unit}", stage, filters, stride, changes)


def stem(x, width: float, strides: tuple[int, ...]):
    """Real 7x7 convolution, batch normalization and max-pooling, with no activation."""
    x = blocks.stem(x, _arguments.scaled_channels(64, width), strides[0], kernel_size=7)
    if strides[1] == 2:
        x = MaxPooling2D(3, 2, "symmetric", name="stem_pool")(x)
    return x


def projection(x, place: Place):
    """The shortcut where the size changes: average pooling, real 1x1 convolution and BN."""
    name = f"{place.name}_shortcut"
    if place.stride == 2:
        x = blocks.halved(x, name)
    return blocks.batch_norm(
        blocks.real_conv(x, place.filters, 1, 1, f"{name}_conv"), f"{name}_bn"
    )


def binary_unit(x, place: Place, binarization: Binarization):
    """One binary 3x3 convolution with a shortcut around it.

    Source: Bi-Real Net (arXiv 1808.00278), figure 3; ReActNet (arXiv 2003.03488).
    """

    def branch(x):
        return blocks.binary_conv(x, place.filters, 3, place.stride, binarization, place.name)

    def shortcut(x):
        return projection(x, place)

    return blocks.residual(
        x, branch, binarization, place.name, shortcut if place.changes else None
    )


@network(
    "resnet_18",
    paper=papers.RESNET,
    parameters=11_689_512,
    binary_parameters=0,
    bops=0,
    flops=1_814_073_344,
    top1=72.1,
    reduced={**REDUCED, "units": (1, 2, 1, 1)},
)
def ResNet18(x, *, width=1.0, strides=STRIDES, units=(2, 2, 2, 2)):
    """ResNet-18 in full precision, the twin of the binary networks on its stages.

    Its accuracy is that of ten crops of an image. Table 1 of the paper.

    Args:
        units: number of units of two convolutions of each of the four stages.
    """
    strides = _arguments.stage_strides(strides, stages=6)
    # After the max-pooling, which commutes with it.
    x = tf.keras.layers.ReLU(name="stem_relu")(stem(x, width, strides))
    for place in places(x.shape[-1], units, strides[2:]):
        x = _block(x, place)
    return x


def _block(x, place: Place):
    def conv(x, stride, part):
        x = blocks.real_conv(x, place.filters, 3, stride, f"{place.name}_conv{part}")
        return blocks.batch_norm(x, f"{place.name}_bn{part}")

    y = tf.keras.layers.ReLU(name=f"{place.name}_relu1")(conv(x, place.stride, 1))
    if place.changes:
        name = f"{place.name}_shortcut"
        x = blocks.real_conv(x, place.filters, 1, place.stride, f"{name}_conv")
        x = blocks.batch_norm(x, f"{name}_bn")
    y = tf.keras.layers.Add(name=f"{place.name}_add")([conv(y, 1, 2), x])
    return tf.keras.layers.ReLU(name=f"{place.name}_relu2")(y)
