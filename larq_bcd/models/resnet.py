"""What the networks on ResNet's stages share, and the full-precision ResNet-18."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from larq_bcd.layers import MaxPooling2D
from larq_bcd.models import _arguments, blocks, papers
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import (
    ImageShape,
    KerasTensor,
    PathLike,
    Pooling,
    build_model,
    network,
)
from larq_bcd.models.registry import ModelInfo

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
class Unit:
    """A unit, and where it stands.

    Attributes:
        name: `stage{stage}_{unit}`, both from 1.
        stage: index of the stage, from 1.
        filters: number of output channels.
        stride: stride of the convolution.
        changes: whether it changes the image size or the number of channels.
    """

    name: str
    stage: int
    filters: int
    stride: int
    changes: bool


def units_of(channels: int, units: Sequence[int], strides: tuple[int, ...]) -> Iterator[Unit]:
    """The units of a network, each stage of twice the channels of the last.

    Args:
        channels: of the stem and the first stage.
        units: their number in each stage.
        strides: stride of the first unit of each stage.
    """
    counts = _arguments.depths("units", units, len(strides))
    for stage, (count, first) in enumerate(zip(counts, strides, strict=True), 1):
        for unit in range(1, count + 1):
            stride = first if unit == 1 else 1
            changes = unit == 1 and (stage > 1 or stride > 1)
            filters = channels * 2 ** (stage - 1)
            yield Unit(f"stage{stage}_{unit}", stage, filters, stride, changes)


def stem(x, width: float, strides: tuple[int, ...]):
    """Real 7x7 convolution, batch normalization and max-pooling, with no activation."""
    x = blocks.stem(x, _arguments.scaled_channels(64, width), strides[0], kernel_size=7)
    if strides[1] == 2:
        x = MaxPooling2D(3, 2, "symmetric", name="stem_pool")(x)
    return x


def projection(x, unit: Unit):
    """The shortcut where the size changes: average pooling, real 1x1 convolution and BN."""
    name = f"{unit.name}_shortcut"
    if unit.stride == 2:
        x = blocks.halved(x, name)
    return blocks.batch_norm(
        blocks.real_conv(x, unit.filters, 1, 1, f"{name}_conv"), f"{name}_bn"
    )


def binary_unit(x, unit: Unit, binarization: Binarization):
    """One binary 3x3 convolution with a shortcut around it.

    Source: Bi-Real Net (arXiv 1808.00278), figure 3; ReActNet (arXiv 2003.03488).
    """

    def branch(x):
        return blocks.binary_conv(x, unit.filters, 3, unit.stride, binarization, unit.name)

    def shortcut(x):
        return projection(x, unit)

    return blocks.residual(
        x, branch, binarization, unit.name, shortcut if unit.changes else None
    )


@network(
    paper=papers.RESNET,
    parameters=11_689_512,
    binary_parameters=0,
    bops=0,
    flops=1_814_073_344,
    top1=72.1,
    reduced={**REDUCED, "units": (1, 2, 1, 1)},
)
def ResNet18(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    pooling: Pooling = None,
    width: float = 1.0,
    strides: Sequence[int] = STRIDES,
    units: Sequence[int] = (2, 2, 2, 2),
    name: str = "resnet_18",
) -> tf.keras.Model:
    """ResNet-18 in full precision, the baseline of the binary networks on its stages.

    Its accuracy is that of ten crops of an image.

    Source: ResNet (arXiv 1512.03385), table 1.
    """

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        # After the max-pooling, which commutes with it.
        x = tf.keras.layers.ReLU(name="stem_relu")(stem(x, width, steps))
        for unit in units_of(x.shape[-1], units, steps[2:]):
            x = _real_unit(x, unit)
        return x

    return build_model(
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


def _real_unit(x, unit: Unit):
    def conv(x, stride, part):
        x = blocks.real_conv(x, unit.filters, 3, stride, f"{unit.name}_conv{part}")
        return blocks.batch_norm(x, f"{unit.name}_bn{part}")

    y = tf.keras.layers.ReLU(name=f"{unit.name}_relu1")(conv(x, unit.stride, 1))
    if unit.changes:
        name = f"{unit.name}_shortcut"
        x = blocks.real_conv(x, unit.filters, 1, unit.stride, f"{name}_conv")
        x = blocks.batch_norm(x, f"{name}_bn")
    y = tf.keras.layers.Add(name=f"{unit.name}_add")([conv(y, 1, 2), x])
    return tf.keras.layers.ReLU(name=f"{unit.name}_relu2")(y)
