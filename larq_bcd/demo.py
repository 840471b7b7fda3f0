"""Trains a small BCDNet-B on real images, converts it, and compares the file with Keras.

python -m larq_bcd.demo
python -m larq_bcd.demo --dataset cifar10 --data-dir ~/tensorflow_datasets --steps 10000
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from larq_bcd.commands import lce_convert as cli
from larq_bcd.convert import merge_heads
from larq_bcd.convert.lce import convert_model
from larq_bcd.models import BCDNetB, copy_weights
from larq_bcd.tflite.engines import open_engine

BATCH = 32
# A first step of real kernels takes two fifths of the training, as in the paper's recipe
# of 300K and 600K iterations it takes a third.
FIRST_STEP_SHARE = 0.4
# Strides that leave 4x4 positions to the MLP stage, by image size.
STRIDES = {16: (1, 1, 1, 1, 2, 2), 32: (1, 1, 1, 2, 2, 2), 64: (2, 1, 1, 2, 2, 2)}


@dataclass(frozen=True)
class Images:
    """A data set in memory: uint8 NHWC images, and labels."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: int
    mirrored: bool

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 images of mean 0 and deviation 1 over the training images."""
        sample = self.train[0][:5000].astype(np.float32)
        mean, deviation = sample.mean((0, 1, 2)), sample.std((0, 1, 2))
        return (images.astype(np.float32) - mean) / deviation


def load_digits() -> Images:
    """The 1,797 handwritten digits that scikit-learn carries, at 16x16; a fifth is the test."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise SystemExit(
            "the digits need scikit-learn: run `pip install 'larq-bcd[digits]'`, or choose "
            "another data set with --dataset and --data-dir."
        ) from None
    digits = load_digits()
    images = tf.image.resize(digits.images[..., None] * (255 / 16), (16, 16))
    images = np.rint(images.numpy()).astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    return Images((train_x, train_y), (test_x, test_y), classes=10, mirrored=False)


def load_tfds(name: str, data_dir: str | None) -> Images:
    """A prepared image data set of tensorflow_datasets, at 32x32 or, if larger, at 64x64."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise SystemExit(
            f"--dataset {name!r} is not known to tensorflow_datasets, nor found in --data-dir "
            f"{data_dir!r}: check both, or leave --dataset out for the digits."
        ) from None
    info = builder.info
    if not {"image", "label"} <= set(info.features):
        raise SystemExit(
            f"--dataset {name!r} has the features {sorted(info.features)}: choose one with "
            "'image' and 'label'."
        )
    if not info.splits:
        raise SystemExit(
            f"--dataset {name!r} is not prepared in --data-dir {data_dir!r}: pass the folder "
            f"that holds {name.split('/')[0]}/, or prepare it with `tfds build`."
        )
    test = next((split for split in ("test", "validation") if split in info.splits), None)
    if test is None or "train" not in info.splits:
        raise SystemExit(
            f"--dataset {name!r} has the splits {sorted(info.splits)}: choose one with "
            "'train' and 'test' or 'validation'."
        )
    height = info.features["image"].shape[0]
    size = 32 if height and height <= 32 else 64

    def read(split: str) -> tuple[np.ndarray, np.ndarray]:
        examples = builder.as_dataset(split).map(
            lambda example: (
                tf.image.resize(example["image"], (size, size), antialias=True),
                example["label"],
            ),
            tf.data.AUTOTUNE,
        )
        pairs = [
            (image.astype(np.uint8), label) for image, label in examples.as_numpy_iterator()
        ]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.array(labels)

    classes = info.features["label"].num_classes
    return Images(read("train"), read(test), classes, mirrored=True)


def batches(data: Images) -> tf.data.Dataset:
    """Shuffled training batches without end, each image moved by up to an eighth."""
    images, labels = data.train
    size = images.shape[1]
    margin = size // 8
    images = data.normalized(images)
    border = images.min(axis=(0, 1, 2))

    def moved(image, label):
        framed = tf.pad(image - border, [[margin, margin], [margin, margin], [0, 0]]) + border
        image = tf.image.random_crop(framed, image.shape)
        return tf.image.random_flip_left_right(image) if data.mirrored else image, label

    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    examples = examples.shuffle(len(labels), seed=0).repeat().map(moved, tf.data.AUTOTUNE)
    return examples.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def train(model: tf.keras.Model, data: Images, steps: int, learning_rate: float) -> None:
    """Trains with Adam on a cosine schedule; Keras shows the progress."""
    steps_per_epoch = min(steps, len(data.train[1]) // BATCH)
    epochs = max(1, round(steps / steps_per_epoch))
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        learning_rate, epochs * steps_per_epoch
    )
    model.compile(
        # One fused operation for each weight, where the newer Adam has several: starts sooner.
        tf.keras.optimizers.legacy.Adam(schedule),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(batches(data), steps_per_epoch=steps_per_epoch, epochs=epochs)


def latency(flatbuffer: bytes, image: np.ndarray) -> tuple[float, str]:
    """Median milliseconds of one image on one thread, and the engine that takes them."""
    engine = open_engine(flatbuffer, threads=1)
    times = []
    for _ in range(60):
        start = time.perf_counter()
        engine.predict(image[None])
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[10:]), engine.name


def float_twin_size(arguments: dict) -> int:
    """Bytes of the file of the same network with nothing binary."""
    twin = BCDNetB(input_quantizer=None, kernel_quantizer=None, **arguments)
    content, _ = convert_model(merge_heads(twin)[0])
    return len(content)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m larq_bcd.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", default="digits", help="digits, or a tfds image data set")
    parser.add_argument("--data-dir", help="folder of prepared tensorflow_datasets")
    parser.add_argument("--steps", type=int, default=880, help="training steps of 32 images")
    parser.add_argument("--width", type=float, default=0.25, help="factor of the channels")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the files")
    options = parser.parse_args(arguments)
    if options.steps < 2:
        parser.error(f"--steps {options.steps}: pass at least 2, one for each training step")
    console = Console()
    # The same machine gives the same figures again.
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()

    digits = options.dataset == "digits"
    console.print(f"Reading {options.dataset} ...")
    data = load_digits() if digits else load_tfds(options.dataset, options.data_dir)
    size, channels = data.train[0].shape[1], data.train[0].shape[3]
    network = {
        "input_shape": (size, size, channels),
        "num_classes": data.classes,
        "width": options.width,
        "strides": STRIDES[size],
    }
    first_steps = max(1, round(FIRST_STEP_SHARE * options.steps))

    console.rule("[bold]Step 1: binary activations, real weights")
    first = BCDNetB(kernel_quantizer=None, **network)
    train(first, data, first_steps, 4e-3)
    console.rule("[bold]Step 2: binary activations and weights")
    model = BCDNetB(**network)
    copy_weights(first, model)
    train(model, data, options.steps - first_steps, 2e-3)

    console.rule("[bold]lce_convert")
    options.output.mkdir(parents=True, exist_ok=True)
    keras_file = options.output / "bcdnet_b.keras"
    tflite_file = options.output / "bcdnet_b.tflite"
    model.save(keras_file)
    report_file = options.output / "report.json"
    files = [str(keras_file), "-o", str(tflite_file), "--report", str(report_file)]
    status = cli.main([*files, "--force"])
    if status:
        return status

    console.rule(f"[bold]Test split of {options.dataset}")
    images, labels = data.normalized(data.test[0]), data.test[1]
    flatbuffer = tflite_file.read_bytes()
    keras_classes = model.predict(images).argmax(1)
    (logits,) = open_engine(flatbuffer).predict(images)
    tflite_classes = logits.argmax(1)
    milliseconds, engine = latency(flatbuffer, images[0])

    layers = json.loads(report_file.read_text())["layers"]
    results = {
        "dataset": options.dataset,
        "test_images": len(labels),
        "keras_accuracy": float((keras_classes == labels).mean()),
        "tflite_accuracy": float((tflite_classes == labels).mean()),
        "agreement": float((keras_classes == tflite_classes).mean()),
        "file_bytes": len(flatbuffer),
        "float_twin_bytes": float_twin_size(network),
        "latency_ms": milliseconds,
        "latency_on": engine,
        "float_fallbacks": [
            layer["name"]
            for layer in layers
            if layer["trains_as_binary"] and layer["ships_as"] == "float"
        ],
        "file": str(tflite_file),
    }
    (options.output / "results.json").write_text(json.dumps(results, indent=2))
    show(results, options.width, console)
    return 0


def show(results: dict, width: float, console: Console) -> None:
    """Prints the results as a table."""
    title = f"BCDNet-B x {width} on {results['dataset']}"
    table = Table(title=title, show_header=False, min_width=60)
    for name, value in {
        "test images": f"{results['test_images']:,}",
        "Keras accuracy": f"{results['keras_accuracy']:.2%}",
        ".tflite accuracy": f"{results['tflite_accuracy']:.2%}",
        "agreement of the two": f"{results['agreement']:.2%}",
        "binary layers left in float": str(len(results["float_fallbacks"])),
        "size": f"{results['file_bytes'] / 1000:,.0f} kB",
        "size of the float twin": f"{results['float_twin_bytes'] / 1000:,.0f} kB",
        "latency on one thread of this machine": f"{results['latency_ms']:.2f} ms",
        "timed on": results["latency_on"],
        "file": results["file"],
    }.items():
        table.add_row(name, value)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
