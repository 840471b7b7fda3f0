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
from larq_bcd.models.network import binary_model, network
from larq_bcd.training.recorder import Recorder


def tiny(network, dropout=None, **arguments):
    """A part of every kind, once each.

    Args:
        network: its name.
        dropout: rate of random numbers of its own.
        **arguments: those of every binary network.
    """

    def features(x, binarization):
        x = blocks.stem(x, 4, 2)
        x = blocks.react_block(x, 8, 1, binarization, "block1")
        x = blocks.bi_mlp(x, (1, "half"), binarization, "mlp1")
        return tf.keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x

    return binary_model(
        network, features, pad_values=0.0, activation="rprelu", name=network, **arguments
    )


FACTS = {
    "paper": papers.BCDNET,
    "heads": ("fc", "fc_dist"),
    "parameters": 0,
    "binary_parameters": 0,
    "bops": 1,
    "flops": 0,
}


@network(tiny, **FACTS)
def TinyA(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    threshold="static",
):
    """BCDNet-A's parts, once each."""
    return tiny("TinyA", **locals())


@network(tiny, **FACTS)
def TinyB(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    threshold="contextual",
):
    """BCDNet-B's parts, once each."""
    return tiny("TinyB", **locals())


@network(tiny, **FACTS)
def TinyDropout(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    threshold="contextual",
):
    """TinyB with random numbers of its own."""
    return tiny("TinyDropout", dropout=0.3, **locals())


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
