"""ReActNet: MobileNetV1 with binary convolutions, learned thresholds and activations."""

from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.models import _arguments, papers, pytorch
from larq_bcd.models import blocks as parts
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
    blocks: Sequence[int] = BLOCKS,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = OWN,
    activation: Activation = OWN,
    name: str = OWN,
) -> tf.keras.Model:
    """ReActNet: the binary MobileNetV1.

    The 1x1 convolutions that double the channels are binary, or, in ReActNet-B and -C, real.

    Source: ReActNet (arXiv 2003.03488), sections 4 and 5.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        channels = _arguments.scaled_channels(32, width)
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, channels, steps[0])
        depths = _arguments.depths("blocks", blocks, 5)
        stages = parts.stages(x.shape[-1], steps[1:], depths)
        return parts.react_blocks(x, stages, binarization, **info.settings)

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


_REAL_INPUT = (
    "that the real convolutions see the activations and not their signs is this package's "
    "choice."
)


@variant(
    reactnet,
    paper=papers.REACTNET,
    reduced=REDUCED,
    official=pytorch.MOBILENET,
    parameters=29_343_592,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=11_862_016,
    top1=69.4,
)
def ReActNetA(
    *,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_a",
):
    """ReActNet-A (ReActNet, arXiv 2003.03488, section 4): everything inside is binary."""


@variant(
    reactnet,
    paper=papers.REACTNET,
    reduced=REDUCED,
    settings={"real_groups": 4},
    parameters=28_818_824,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=43_974_656,
    top1=70.1,
    reconstruction=_REAL_INPUT,
)
def ReActNetB(
    *,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_b",
):
    """ReActNet-B: ReActNet-A whose channel-doubling 1x1 convolutions are real, in 4 groups.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """


@variant(
    reactnet,
    paper=papers.REACTNET,
    reduced=REDUCED,
    settings={"real_groups": 1},
    parameters=29_342_600,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=140_312_576,
    top1=71.4,
    reconstruction=_REAL_INPUT,
)
def ReActNetC(
    *,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_c",
):
    """ReActNet-C: ReActNet-A whose channel-doubling 1x1 convolutions are real.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """
