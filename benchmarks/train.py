"""Compares a training step of BCDNet-A here, in plain larq and in plain PyTorch.

Each has a process of its own, and they take turns, so that what else the machine does falls
on all alike. A step is forward, backward and the update of AdamW; memory per image is by how
much the peak grows from a small to the full batch. BCDNet-A is that of ImageNet, and those of
a quarter and half of the channels on images of 32x32.

python benchmarks/train.py --threads 2 --rounds 10 --case imagenet quarter half
"""

import argparse
import resource
import statistics
import sys
from dataclasses import dataclass, field, replace

from in_turns import Worker, take_turns
from rich.console import Console
from rich.table import Table

_SMALL = 2


@dataclass(frozen=True)
class Case:
    """A network and what it is trained on.

    Attributes:
        name: for the table.
        size: height and width of the images.
        batch: images in a step.
        classes: number of them.
        arguments: of the network: width, strides and blocks of the MLP stage.
    """

    name: str
    size: int
    batch: int
    classes: int
    arguments: dict = field(default_factory=dict)


CASES = {
    "imagenet": Case("BCDNet-A", 224, 8, 1000),
    "quarter": Case(
        "BCDNet-A of a quarter of the channels",
        32,
        128,
        10,
        {"width": 0.25, "strides": (1, 2, 1, 2, 2, 1), "mlp_blocks": 1},
    ),
    "half": Case(
        "BCDNet-A of half of the channels",
        32,
        128,
        10,
        {"width": 0.5, "strides": (1, 1, 2, 2, 2, 1), "mlp_blocks": 1},
    ),
}


def tensorflow_step(model, batch, case, optimizer):
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(batch, case.size, case.size, 3)).astype(np.float32))
    labels = tf.constant(rng.integers(0, case.classes, batch))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = sum(loss(labels, head) for head in model(images, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    return lambda: step().numpy()


def ours(case, precision="float32"):
    import tensorflow as tf

    import larq_bcd
    from larq_bcd.training.optimizers import build_optimizer
    from larq_bcd.training.recipe import Optimizer
    from larq_bcd.training.schedules import WarmUpThenDecay

    tf.keras.mixed_precision.set_global_policy(precision)
    models = larq_bcd.models
    network = models.BCDNetA(
        (case.size, case.size, 3), num_classes=case.classes, **case.arguments
    )
    model = models.with_training_heads(network)
    optimizer = build_optimizer(
        Optimizer(name="adamw", weight_decay=0.01),
        WarmUpThenDecay(1e-3, 1000),
        model,
    )
    return lambda batch: tensorflow_step(model, batch, case, optimizer)


def larq(case):
    import tensorflow as tf
    from larq_bcdnet import bcdnet_a

    model = bcdnet_a(case.size)
    optimizer = tf.keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    optimizer.build(model.trainable_variables)
    return lambda batch: tensorflow_step(model, batch, case, optimizer)


def pytorch(case, bfloat16=False):
    import torch
    from pytorch_bcdnet import BCDNetA

    torch.manual_seed(0)
    model = BCDNetA(case.classes, **case.arguments)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)

    def of_batch(batch):
        images = torch.randn(batch, 3, case.size, case.size)
        labels = torch.randint(0, case.classes, (batch,))

        def step():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                heads = model(images)
            loss = sum(
                torch.nn.functional.cross_entropy(head.float(), labels) for head in heads
            )
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    return of_batch


CONTENDERS = {
    "larq_bcd": ours,
    "larq_bcd, bfloat16": lambda case: ours(case, "mixed_bfloat16"),
    "larq": larq,
    "larq, oneDNN": larq,
    "PyTorch": pytorch,
    "PyTorch, bfloat16": lambda case: pytorch(case, bfloat16=True),
}
# TensorFlow uses oneDNN by itself on CPUs with VNNI alone; larq_bcd on all, as PyTorch does.
ENVIRONMENTS = {
    "larq": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "larq, oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "1"},
}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(name: str, case: Case, threads: int) -> None:
    """Runs a step in each turn."""
    if name.startswith("PyTorch"):
        import torch

        torch.set_num_threads(threads)
    else:
        # Settles Keras, and oneDNN, which TensorFlow reads once, when it is first imported: so
        # it comes first, whatever the order of names.
        import larq_bcd  # noqa: F401, I001
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    of_batch = CONTENDERS[name](case)
    peaks = []
    for count in (_SMALL, case.batch):
        step = of_batch(count)
        for _ in range(3):
            loss = step()
        peaks.append(_peak())
    per_image = (peaks[1] - peaks[0]) / (case.batch - _SMALL)
    said = {"per_image": per_image, "peak": peaks[1], "loss": float(loss)}
    turn = Worker(warm_up=0, steps=1, first=said)
    while True:
        turn()
        step()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--batch", type=int, help="images in a step, over 2")
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="threads of an operation, and operations at a time",
    )
    parser.add_argument("--rounds", type=int, default=10, help="steps of each that are timed")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [CASES[name] for name in options.case]
    if options.batch:
        cases = [replace(case, batch=options.batch) for case in cases]
    if options.serve:
        serve(options.serve, cases[0], options.threads)
        return 0
    for name, case in zip(options.case, cases, strict=True):
        compare(name, case, options)
    return 0


def compare(key: str, case: Case, options) -> None:
    """Times the steps of a case in turns, and prints its table."""
    # The network in plain larq is that of ImageNet.
    small = [name for name in options.only if CONTENDERS[name] is not larq]
    commands = {
        name: [
            *(sys.executable, __file__, "--serve", name, "--case", key),
            *("--batch", str(case.batch), "--threads", str(options.threads)),
        ]
        for name in (options.only if key == "imagenet" else small)
    }
    threads = {"OMP_NUM_THREADS": str(options.threads)}
    environments = {name: {**threads, **ENVIRONMENTS.get(name, {})} for name in commands}
    memory, times = take_turns(commands, options.rounds, environments)
    show(case, options.threads, times, memory)


def show(case, threads, times, memory) -> None:
    """Prints the table; the ratios are medians over the rounds, of neighbors in time.

    The CPU time is what a machine that does other things at the same time disturbs least.
    """
    table = Table(
        title=f"Training step of {case.name}, {case.size}x{case.size}, batch {case.batch}, "
        f"{threads} threads"
    )
    columns = ("", "s per step", "CPU s", "images/s", "x PyTorch", "MB per image", "peak MB")
    for column in columns:
        table.add_column(column, justify="right")
    for name, own in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*own, strict=True))
        ratio = "-"
        if "PyTorch" in times:
            pairs = zip(own, times["PyTorch"], strict=True)
            ratio = f"{statistics.median(theirs[0] / ours[0] for ours, theirs in pairs):.2f}"
        table.add_row(
            name,
            f"{wall:.3f}",
            f"{cpu:.3f}",
            f"{case.batch / wall:.2f}",
            ratio,
            f"{memory[name]['per_image'] / 1e6:,.0f}",
            f"{memory[name]['peak'] / 1e6:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
