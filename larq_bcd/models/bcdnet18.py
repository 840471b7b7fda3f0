"""BCDNet on ResNet's stages: BiMLP blocks in place of some of the binary convolutions."""

from larq_bcd.errors import UserError
from larq_bcd.models import _arguments, blocks, papers, resnet
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network


@network(
    "bcdnet_a_18",
    paper=papers.BCDNET,
    binarization=Binarization(),
    heads=("fc", "fc_dist"),
    parameters=12_235_856,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=66.9,
    reduced=resnet.REDUCED,
)
def BCDNetA18(
    x,
    binarization,
    *,
    width=1.0,
    strides=resnet.STRIDES,
    units=resnet.UNITS_18,
    mlp_stages=(4,),
    bi_mlps=3,
    short_range=1,
    long_range="half",
):
    """BCDNet-A (R18): ReActNet-18 whose last three convolutions are nine BiMLP blocks.

    Other `mlp_stages` and `bi_mlps` are the ablations of the paper, "BCDNet-18"; in those
    the long range is 3 in every stage. Section 4 of the paper.
    """
    ranges = short_range, long_range
    return _features(x, binarization, width, strides, units, mlp_stages, bi_mlps, ranges)


@network(
    "bcdnet_b_18",
    paper=papers.BCDNET,
    binarization=Binarization(threshold="contextual"),
    heads=("fc", "fc_dist"),
    parameters=12_523_104,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_076_160,
    top1=67.9,
    reconstruction="that each of the 13 binary convolutions has its own contextual embedding "
    "is inferred, as for BCDNet-B.",
    reduced=resnet.REDUCED,
)
def BCDNetB18(
    x,
    binarization,
    *,
    width=1.0,
    strides=resnet.STRIDES,
    units=resnet.UNITS_18,
    mlp_stages=(4,),
    bi_mlps=3,
    short_range=1,
    long_range="half",
):
    """BCDNet-B (R18): BCDNet-A (R18) with dynamic contextual embeddings."""
    ranges = short_range, long_range
    return _features(x, binarization, width, strides, units, mlp_stages, bi_mlps, ranges)


def _features(
    x, binarization: Binarization, width, strides, units, mlp_stages, bi_mlps, ranges
):
    strides = _arguments.stage_strides(strides, stages=6)
    mlp_stages = _stages(mlp_stages)
    x = resnet.stem(x, width, strides)
    for place in resnet.places(x.shape[-1], units, strides[2:]):
        if place.stage not in mlp_stages or place.changes:
            x = resnet.binary_unit(x, place, binarization)
            continue
        for i in range(1, _arguments.positive("bi_mlps", bi_mlps) + 1):
            x = blocks.bi_mlp(x, ranges, binarization, f"{place.name}_mlp{i}")
    return x


def _stages(stages) -> tuple[int, ...]:
    stages = tuple(stages)
    if not set(stages) <= {1, 2, 3, 4}:
        raise UserError(
            f"mlp_stages={stages} is not supported: pass numbers of stages, from 1 to 4."
        )
    return stages
