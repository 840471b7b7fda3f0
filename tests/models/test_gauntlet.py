import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import reduced_network, run_network_test

from larq_bcd.models import get_model, list_models, model_info
from larq_bcd.summary import cost
from larq_bcd.summary.table import END, START, row

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize("name", list_models())
def test_a_network_has_its_shapes_converts_agrees_with_keras_and_trains(name, rng):
    run_network_test(name, rng)


@pytest.mark.parametrize("name", list_models())
def test_a_network_costs_what_is_known_of_it(name):
    info, counted = model_info(name), cost(get_model(name))
    assert counted.parameters == info.parameters
    assert counted.binary_parameters == info.binary_parameters
    assert counted.bops == info.bops
    assert counted.flops == info.flops
    assert row(info, counted) in README.splitlines()


def test_the_readme_lists_every_network_once():
    table = README.split(START)[1].split(END)[0]
    names = [line.split("`")[1] for line in table.splitlines() if "`" in line]
    assert names == list_models()


def test_saved_networks_load_bit_identically_in_a_fresh_process(rng, tmp_path):
    expected = {}
    for name in list_models():
        model, images = reduced_network(name, rng)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.images.npy", images)
        expected[name] = model(images).numpy()
    program = (
        # TensorFlow first, as in these tests: larq_bcd would choose oneDNN's kernels for it.
        "import sys, numpy as np, tensorflow as tf, larq_bcd\n"
        "for name in sys.argv[1:]:\n"
        "    model = tf.keras.models.load_model(name + '.keras')\n"
        "    np.save(name + '.logits.npy', model(np.load(name + '.images.npy')))\n"
    )
    command = [sys.executable, "-c", program, *expected]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    for name, logits in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.logits.npy"), logits)
