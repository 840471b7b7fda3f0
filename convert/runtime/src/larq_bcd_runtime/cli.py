"""The command bcd-run: classifies images, or measures how fast a file is."""

import argparse
import csv
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Optional

import numpy as np

from larq_bcd_runtime.interpreter import Interpreter, ModelError, TensorDetail

WARM_UP_RUNS = 3


def parse(arguments: Optional[list[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="bcd-run", description=__doc__)
    parser.add_argument("model", help="a .tflite file of Larq Compute Engine")
    parser.add_argument("images", nargs="*", help="images to classify")
    parser.add_argument("--labels", type=Path, help="text file, one class per line")
    parser.add_argument("--top", type=int, default=5, help="classes to print (default 5)")
    parser.add_argument(
        "--range", type=float, nargs=2, default=(-1.0, 1.0), metavar=("LOW", "HIGH"),
        help="what black and white become for a float input (default -1 1)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="(default 1)")
    parser.add_argument("--benchmark", action="store_true", help="time it on random input")
    parser.add_argument("--runs", type=int, default=50, help="timed runs (default 50)")
    parser.add_argument("--format", choices=["text", "csv", "json"], default="text",
                        help="of the benchmark's result")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.benchmark == bool(options.images):
        parser.error("give either images or --benchmark")
    for name in ("runs", "top"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}, and has to be at least 1")
    return options


def load_image(path: str, detail: TensorDetail, low: float, high: float) -> np.ndarray:
    """Returns an image as the file's input takes it: resized, centre cropped, scaled.

    Args:
        path: any image that Pillow reads.
        detail: the input; NHWC with 1 or 3 channels.
        low: value of black, for float32.
        high: value of white, for float32.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    if len(detail.shape) != 4 or detail.shape[3] not in (1, 3):
        raise ModelError(f"input {detail.name} of shape {detail.shape} is no image.")
    _, height, width, channels = detail.shape
    with Image.open(path) as image:
        image = image.convert("RGB" if channels == 3 else "L")
        scale = max(width / image.width, height / image.height)
        size = (
            max(width, round(image.width * scale)),
            max(height, round(image.height * scale)),
        )
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
        pixels = np.asarray(image, np.float32).reshape(1, height, width, channels)
    values = low + pixels / np.float32(255) * (high - low)
    if detail.dtype == np.float32:
        return values.astype(np.float32)
    if detail.dtype == np.int8 and detail.scale > 0:
        return np.clip(np.rint(values / detail.scale + detail.zero_point), -128, 127).astype(
            np.int8
        )
    raise ModelError(f"input {detail.name} takes {detail.dtype}; images need float32 or int8.")


def probabilities(outputs: np.ndarray, detail: TensorDetail) -> np.ndarray:
    """Returns the softmax of the logits, or the outputs themselves if they are one already."""
    scores = outputs.astype(np.float64).reshape(-1)
    if detail.scale > 0:
        scores = (scores - detail.zero_point) * detail.scale
    if (scores >= 0).all() and abs(scores.sum() - 1) < 1e-2:
        return scores
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def classify(interpreter: Interpreter, options: argparse.Namespace) -> None:
    """Prints the best classes of every image."""
    labels = options.labels.read_text().splitlines() if options.labels else None
    if len(interpreter.input_details) != 1 or len(interpreter.output_details) != 1:
        raise ModelError("classification needs a file with one input and one output.")
    (entry,), (result,) = interpreter.input_details, interpreter.output_details
    for path in options.images:
        image = load_image(path, entry, *options.range)
        shares = probabilities(interpreter.predict(image), result)
        if labels is not None and len(labels) != len(shares):
            raise ModelError(
                f"{options.labels} has {len(labels)} lines for {len(shares)} classes."
            )
        print(path)
        for index in np.argsort(-shares, kind="stable")[: options.top]:
            print(f"  {shares[index]:6.1%}  {labels[index] if labels else index}")


def benchmark(interpreter: Interpreter, options: argparse.Namespace) -> None:
    """Prints the time of a prediction on random input."""
    rng = np.random.default_rng(0)
    arrays = []
    for detail in interpreter.input_details:
        if detail.dtype == np.float32:
            arrays.append(rng.normal(size=detail.shape).astype(np.float32))
        else:
            arrays.append(rng.integers(0, 2, detail.shape).astype(detail.dtype))
    times = []
    for run in range(WARM_UP_RUNS + options.runs):
        start = time.perf_counter()
        interpreter.predict(arrays)
        if run >= WARM_UP_RUNS:
            times.append((time.perf_counter() - start) * 1e3)
    row = {
        "model": Path(options.model).name,
        "threads": options.threads,
        "kernels": interpreter.kernels,
        "runs": options.runs,
        "median_ms": round(statistics.median(times), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "min_ms": round(min(times), 3),
    }
    if options.format == "json":
        print(json.dumps(row))
    elif options.format == "csv":
        writer = csv.DictWriter(sys.stdout, row)
        writer.writeheader()
        writer.writerow(row)
    else:
        print("\n".join(f"{name:10} {value}" for name, value in row.items()))


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command; an error is one line on stderr and exit code 1."""
    options = parse(arguments)
    try:
        interpreter = Interpreter(options.model, options.threads)
        (benchmark if options.benchmark else classify)(interpreter, options)
    except (ModelError, ValueError, OSError) as error:
        print("bcd-run:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0
