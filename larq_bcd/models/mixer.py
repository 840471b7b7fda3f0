"""The pilot studies of BCDNet: binary MLPs over the positions of an image."""

from larq_bcd.models import _arguments, blocks, papers, resnet
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network

_RECONSTRUCTION = (
    "the paper says what is binary and the expansion of the MLPs; batch normalization, the "
    "residual unit around every binary product and its shortcuts are this package's choice."
)


@network(
    "binary_mixer_s",
    paper=papers.BCDNET,
    binarization=Binarization(),
    parameters=20_314_024,
    binary_parameters=19_235_840,
    bops=4_547_149_824,
    flops=77_582_336,
    reconstruction=_RECONSTRUCTION,
    reduced={
        "input_shape": (16, 16, 3),
        "num_classes": 5,
        "width": 0.0625,
        "patch": 4,
        "layers": 2,
    },
)
def BinaryMixerS(
    x, binarization, *, width=1.0, patch=16, layers=8, token_expansion=4, expansion=4
):
    """MLP-Mixer-S/16 with binary MLPs, of the paper's pilot study (section 3).

    Args:
        patch: height and width of the patches, which become the positions.
        layers: number of blocks of a token-mixing and a channel-mixing MLP.
        token_expansion: hidden positions per position of the token-mixing MLP.
        expansion: hidden channels per channel of the channel-mixing MLP.
    """
    channels = _arguments.scaled_channels(512, width)
    x = blocks.patches(x, channels, _arguments.positive("patch", patch))
    for layer in range(1, _arguments.positive("layers", layers) + 1):
        x = blocks.mixer_block(x, token_expansion, expansion, binarization, f"block{layer}")
    return blocks.batch_norm(x, "norm")


@network(
    "resnet_mlp",
    paper=papers.BCDNET,
    binarization=Binarization(),
    parameters=11_016_890,
    binary_parameters=10_256_664,
    bops=1_667_248_128,
    flops=137_793_536,
    reconstruction=_RECONSTRUCTION,
    reduced=resnet.REDUCED,
)
def ResNetMLP(
    x,
    binarization,
    *,
    width=1.0,
    strides=resnet.STRIDES,
    units=resnet.UNITS_18,
    token_expansion=4,
    expansion=4,
):
    """ReActNet-18 whose last three convolutions are binary Mixer blocks (section 3).

    Args:
        token_expansion: hidden positions per position of the token-mixing MLP.
        expansion: hidden channels per channel of the channel-mixing MLP.
    """
    strides = _arguments.stage_strides(strides, stages=6)
    x = resnet.stem(x, width, strides)
    for place in resnet.places(x.shape[-1], units, strides[2:]):
        if place.stage < 4 or place.changes:
            x = resnet.binary_unit(x, place, binarization)
        else:
            x = blocks.mixer_block(x, token_expansion, expansion, binarization, place.name)
    return x
