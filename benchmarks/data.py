"""Compares what the input pipeline delivers with what a network in training consumes.

Both alone, in turns, on the same cores. The images are made here: photographs of 500x375 as
JPEG files in a folder, and small pictures of 32x32 as PNG.

python benchmarks/data.py --rounds 3
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.table import Table

import larq_bcd
from larq_bcd.data.augmentation import Augmentation, ColorJitter, RandomResizedCrop
from larq_bcd.data.batches import open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing

_SECONDS = 4


@dataclass(frozen=True)
class Case:
    """Images, what is done with them, and the network that takes them."""

    name: str
    height: int
    width: int
    suffix: str
    preprocessing: Preprocessing
    augmentation: Augmentation
    batch: int
    network: dict


_COLORS = ColorJitter(0.2, 0.2, 0.2, 0.1)
CASES = (
    Case(
        "BCDNet-A at 224x224, JPEG of 500x375",
        375,
        500,
        ".jpg",
        Preprocessing(),
        Augmentation(
            random_resized_crop=RandomResizedCrop(), horizontal_flip=True, color_jitter=_COLORS
        ),
        8,
        {"input_shape": (224, 224, 3)},
    ),
    Case(
        "BCDNet-A x 0.25 at 32x32, PNG",
        32,
        32,
        ".png",
        Preprocessing((32, 32), resize=None),
        Augmentation(pad_crop=4, horizontal_flip=True, cutout=8, mixup=0.2),
        64,
        {"input_shape": (32, 32, 3), "width": 0.25, "strides": (1, 1, 1, 2, 2, 2)},
    ),
)


def write_images(folder: Path, case: Case, count: int = 256) -> None:
    """Ten classes of images with detail at every scale, as photographs have."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = np.zeros((case.height, case.width, 3), np.float32)
        for size in (4, 16, 64):
            noise = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            larger = Image.fromarray(noise).resize((case.width, case.height), Image.BICUBIC)
            image += np.asarray(larger, np.float32) / 3
        class_folder = folder / "train" / f"class{number % 10}"
        class_folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image.astype(np.uint8))
        picture.save(class_folder / f"{number}{case.suffix}", quality=90)


def pipeline_rate(batches, batch: int) -> float:
    """Images per second of the pipeline alone."""
    images, start = 0, time.perf_counter()
    while time.perf_counter() - start < _SECONDS:
        next(batches)
        images += batch
    return images / (time.perf_counter() - start)


def network_rate(step, batch: int) -> float:
    """Images per second of training alone, on a batch that is at hand."""
    images, start = 0, time.perf_counter()
    while images == 0 or time.perf_counter() - start < _SECONDS:
        step()
        images += batch
    return images / (time.perf_counter() - start)


def training_step(case: Case):
    """A training step on a fixed batch."""
    model = larq_bcd.models.BCDNetA(num_classes=10, **case.network)
    images = tf.random.normal((case.batch, *case.network["input_shape"]))
    labels = tf.zeros(case.batch, tf.int64)
    model.compile(
        tf.keras.optimizers.AdamW(1e-3),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: model.train_on_batch(images, labels)


def measure(case: Case, rounds: int) -> tuple[float, float]:
    """Returns the medians of both rates."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), case)
        source = open_source(folder, "train")
        batches = iter(
            training_batches(source, case.preprocessing, case.augmentation, case.batch, seed=0)
        )
        step = training_step(case)
        for _ in range(3):
            next(batches)
            step()
        rates = [
            (pipeline_rate(batches, case.batch), network_rate(step, case.batch))
            for _ in range(rounds)
        ]
    return tuple(map(statistics.median, zip(*rates, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    options = parser.parse_args()
    table = Table(title="images per second")
    for column in ("", "pipeline alone", "training alone", "ratio"):
        table.add_column(column, justify="right")
    for case in CASES:
        pipeline, network = measure(case, options.rounds)
        ratio = f"{pipeline / network:.1f}"
        table.add_row(case.name, f"{pipeline:,.0f}", f"{network:,.1f}", ratio)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
