"""BCDNet: MobileNetV1's stages of ReAct blocks, and an MLP stage of BiMLP blocks."""

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
    Shift,
    build_model,
    variant,
)
from larq_bcd.models.registry import ModelInfo

_BLOCKS = (1, 2, 2, 4, 1)
_STRIDES = (2, 1, 2, 2, 2, 2)
_MLP_BLOCKS = 3
_BI_MLPS = 3


def bcdnet(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    pooling: Pooling = None,
    width: float = 1.0,
    strides: Sequence[int] = _STRIDES,
    blocks: Sequence[int] = _BLOCKS,
    mlp_blocks: int = _MLP_BLOCKS,
    short_range: Shift = 1,
    long_range: Shift = "half",
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = OWN,
    activation: Activation = "rprelu",
    name: str = OWN,
) -> tf.keras.Model:
    """BCDNet: ReActNet-A with a binary MLP stage in place of its last two blocks.

    The logits are the mean of the two heads `fc` and `fc_dist`, of which the second is
    trained by distillation: `larq_bcd.models.with_training_heads` returns both. The MLP
    stage wants a feature map of at least 4x4: strides of `(1, 1, 1, 1, 2, 2)` suit images of
    16x16, `(1, 1, 1, 2, 2, 2)` those of 32x32.

    BCDNet-B starts from a trained BCDNet-A: `larq_bcd.models.copy_weights(a, b)`, or an
    official PyTorch checkpoint of BCDNet-A as `weights`, gives it exactly that function. Such
    a checkpoint was trained with a long range of 3, which it keeps at any image size unless
    `long_range` is given; at its own, 224x224, 3 is half of the feature map.

    Source: BCDNet (arXiv 2209.01404), figure 4 and section 4; of BCDNet-B, equations 16 to 22.

    Args:
        mlp_blocks: number of blocks of three BiMLPs and a pointwise unit.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        channels = _arguments.scaled_channels(32, width)
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, channels, steps[0])
        depths = _arguments.depths("blocks", blocks, 5)
        x = parts.react_blocks(x, parts.stages(x.shape[-1], steps[1:], depths), binarization)
        _arguments.check_mlp_stage(x, steps)
        for i in range(1, _arguments.positive("mlp_blocks", mlp_blocks) + 1):
            for j in range(1, _BI_MLPS + 1):
                x = parts.bi_mlp(x, (short_range, long_range), binarization, f"mlp{i}_{j}")
            x = parts.point(x, binarization, f"mlp{i}_point")
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


_FACTS: dict = {
    "paper": papers.BCDNET,
    "heads": ("fc", "fc_dist"),
    "official": pytorch.BCDNET,
    "reduced": {
        "input_shape": (16, 16, 3),
        "num_classes": 5,
        "width": 0.125,
        "strides": (1, 1, 1, 1, 2, 2),
        "blocks": (1, 1, 1, 2, 1),
        "mlp_blocks": 1,
    },
}
_EMBEDDINGS = (
    "that each of the 20 units of the convolution stages has its own contextual embedding, "
    "and its size, are inferred from the cost in the paper."
)


@variant(
    bcdnet,
    **_FACTS,
    parameters=46_146_384,
    binary_parameters=43_981_824,
    bops=4_816_896_000,
    flops=11_862_016,
    top1=71.8,
)
def BCDNetA(*, threshold: Threshold = "static", name: str = "bcdnet_a"):
    """BCDNet-A (BCDNet, arXiv 2209.01404): static thresholds."""


@variant(
    bcdnet,
    **_FACTS,
    parameters=48_074_080,
    binary_parameters=43_981_824,
    bops=4_816_896_000,
    flops=13_775_616,
    top1=72.3,
    reconstruction=_EMBEDDINGS,
)
def BCDNetB(*, threshold: Threshold = "contextual", name: str = "bcdnet_b"):
    """BCDNet-B (BCDNet, arXiv 2209.01404): BCDNet-A with dynamic contextual embeddings."""
