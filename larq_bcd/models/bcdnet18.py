"""BCDNet on ResNet's stages: BiMLP blocks in place of some of the binary convolutions."""

from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.models import _arguments, papers, resnet
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    OWN,
    ImageShape,
    KerasTensor,
    PathLike,
    Pooling,
    Shift,
    build_model,
    variant,
)
from larq_bcd.models.registry import ModelInfo


def bcdnet18(
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
    units: Sequence[int] = resnet.UNITS_18,
    mlp_stages: Sequence[int] = (4,),
    bi_mlps: int = 3,
    short_range: Shift = 1,
    long_range: Shift = "half",
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = OWN,
    activation: Activation = "rprelu",
    name: str = OWN,
) -> tf.keras.Model:
    """BCDNet (R18): ReActNet-18 whose last three convolutions are nine BiMLP blocks.

    Other `mlp_stages` and `bi_mlps` are the ablations of the paper, "BCDNet-18"; in those
    the long range is 3 in every stage.

    Source: BCDNet (arXiv 2209.01404), section 4.

    Args:
        mlp_stages: the stages, from 1 to 4, whose convolutions that keep the image size are
            BiMLP blocks.
        bi_mlps: number of BiMLP blocks in place of one convolution.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        in_mlp = _stages(mlp_stages)
        x = resnet.stem(x, width, steps)
        for unit in resnet.units_of(x.shape[-1], units, steps[2:]):
            if unit.stage not in in_mlp or unit.changes:
                x = resnet.binary_unit(x, unit, binarization)
                continue
            for i in range(1, _arguments.positive("bi_mlps", bi_mlps) + 1):
                ranges = short_range, long_range
                x = parts.bi_mlp(x, ranges, binarization, f"{unit.name}_mlp{i}")
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


def _stages(stages: Sequence[int]) -> tuple[int, ...]:
    stages = tuple(stages)
    if not set(stages) <= {1, 2, 3, 4}:
        raise UserError(
            f"mlp_stages={stages} is not supported: pass numbers of stages, from 1 to 4."
        )
    return stages


_FACTS: dict = {
    "paper": papers.BCDNET,
    "heads": ("fc", "fc_dist"),
    "reduced": resnet.REDUCED,
}
_EMBEDDINGS = (
    "that each of the 13 binary convolutions has its own contextual embedding is inferred, as "
    "for BCDNet-B."
)


@variant(
    bcdnet18,
    **_FACTS,
    parameters=12_235_856,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=66.9,
)
def BCDNetA18(*, threshold: Threshold = "static", name: str = "bcdnet_a_18"):
    """BCDNet-A (R18) (BCDNet, arXiv 2209.01404): static thresholds."""


@variant(
    bcdnet18,
    **_FACTS,
    parameters=12_523_104,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_076_160,
    top1=67.9,
    reconstruction=_EMBEDDINGS,
)
def BCDNetB18(*, threshold: Threshold = "contextual", name: str = "bcdnet_b_18"):
    """BCDNet-B (R18) (BCDNet, arXiv 2209.01404): dynamic contextual embeddings."""
