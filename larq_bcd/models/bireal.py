"""Bi-Real Net: ResNet with a shortcut around every binary convolution."""

from larq_bcd.models import _arguments, papers, pytorch, resnet
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

_BINARIZATION = Binarization(
    kernel_quantizer="magnitude_aware_sign", threshold="zero", activation=None
)


@network(
    "bi_real_net_18",
    paper=papers.BIREAL,
    binarization=_BINARIZATION,
    parameters=11_689_512,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=56.4,
    reduced=resnet.REDUCED,
)
def BiRealNet18(x, binarization, *, width=1.0, strides=resnet.STRIDES, units=resnet.UNITS_18):
    """Bi-Real Net 18: ResNet-18 whose units are one binary convolution each.

    No thresholds and no activation functions are learned. Figure 3 of the paper.
    """
    return features(x, binarization, width, strides, units)


@network(
    "bi_real_net_34",
    paper=papers.BIREAL,
    binarization=_BINARIZATION,
    parameters=21_797_672,
    binary_parameters=21_086_208,
    bops=3_525_967_872,
    flops=137_793_536,
    top1=62.2,
    reduced=resnet.REDUCED,
)
def BiRealNet34(x, binarization, *, width=1.0, strides=resnet.STRIDES, units=resnet.UNITS_34):
    """Bi-Real Net 34: ResNet-34 whose units are one binary convolution each.

    Figure 3 of the paper.
    """
    return features(x, binarization, width, strides, units)


@network(
    "reactnet_18",
    paper=papers.REACTNET,
    binarization=Binarization(),
    official=pytorch.RESNET_18,
    parameters=11_704_424,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=65.5,
    reduced=resnet.REDUCED,
)
def ReActNet18(x, binarization, *, width=1.0, strides=resnet.STRIDES, units=resnet.UNITS_18):
    """ReActNet-18: Bi-Real Net 18 with learned thresholds and activation functions.

    Section 5 of the paper.
    """
    return features(x, binarization, width, strides, units)


def features(x, binarization: Binarization, width, strides, units):
    """The stages of a network whose units are all binary convolutions."""
    strides = _arguments.stage_strides(strides, stages=6)
    x = resnet.stem(x, width, strides)
    for place in resnet.places(x.shape[-1], units, strides[2:]):
        x = resnet.binary_unit(x, place, binarization)
    return x
