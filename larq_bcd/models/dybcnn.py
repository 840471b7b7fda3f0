"""DyBCNN: ReActNet with thresholds and activation functions that depend on the image."""

from collections.abc import Sequence

from larq_bcd.models import papers, reactnet, resnet
from larq_bcd.models.bireal import bireal
from larq_bcd.models.blocks import Activation, Quantizer, Threshold
from larq_bcd.models.network import variant

_FACTS: dict = {
    "paper": papers.DYSIGN,
    "reconstruction": "the paper's equations and code were not at hand; the hyper function, "
    "its size and the static slope are this package's, see `larq_bcd.layers.DynamicThreshold`.",
}


@variant(
    reactnet.reactnet,
    **_FACTS,
    parameters=33_258_772,
    binary_parameters=28_253_184,
    bops=4_816_896_000,
    flops=15_742_848,
    top1=71.2,
    reduced=reactnet.REDUCED,
)
def DyBCNNA(
    *,
    threshold: Threshold = "dysign",
    activation: Activation = "dynamic_rprelu",
    name: str = "dybcnn_a",
):
    """DyBCNN on ReActNet-A (DySign, arXiv 2211.02292): thresholds follow the image."""


@variant(
    bireal,
    **_FACTS,
    parameters=12_522_288,
    binary_parameters=10_985_472,
    bops=1_676_279_808,
    flops=138_599_424,
    top1=67.4,
    reduced=resnet.REDUCED,
)
def DyBCNN18(
    *,
    units: Sequence[int] = resnet.UNITS_18,
    kernel_quantizer: Quantizer = "scaled_sign",
    threshold: Threshold = "dysign",
    activation: Activation = "dynamic_rprelu",
    name: str = "dybcnn_18",
):
    """DyBCNN on ReActNet-18 (DySign, arXiv 2211.02292): thresholds follow the image."""
