import subprocess
import sys
from pathlib import Path

import pytest
from helpers import run_network_test

from larq_bcd.models import get_model, list_models, model_info
from larq_bcd.summary import cost
from larq_bcd.summary.table import END, START, row

PAGE = (Path(__file__).parents[2] / "docs" / "networks" / "index.md").read_text()


# TensorFlow first, as in these tests: larq_bcd would choose oneDNN's kernels for it.
FRESH = """
import sys, numpy as np, tensorflow as tf, larq_bcd
for line in sys.stdin:
    folder = line.rstrip()
    model = tf.keras.models.load_model(folder + "/model.keras")
    np.save(folder + "/logits.npy", model(np.load(folder + "/images.npy")))
    print("loaded", flush=True)
    tf.keras.backend.clear_session()
"""


class FreshProcess:
    """A process beside the tests that has imported larq_bcd alone, and loads what they save."""

    def __init__(self):
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", FRESH]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def start(self, folder: Path) -> None:
        """Begins to load the network of a folder and to run it on the images there."""
        print(folder, file=self.process.stdin, flush=True)

    def wait(self) -> None:
        """Returns when the logits are in the folder."""
        assert self.process.stdout.readline() == "loaded\n"


@pytest.fixture(scope="module")
def fresh_process():
    process = FreshProcess()
    yield process
    process.process.communicate()


@pytest.mark.parametrize("name", list_models())
def test_a_network_passes_the_gauntlet(name, rng, tmp_path, fresh_process):
    run_network_test(name, rng, tmp_path, fresh_process)


@pytest.mark.parametrize("name", list_models())
def test_a_network_costs_what_is_known_of_it(name):
    info, counted = model_info(name), cost(get_model(name))
    assert counted.parameters == info.parameters
    assert counted.binary_parameters == info.binary_parameters
    assert counted.bops == info.bops
    assert counted.flops == info.flops
    assert row(info, counted) in PAGE.splitlines()


def test_the_readme_lists_every_network_once():
    table = PAGE.split(START)[1].split(END)[0]
    names = [line.split("`")[1] for line in table.splitlines() if "`" in line]
    assert names == list_models()
