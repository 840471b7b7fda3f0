"""BCDNet on ResNet's stages: BiMLP blocks in place of some of the binary convolutions."""

import functools
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.errors import UserError
from larq_bcd.models import _arguments, papers, resnet
from larq_bcd.models import blocks as parts
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.network import (
    BinaryArguments,
    ImageShape,
    KerasTensor,
    PathLike,
    Shift,
    binary_model,
    network,
)


def bcdnet18(
    network: str,
    *,
    width: float,
    strides: Sequence[int],
    units: Sequence[int],
    mlp_stages: Sequence[int],
    bi_mlps: int,
    short_range: Shift,
    long_range: Shift,
    **arguments: Unpack[BinaryArguments],
) -> tf.keras.Model:
    """BCDNet (R18): ReActNet-18 whose last three convolutions are nine BiMLP blocks.

    Other `mlp_stages` and `bi_mlps` are the ablations of the paper, "BCDNet-18"; in those
    the long range is 3 in every stage.

    Source: BCDNet (arXiv 2209.01404), section 4.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and width
            may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, path to a file of Keras weights, or `None` for
            random weights.
        include_top: whether to end in the classifier; otherwise the network returns its
            features, `(batch, new_height, new_width, channels)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of each stage, 1 or 2.
        units: number of units of one convolution of each of the four stages.
        mlp_stages: the stages, from 1 to 4, whose convolutions that keep the image size are
            BiMLP blocks.
        bi_mlps: number of BiMLP blocks in place of one convolution.
        short_range: shift in pixels of the short-range branch, or `"half"`.
        long_range: shift in pixels of the long-range branch, or `"half"` for half of the
            feature map.
        input_quantizer: quantizer of the binary layers' inputs.
        kernel_quantizer: quantizer of their kernels; `None` for the real kernels of the
            first training step.
        pad_values: what a binary convolution sees outside of the image: 0.0 as in the
            papers, or 1.0, which costs less on the device.
        threshold: the thresholds of the signs: `"zero"`; `"static"`, learned;
            `"contextual"`, from the contextual embedding of BCDNet-B; or `"dysign"`, from
            channel statistics.
        activation: what ends a unit: `"rprelu"`, `"dynamic_rprelu"`, or `None` for nothing.
        name: name of the model.

    Returns:
        A functional `tf.keras.Model` of normalized float32 images `(batch, height, width,
        channels)`; its logits `(batch, num_classes)` are float32.

    Raises:
        UserError: if an argument is out of its range.
    """

    def features(x, binarization: Binarization):
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

    return binary_model(network, features, **arguments)


def _stages(stages: Sequence[int]) -> tuple[int, ...]:
    stages = tuple(stages)
    if not set(stages) <= {1, 2, 3, 4}:
        raise UserError(
            f"mlp_stages={stages} is not supported: pass numbers of stages, from 1 to 4."
        )
    return stages


_bcdnet18 = functools.partial(
    network,
    bcdnet18,
    paper=papers.BCDNET,
    heads=("fc", "fc_dist"),
    reduced=resnet.REDUCED,
)
_EMBEDDINGS = (
    "that each of the 13 binary convolutions has its own contextual embedding is inferred, as "
    "for BCDNet-B."
)


@_bcdnet18(
    parameters=12_235_856,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=137_793_536,
    top1=66.9,
)
def BCDNetA18(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
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
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "bcdnet_a_18",
) -> tf.keras.Model:
    """BCDNet-A (R18) (BCDNet, arXiv 2209.01404): static thresholds."""
    return bcdnet18("BCDNetA18", **locals())


@_bcdnet18(
    parameters=12_523_104,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_076_160,
    top1=67.9,
    reconstruction=_EMBEDDINGS,
)
def BCDNetB18(
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
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
    threshold: Threshold = "contextual",
    activation: Activation = "rprelu",
    name: str = "bcdnet_b_18",
) -> tf.keras.Model:
    """BCDNet-B (R18) (BCDNet, arXiv 2209.01404): dynamic contextual embeddings."""
    return bcdnet18("BCDNetB18", **locals())
