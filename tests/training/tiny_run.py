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
from larq_bcd.models.network import OWN, build_model, variant
from larq_bcd.training.recorder import Recorder


def tiny(
    info,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    threshold=OWN,
):
    """A part of every kind, once each.

    Args:
    """
    binarization = blocks.Binarization(input_quantizer, kernel_quantizer, threshold=threshold)

    def features(x):
        x = blocks.stem(x, 4, 2)
        x = blocks.react_block(x, 8, 1, binarization, "block1")
        x = blocks.bi_mlp(x, (1, "half"), binarization, "mlp1")
        dropout = info.settings.get("dropout")
        return tf.keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x

    image = input_shape, input_tensor
    return build_model(
        info, features, *image, weights, include_top, num_classes, info.name, None
    )


FACTS = {
    "paper": papers.BCDNET,
    "heads": ("fc", "fc_dist"),
    "parameters": 0,
    "binary_parameters": 0,
    "bops": 1,
    "flops": 0,
}


@variant(tiny, **FACTS)
def TinyA(*, threshold="static"):
    """BCDNet-A's parts, once each."""


@variant(tiny, **FACTS)
def TinyB(*, threshold="contextual"):
    """BCDNet-B's parts, once each."""


@variant(tiny, settings={"dropout": 0.3}, **FACTS)
def TinyDropout(*, threshold="contextual"):
    """TinyB with random numbers of its own."""


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
