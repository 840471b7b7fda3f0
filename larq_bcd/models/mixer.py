"""The pilot studies of BCDNet: binary MLPs over the positions of an image."""

from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.models import _arguments, papers, resnet
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

_FACTS: dict = {
    "paper": papers.BCDNET,
    "reconstruction": "the paper says what is binary and the expansion of the MLPs; batch "
    "normalization, the residual unit around every binary product and its shortcuts are this "
    "package's choice.",
}


@network(
    **_FACTS,
    parameters=20_314_024,
    binary_parameters=19_235_840,
    bops=4_547_149_824,
    flops=77_582_336,
    reduced={
        "input_shape": (16, 16, 3),
        "num_classes": 5,
        "width": 0.0625,
        "patch": 4,
        "layers": 2,
    },
)
def BinaryMixerS(
    info: ModelInfo,
    input_shape: ImageShape | None = None,
    input_tensor: KerasTensor | None = None,
    weights: str | PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    *,
    pooling: Pooling = None,
    width: float = 1.0,
    patch: int = 16,
    layers: int = 8,
    token_expansion: int = 4,
    expansion: int = 4,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "binary_mixer_s",
) -> tf.keras.Model:
    """MLP-Mixer-S/16 with binary MLPs, of the pilot study of BCDNet.

    The positions are the channels of an MLP, so that height and width are fixed.

    Source: BCDNet (arXiv 2209.01404), section 3.

    Args:
        patch: height and width of the patches, which become the positions.
        layers: number of blocks of a token-mixing and a channel-mixing MLP.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        channels = _arguments.scaled_channels(512, width)
        x = parts.patches(x, channels, _arguments.positive("patch", patch))
        for layer in range(1, _arguments.positive("layers", layers) + 1):
            name = f"block{layer}"
            x = parts.mixer_block(x, token_expansion, expansion, binarization, name)
        return parts.batch_norm(x, "norm")

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


@network(
    **_FACTS,
    parameters=11_016_890,
    binary_parameters=10_256_664,
    bops=1_667_248_128,
    flops=137_793_536,
    reduced=resnet.REDUCED,
)
def ResNetMLP(
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
    token_expansion: int = 4,
    expansion: int = 4,
    input_quantizer: Quantizer = "approx_sign",
    kernel_quantizer: Quantizer = "scaled_sign",
    pad_values: float = 0.0,
    threshold: Threshold = "static",
    activation: Activation = "rprelu",
    name: str = "resnet_mlp",
) -> tf.keras.Model:
    """ResNet-MLP of the pilot study of BCDNet: ReActNet-18 ending in three binary Mixer blocks.

    The positions are the channels of an MLP, so that height and width are fixed.

    Source: BCDNet (arXiv 2209.01404), section 3.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )

    def features(x):
        steps = _arguments.stage_strides(strides, stages=6)
        x = resnet.stem(x, width, steps)
        for unit in resnet.units_of(x.shape[-1], units, steps[2:]):
            if unit.stage < 4 or unit.changes:
                x = resnet.binary_unit(x, unit, binarization)
                continue
            x = parts.mixer_block(x, token_expansion, expansion, binarization, unit.name)
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
