"""MobileNetV1 in full precision."""

from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.models import _arguments, papers, reactnet
from larq_bcd.models import blocks as parts
from larq_bcd.models.network import (
    ImageShape,
    KerasTensor,
    PathLike,
    Pooling,
    build_model,
    network,
)
from larq_bcd.models.registry import ModelInfo


@network(
    paper=papers.MOBILENET,
    parameters=4_231_976,
    binary_parameters=0,
    bops=0,
    flops=568_740_352,
    top1=70.6,
    reduced=reactnet.REDUCED,
)
def MobileNetV1(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    pooling: Pooling = None,
    width: float = 1.0,
    strides: Sequence[int] = reactnet.STRIDES,
    blocks: Sequence[int] = reactnet.BLOCKS,
    name: str = "mobilenet_v1",
) -> tf.keras.Model:
    """MobileNetV1 in full precision, the baseline of the binary networks on its stages.

    Source: MobileNets (arXiv 1704.04861), table 1.
    """

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, _arguments.scaled_channels(32, width), steps[0])
        x = _relu(x, "stem")
        depths = _arguments.depths("blocks", blocks, 5)
        for block, (filters, stride) in enumerate(
            parts.stages(x.shape[-1], steps[1:], depths), 1
        ):
            x = _block(x, filters, stride, f"block{block}")
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


def _block(x, filters: int, stride: int, name: str):
    """A depthwise 3x3 and a 1x1 convolution."""
    depthwise = tf.keras.layers.DepthwiseConv2D(
        3, stride, "same", use_bias=False, name=f"{name}_3x3_conv"
    )
    x = _relu(parts.batch_norm(depthwise(x), f"{name}_3x3_bn"), f"{name}_3x3")
    x = parts.real_conv(x, filters, 1, 1, f"{name}_1x1_conv")
    return _relu(parts.batch_norm(x, f"{name}_1x1_bn"), f"{name}_1x1")


def _relu(x, name: str):
    return tf.keras.layers.ReLU(name=f"{name}_relu")(x)
