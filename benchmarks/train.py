"""Compares a training step of BCDNet-A here, in plain larq and in plain PyTorch.

Each has a process of its own, and they take turns, so that what else the machine does falls
on all alike. A step is forward, backward and the update of AdamW; memory per image is by how
much the peak grows from a small to the full batch.

python benchmarks/train.py --batch 8 --threads 2 --rounds 10
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

_SMALL = 2


def tensorflow_step(model, batch, size, optimizer):
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(batch, size, size, 3)).astype(np.float32))
    labels = tf.constant(rng.integers(0, 1000, batch))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = sum(loss(labels, head) for head in model(images, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    return lambda: step().numpy()


def ours(size, precision="float32"):
    import tensorflow as tf

    import larq_bcd
    from larq_bcd.training.optimizers import build_optimizer
    from larq_bcd.training.recipe import Optimizer
    from larq_bcd.training.schedules import WarmUpThenDecay

    tf.keras.mixed_precision.set_global_policy(precision)
    models = larq_bcd.models
    model = models.with_training_heads(models.BCDNetA(input_shape=(size, size, 3)))
    optimizer = build_optimizer(
        Optimizer(name="adamw", weight_decay=0.01),
        WarmUpThenDecay(1e-3, 1000),
        model,
    )
    return lambda batch: tensorflow_step(model, batch, size, optimizer)


def larq(size):
    import tensorflow as tf
    from larq_bcdnet import bcdnet_a

    model = bcdnet_a(size)
    optimizer = tf.keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    optimizer.build(model.trainable_variables)
    return lambda batch: tensorflow_step(model, batch, size, optimizer)


def pytorch(size, bfloat16=False):
    import torch
    from pytorch_bcdnet import BCDNetA

    torch.manual_seed(0)
    model = BCDNetA()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)

    def of_batch(batch):
        images, labels = torch.randn(batch, 3, size, size), torch.randint(0, 1000, (batch,))

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
    "larq_bcd, bfloat16": lambda size: ours(size, "mixed_bfloat16"),
    "larq": larq,
    "larq, oneDNN": larq,
    "PyTorch": pytorch,
    "PyTorch, bfloat16": lambda size: pytorch(size, bfloat16=True),
}
# TensorFlow uses oneDNN by itself on CPUs with VNNI alone; larq_bcd on all, as PyTorch does.
ENVIRONMENTS = {
    "larq": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "larq, oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "1"},
}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(name: str, batch: int, size: int, threads: int) -> None:
    """Runs a step for each line of stdin, and says in JSON how long it took."""
    if name.startswith("PyTorch"):
        import torch

        torch.set_num_threads(threads)
    else:
        # Settles Keras, and oneDNN, which TensorFlow reads once, when it is first imported.
        import larq_bcd  # noqa: F401, I001
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    of_batch = CONTENDERS[name](size)
    peaks = []
    for count in (_SMALL, batch):
        step = of_batch(count)
        for _ in range(3):
            loss = step()
        peaks.append(_peak())
    per_image = (peaks[1] - peaks[0]) / (batch - _SMALL)
    print(
        json.dumps({"per_image": per_image, "peak": peaks[1], "loss": float(loss)}), flush=True
    )
    for _ in sys.stdin:
        start, start_cpu = time.perf_counter(), time.process_time()
        step()
        elapsed = time.perf_counter() - start, time.process_time() - start_cpu
        print(json.dumps(elapsed), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8, help="images in a step, over 2")
    parser.add_argument("--size", type=int, default=224, help="their height and width")
    parser.add_argument("--threads", type=int, default=2, help="threads of an operation")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each that are timed")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.batch, options.size, options.threads)
        return 0

    console = Console()
    workers, memory = {}, {}
    for name in options.only:
        command = [sys.executable, __file__, "--serve", name]
        command += ["--batch", str(options.batch), "--size", str(options.size)]
        command += ["--threads", str(options.threads)]
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(options.threads),
                **ENVIRONMENTS.get(name, {}),
            },
        )
        workers[name] = worker
        console.print(f"Preparing {name} ...")
        memory[name] = json.loads(worker.stdout.readline())
    times: dict[str, list[list[float]]] = {name: [] for name in workers}
    for round in range(options.rounds):
        console.print(f"Round {round + 1} of {options.rounds} ...")
        for name, worker in workers.items():
            worker.stdin.write("step\n")
            worker.stdin.flush()
            times[name].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    show(options, times, memory)
    return 0


def show(options, times, memory) -> None:
    """Prints the table; the ratios are medians over the rounds, of neighbors in time.

    The CPU time is what a machine that does other things at the same time disturbs least.
    """
    table = Table(
        title=f"Training step of BCDNet-A, {options.size}x{options.size}, batch "
        f"{options.batch}, {options.threads} threads"
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
            f"{wall:.2f}",
            f"{cpu:.2f}",
            f"{options.batch / wall:.2f}",
            ratio,
            f"{memory[name]['per_image'] / 1e6:,.0f}",
            f"{memory[name]['peak'] / 1e6:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
