"""ReActNet: MobileNetV1 with binary convolutions, learned thresholds and activations."""

from larq_bcd.models import _arguments, blocks, papers, pytorch
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

# Blocks of each stage after the first, which doubles the channels.
_EXTRA_BLOCKS = (0, 1, 1, 5, 1)
_STRIDES = (2, 1, 2, 2, 2, 2)
_REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 1, 2, 2),
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
    reduced=_REDUCED,
)
def ReActNetA(x, binarization, *, width=1.0, strides=_STRIDES):
    """ReActNet-A: the binary MobileNetV1. Section 4 of the paper."""
    channels = _arguments.scaled_channels(32, width)
    strides = _arguments.stage_strides(strides, stages=6)
    x = blocks.stem(x, channels, strides[0])
    return blocks.react_stages(x, strides[1:], _EXTRA_BLOCKS, binarization)
