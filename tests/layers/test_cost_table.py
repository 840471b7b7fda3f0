import re
from pathlib import Path

import pytest
import tensorflow as tf

from larq_bcd import activations, layers
from larq_bcd.activations import DynamicRPReLU, RPReLU
from larq_bcd.layers import (
    BatchNormalization,
    DynamicThreshold,
    DynamicThresholdQuantConv2D,
    DySign,
    GroupAverage,
    InformationRecoupling,
    LearnableBias,
    MaxPooling2D,
    PositionEmbedding,
    QuantAttention,
    QuantConv2D,
    QuantShiftMLP,
    RSign,
    SequencePooling,
    SpatialShift,
)
from larq_bcd.summary import cost

PAGE = (Path(__file__).parents[2] / "docs" / "layers" / "index.md").read_text()
BINARY = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}
LAYERS = {
    "BatchNormalization": BatchNormalization(),
    "LearnableBias": LearnableBias(),
    "RSign": RSign(),
    "activations.RPReLU": RPReLU(),
    "SpatialShift": SpatialShift(),
    "QuantConv2D": QuantConv2D(256, 3, padding="symmetric", use_bias=False, **BINARY),
    "QuantShiftMLP": QuantShiftMLP(256),
    "DynamicThresholdQuantConv2D": DynamicThresholdQuantConv2D(
        256, 3, padding="symmetric", use_bias=False
    ),
    "DynamicThreshold": DynamicThreshold(),
    "DySign": DySign(),
    "activations.DynamicRPReLU": DynamicRPReLU(),
    "InformationRecoupling": lambda x: InformationRecoupling()([x, x]),
    "QuantAttention": lambda x: QuantAttention(4)([x, x, x]),
    "PositionEmbedding": PositionEmbedding(),
    "SequencePooling": SequencePooling(),
    "GroupAverage": GroupAverage(4),
    "MaxPooling2D": MaxPooling2D(3, 2, "symmetric"),
}


def row_of(name):
    row = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", PAGE, re.MULTILINE)
    assert row, f"the page has no row for {name}"
    return [cell.strip() for cell in row.group(1).split("|")]


@pytest.mark.parametrize("name", LAYERS)
def test_layer_costs_are_the_computed_ones(name):
    inputs = tf.keras.Input((14, 14, 256))
    counted = cost(tf.keras.Model(inputs, LAYERS[name](inputs)))
    expected = [f"{n:,}" for n in (counted.bops, counted.flops, counted.parameters)]
    assert row_of(name)[-3:] == expected


def test_every_layer_has_its_row():
    public = {*layers.__all__, *(f"activations.{name}" for name in activations.__all__)}
    assert set(LAYERS) == public
