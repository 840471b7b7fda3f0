"""Bi-Real Net and ReActNet-18: ResNet with a shortcut around every binary convolution."""

from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.models import _arguments, papers, pytorch, resnet
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


def bireal(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    pooling: Pooling = None,
    width: float = 1.0,
    strides: Sequence[int] = resnet.STRIDES,
    units: Sequence[int] = OWN,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = OWN,
    pad_values: float = 0.0,
    threshold: Threshold = OWN,
    activation: Activation = OWN,
    name: str = OWN,
) -> tf.keras.Model:
    """Bi-Real Net: ResNet whose units are one binary convolution each.

    Source: Bi-Real Net (arXiv 1808.00278), figure 3.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        x = resnet.stem(x, width, steps)
        for unit in resnet.units_of(x.shape[-1], units, steps[2:]):
            x = resnet.binary_unit(x, unit, binarization)
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


@variant(
    bireal,
    reduced=resnet.REDUCED,
    paper=papers.BIREAL,
    official=pytorch.BIREAL_18,
    parameters=11_689_512,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=56.4,
)
def BiRealNet18(
    *,
    units: Sequence[int] = resnet.UNITS_18,
    kernel_quantizer: Quantizer = "magnitude_aware_sign",
    threshold: Threshold = "zero",
    activation: Activation = None,
    name: str = "bi_real_net_18",
):
    """Bi-Real Net 18 (arXiv 1808.00278), on ResNet-18.

    No thresholds and no activation functions are learned. The gradient of a kernel has its
    scale as a factor, the paper's magnitude-aware one; in its authors' PyTorch code it has
    not, which is `kernel_quantizer="scaled_sign"`.
    """


@variant(
    bireal,
    reduced=resnet.REDUCED,
    paper=papers.BIREAL,
    official=pytorch.BIREAL_34,
    parameters=21_797_672,
    binary_parameters=21_086_208,
    bops=3_525_967_872,
    flops=137_793_536,
    top1=62.2,
)
def BiRealNet34(
    *,
    units: Sequence[int] = resnet.UNITS_34,
    kernel_quantizer: Quantizer = "magnitude_aware_sign",
    threshold: Threshold = "zero",
    activation: Activation = None,
    name: str = "bi_real_net_34",
):
    """Bi-Real Net 34 (arXiv 1808.00278), on ResNet-34: as `BiRealNet18`, and deeper."""


@variant(
    bireal,
    reduced=resnet.REDUCED,
    paper=papers.REACTNET,
    official=pytorch.RESNET_18,
    parameters=11_704_424,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=65.5,
)
def ReActNet18(
    *,
    units: Sequence[int] = resnet.UNITS_18,
    kernel_quantizer: Quantizer = "scaled_sign",
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "reactnet_18",
):
    """ReActNet-18: Bi-Real Net 18 with learned thresholds and activation functions.

    Its 65.5 % are those of the papers; the page of its code has 65.9 % for the checkpoint.

    Source: ReActNet (arXiv 2003.03488), section 5.
    """
