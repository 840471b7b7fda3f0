"""MobileNetV1 in full precision."""

import tensorflow as tf

from larq_bcd.models import _arguments, papers
from larq_bcd.models import blocks as parts
from larq_bcd.models.network import network


@network(
    "mobilenet_v1",
    paper=papers.MOBILENET,
    parameters=4_231_976,
    binary_parameters=0,
    bops=0,
    flops=568_740_352,
    top1=70.6,
    reduced={
        "input_shape": (16, 16, 3),
        "num_classes": 5,
        "width": 0.125,
        "strides": (1, 1, 1, 1, 2, 2),
        "blocks": (1, 1, 1, 2, 1),
    },
)
def MobileNetV1(x, *, width=1.0, strides=(2, 1, 2, 2, 2, 2), blocks=(1, 2, 2, 6, 2)):
    """MobileNetV1 in full precision, the twin of the binary networks on its stages.

    Table 1 of the paper.
    """
    strides = _arguments.stage_strides(strides, stages=6)
    x = parts.stem(x, _arguments.scaled_channels(32, width), strides[0])
    x = _relu(x, "stem")
    stages = parts.stages(x.shape[-1], strides[1:], _arguments.depths("blocks", blocks, 5))
    for block, (filters, stride) in enumerate(stages, 1):
        name = f"block{block}_3x3"
        x = tf.keras.layers.DepthwiseConv2D(
            3, stride, "same", use_bias=False, name=f"{name}_conv"
        )(x)
        x = _relu(parts.batch_norm(x, f"{name}_bn"), name)
        name = f"block{block}_1x1"
        x = parts.real_conv(x, filters, 1, 1, f"{name}_conv")
        x = _relu(parts.batch_norm(x, f"{name}_bn"), name)
    return x


def _relu(x, name: str):
    return tf.keras.layers.ReLU(name=f"{name}_relu")(x)
