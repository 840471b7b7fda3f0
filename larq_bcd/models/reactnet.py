"""ReActNet: MobileNetV1 with binary convolutions, learned thresholds and activations."""

from larq_bcd.models import _arguments, papers, pytorch
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

BLOCKS = (1, 2, 2, 6, 2)
STRIDES = (2, 1, 2, 2, 2, 2)
REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 1, 2, 2),
    "blocks": (1, 1, 1, 2, 1),
}


@network(
    "reactnet_a",
    paper=papers.REACTNET,
    binarization=Binarization(),
    official=pytorch.MOBILENET,
    parameters=29_343_592,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=11_862_016,
    top1=69.4,
    reduced=REDUCED,
)
def ReActNetA(x, binarization, *, width=1.0, strides=STRIDES, blocks=BLOCKS):
    """ReActNet-A: the binary MobileNetV1. Section 4 of the paper."""
    return features(x, binarization, width, strides, blocks)


@network(
    "reactnet_b",
    paper=papers.REACTNET,
    binarization=Binarization(),
    parameters=28_818_824,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=43_974_656,
    top1=70.1,
    reconstruction="that the real convolutions see the activations and not their signs is "
    "this package's choice.",
    reduced=REDUCED,
)
def ReActNetB(x, binarization, *, width=1.0, strides=STRIDES, blocks=BLOCKS):
    """ReActNet-B: ReActNet-A whose channel-doubling 1x1 convolutions are real, in 4 groups.

    Section 5 of the paper.
    """
    return features(x, binarization, width, strides, blocks, real_groups=4)


@network(
    "reactnet_c",
    paper=papers.REACTNET,
    binarization=Binarization(),
    parameters=29_342_600,
    binary_parameters=27_554_816,
    bops=4_688_445_440,
    flops=140_312_576,
    top1=71.4,
    reconstruction="that the real convolutions see the activations and not their signs is "
    "this package's choice.",
    reduced=REDUCED,
)
def ReActNetC(x, binarization, *, width=1.0, strides=STRIDES, blocks=BLOCKS):
    """ReActNet-C: ReActNet-A whose channel-doubling 1x1 convolutions are real.

    Section 5 of the paper.
    """
    return features(x, binarization, width, strides, blocks, real_groups=1)


def features(x, binarization: Binarization, width, strides, blocks, real_groups=None):
    """MobileNetV1's stages of ReAct blocks behind their stem."""
    channels = _arguments.scaled_channels(32, width)
    strides = _arguments.stage_strides(strides, stages=6)
    x = parts.stem(x, channels, strides[0])
    stages = parts.stages(x.shape[-1], strides[1:], _arguments.depths("blocks", blocks, 5))
    return parts.react_blocks(x, stages, binarization, real_groups)
