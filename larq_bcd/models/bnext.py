"""BNext: MobileNetV1's stages of binary units that recouple with their real input."""

from collections.abc import Sequence
from dataclasses import dataclass

import larq as lq
import tensorflow as tf

from larq_bcd.layers import InformationRecoupling
from larq_bcd.models import _arguments, papers, pytorch, reactnet
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    ImageShape,
    KerasTensor,
    PathLike,
    Pooling,
    build_model,
    network,
)
from larq_bcd.models.registry import ModelInfo

_LARGEST_WEIGHT = 1.5


@dataclass(frozen=True)
class _Binarization(Binarization):
    """That of BNext, whose latent weights are kept in the range that has a gradient."""

    def kernel_arguments(self) -> dict:
        arguments = super().kernel_arguments()
        if self.kernel_quantizer is None:
            return arguments
        return {
            **arguments,
            "kernel_initializer": tf.keras.initializers.RandomNormal(0.0, 0.001),
            "kernel_constraint": lq.constraints.WeightClip(_LARGEST_WEIGHT),
        }


@network(
    paper=papers.BNEXT,
    official=pytorch.BNEXT,
    parameters=30_853_276,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=13_344_512,
    top1=72.4,
    reduced=reactnet.REDUCED,
)
def BNextT(
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
    input_quantizer: Quantizer = "wide_sign",
    kernel_quantizer: Quantizer = "wide_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = None,
    name: str = "bnext_t",
) -> tf.keras.Model:
    """BNext-T: the stages of ReActNet-A, with a squeeze and an expansion in every unit.

    Every second 3x3 convolution is multiplied with its shortcut ("element-wise attention").
    The gradual binarization of the official training, a temperature on the signs, is not
    part of the network. Its authors' 0.77e8 OPs are `bops / 64 + flops / 8`: what is not
    binary runs in 8 bits there, and counts an eighth. The 0.89e8 here are `bops / 64 + flops`,
    as for every network.

    Source: BNext (arXiv 2211.12933), section 3, and its official code.
    """
    binarization = _Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        x = parts.stem(x, _arguments.scaled_channels(32, width), steps[0])
        depths = _arguments.depths("blocks", blocks, 5)
        for block, (filters, stride) in enumerate(
            parts.stages(x.shape[-1], steps[1:], depths), 1
        ):
            x = _block(x, filters, stride, binarization, block)
        return _prelu(x, "prelu")

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


def _block(x, filters: int, stride: int, binarization: Binarization, block: int):
    """A 3x3 unit and one or two 1x1 units; every second 3x3 unit is multiplied."""
    name = f"block{block}"
    x = _unit(x, 3, stride, binarization, f"{name}_3x3", is_multiplied=block % 2 == 0)
    if filters == x.shape[-1]:
        return _unit(x, 1, 1, binarization, f"{name}_1x1")
    halves = [_unit(x, 1, 1, binarization, f"{name}_1x1_{i}") for i in (1, 2)]
    return tf.keras.layers.Concatenate(name=f"{name}_1x1_concatenate")(halves)


def _prelu(x, name: str):
    return tf.keras.layers.PReLU(
        alpha_initializer=tf.keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name
    )(x)


def _unit(x, kernel_size, stride, binarization: Binarization, name, is_multiplied=False):
    """A binary convolution, recoupled with its input, and its shortcut."""
    y = parts.binary_conv(x, x.shape[-1], kernel_size, stride, binarization, name)
    y = _prelu(parts.batch_norm(y, f"{name}_bn1"), f"{name}_prelu")
    source = parts.halved(x, f"{name}_source") if stride == 2 else x
    shortcut = source
    if is_multiplied:
        shortcut = _prelu(x, f"{name}_shortcut_prelu")
        if stride == 2:
            shortcut = parts.halved(shortcut, f"{name}_shortcut")
    y = InformationRecoupling(name=f"{name}_recoupling")([y, source])
    if is_multiplied:
        y = tf.keras.layers.Multiply(name=f"{name}_multiply")([y, shortcut])
    y = parts.batch_norm(y, f"{name}_bn2")
    return tf.keras.layers.Add(name=f"{name}_add")([y, shortcut])
