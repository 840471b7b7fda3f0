import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from larq_bcd import models
from larq_bcd.activations import RPReLU
from larq_bcd.layers import (
    DynamicThresholdQuantConv2D,
    LearnableBias,
    QuantConv2D,
    QuantShiftMLP,
    RSign,
    SpatialShift,
)
from larq_bcd.summary import cost

README = (Path(__file__).parent.parent / "README.md").read_text()
BINARY = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}
LAYERS = {
    "LearnableBias": LearnableBias(),
    "RSign": RSign(),
    "activations.RPReLU": RPReLU(),
    "SpatialShift": SpatialShift(),
    "QuantConv2D": QuantConv2D(256, 3, padding="symmetric", use_bias=False, **BINARY),
    "QuantShiftMLP": QuantShiftMLP(256),
    "DynamicThresholdQuantConv2D": DynamicThresholdQuantConv2D(
        256, 3, padding="symmetric", use_bias=False
    ),
}


def row_of(name):
    row = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", README, re.MULTILINE)
    assert row, f"README has no row for {name}"
    return [cell.strip() for cell in row.group(1).split("|")]


@pytest.mark.parametrize("name", LAYERS)
def test_layer_costs_are_the_computed_ones(name):
    inputs = tf.keras.Input((14, 14, 256))
    counted = cost(tf.keras.Model(inputs, LAYERS[name](inputs)))
    expected = [f"{n:,}" for n in (counted.bops, counted.flops, counted.parameters)]
    assert row_of(name)[-3:] == expected


@pytest.mark.parametrize("name", ["BCDNetA", "BCDNetB", "ReActNetA"])
def test_model_costs_are_the_computed_ones(name):
    counted = cost(getattr(models, name)())
    assert row_of(name)[:5] == [
        f"{counted.parameters:,}",
        f"{counted.binary_parameters:,}",
        f"{counted.bops / 1e9:.2f}e9",
        f"{counted.flops / 1e8:.2f}e8",
        f"{counted.ops / 1e8:.2f}e8",
    ]


def test_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    command = [sys.executable, "-c", "\n".join(blocks)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "digits.tflite").stat().st_size > 0
