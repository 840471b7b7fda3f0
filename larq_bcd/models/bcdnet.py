"""BCDNet: MobileNetV1's stages of ReAct blocks, and an MLP stage of BiMLP blocks."""

from larq_bcd.models import _arguments, papers, pytorch
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

_BLOCKS = (1, 2, 2, 4, 1)
_MLP_BLOCKS = 3
_BI_MLPS = 3
_STRIDES = (2, 1, 2, 2, 2, 2)
_REDUCED = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 1, 2, 2),
    "blocks": (1, 1, 1, 2, 1),
    "mlp_blocks": 1,
}


@network(
    "bcdnet_a",
    paper=papers.BCDNET,
    binarization=Binarization(),
    heads=("fc", "fc_dist"),
    official=pytorch.MOBILENET,
    parameters=46_146_384,
    binary_parameters=43_981_824,
    bops=4_816_896_000,
    flops=11_862_016,
    top1=71.8,
    reduced=_REDUCED,
)
def BCDNetA(
    x,
    binarization,
    *,
    width=1.0,
    strides=_STRIDES,
    blocks=_BLOCKS,
    mlp_blocks=_MLP_BLOCKS,
    short_range=1,
    long_range="half",
):
    """BCDNet-A: ReActNet-A with a binary MLP stage in place of its last two blocks.

    The logits are the mean of the two heads `fc` and `fc_dist`, of which the second is
    trained by distillation: `larq_bcd.models.with_training_heads` returns both. The MLP
    stage wants a feature map of at least 4x4: strides of `(1, 1, 1, 1, 2, 2)` suit images of
    16x16, `(1, 1, 1, 2, 2, 2)` those of 32x32. Figure 4 and section 4 of the paper.
    """
    depths = blocks, mlp_blocks
    return _features(x, binarization, width, strides, depths, (short_range, long_range))


@network(
    "bcdnet_b",
    paper=papers.BCDNET,
    binarization=Binarization(threshold="contextual"),
    heads=("fc", "fc_dist"),
    official=pytorch.MOBILENET,
    parameters=48_074_080,
    binary_parameters=43_981_824,
    bops=4_816_896_000,
    flops=13_775_616,
    top1=72.3,
    reconstruction="that each of the 20 units of the convolution stages has its own "
    "contextual embedding, and its size, are inferred from the cost in the paper.",
    reduced=_REDUCED,
)
def BCDNetB(
    x,
    binarization,
    *,
    width=1.0,
    strides=_STRIDES,
    blocks=_BLOCKS,
    mlp_blocks=_MLP_BLOCKS,
    short_range=1,
    long_range="half",
):
    """BCDNet-B: BCDNet-A whose binary convolutions have dynamic contextual embeddings.

    It starts from a trained BCDNet-A: `larq_bcd.models.copy_weights(a, b)`, or an official
    PyTorch checkpoint of BCDNet-A as `weights`, gives it exactly that function. Equations 16
    to 22 of the paper.
    """
    depths = blocks, mlp_blocks
    return _features(x, binarization, width, strides, depths, (short_range, long_range))


def _features(x, binarization: Binarization, width, strides, depths, ranges):
    channels = _arguments.scaled_channels(32, width)
    strides = _arguments.stage_strides(strides, stages=6)
    blocks, mlp_blocks = depths
    x = parts.stem(x, channels, strides[0])
    stages = parts.stages(x.shape[-1], strides[1:], _arguments.depths("blocks", blocks, 5))
    x = parts.react_blocks(x, stages, binarization)
    for i in range(1, _arguments.positive("mlp_blocks", mlp_blocks) + 1):
        for j in range(1, _BI_MLPS + 1):
            x = parts.bi_mlp(x, ranges, binarization, f"mlp{i}_{j}")
        x = parts.point(x, binarization, f"mlp{i}_point")
    return x
