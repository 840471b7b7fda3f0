"""Runs `larq-bcd` with networks that trace in a second, and dies when told.

python tiny_run.py train RECIPE ...; the environment variable KILL_AT_STEP names a step of all
stages together at whose end the process sends itself SIGKILL, or the signal of KILL_BY;
CPU_DEVICES splits the CPU into that many devices.
"""

import os
import signal
import sys

import tensorflow as tf

from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.models import blocks, papers
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.network import network
from larq_bcd.training.recorder import Recorder


def tiny(x, binarization):
    x = blocks.stem(x, 4, 2)
    x = blocks.react_block(x, 8, 1, binarization, "block1")
    return blocks.bi_mlp(x, (1, "half"), binarization, "mlp1")


FACTS = {
    "paper": papers.BCDNET,
    "heads": ("fc", "fc_dist"),
    "parameters": 0,
    "binary_parameters": 0,
    "bops": 1,
    "flops": 0,
}


@network("tiny_a", binarization=Binarization(), **FACTS)
def TinyA(x, binarization):
    """BCDNet-A's parts, once each."""
    return tiny(x, binarization)


@network("tiny_b", binarization=Binarization(threshold="contextual"), **FACTS)
def TinyB(x, binarization):
    """BCDNet-B's parts, once each."""
    return tiny(x, binarization)


@network("tiny_dropout", binarization=Binarization(threshold="contextual"), **FACTS)
def TinyDropout(x, binarization):
    """TinyB with random numbers of its own."""
    return tf.keras.layers.Dropout(0.3, name="dropout")(tiny(x, binarization))


def die_at(step: int) -> None:
    plain, made = Recorder.on_train_batch_end, 0

    def counting(self, batch, logs=None):
        nonlocal made
        made += 1
        plain(self, batch, logs)
        if made == step:
            number = signal.Signals[os.environ.get("KILL_BY", "SIGKILL")]
            os.kill(os.getpid(), number)

    Recorder.on_train_batch_end = counting


if __name__ == "__main__":
    if devices := int(os.environ.get("CPU_DEVICES", "0")):
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
        tf.config.set_logical_device_configuration(cpu, logical)
    if step := int(os.environ.get("KILL_AT_STEP", "0")):
        die_at(step)
    sys.exit(main(sys.argv[1:]))
