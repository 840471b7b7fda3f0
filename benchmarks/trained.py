"""Draws the accuracy of all that was trained over its BOPs and its latency.

The published networks come with the accuracy on the test split, those of studies with the mean
over their seeds on the validation split; the results of both are read, and not made here. The
latency is that of the file as `lce_convert` writes it, on one thread of larq_bcd_runtime, the
median of turns that all take; that of a network of which no weights are kept is measured with
random ones, on which it does not depend.

python benchmarks/trained.py docs/networks/trained --rounds 20
"""

import argparse
import csv
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import larq_bcd_runtime
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from larq_bcd.convert import convert
from larq_bcd.training import networks
from larq_bcd.training.recipe_file import read_recipe

_MODELS = Path(__file__).parents[1] / "models"
_STUDIES = {"claims_cifar10": ("cifar10", 10)}  # images and number of classes
_AT_LEAST = 0.05  # seconds of each turn
_WARM_UP = 3  # runs before each turn
HEADER = ("network", "images", "split", "seeds", "accuracy", "margin", "bops", "flops", "ms")


@dataclass
class Trained:
    """A network, and what is known of it.

    Attributes:
        name: of the recipe or the variant.
        images: the data set.
        split: on which the accuracy is.
        seeds: number of trainings.
        accuracy: their mean, in [0, 1].
        margin: half of the 95 % interval, or None.
        bops: binary multiply-accumulates of an image.
        flops: real ones.
        content: the bytes of the `.tflite` file.
    """

    name: str
    images: str
    split: str
    seeds: int
    accuracy: float
    margin: float | None
    bops: int
    flops: int
    content: bytes


def published() -> list[Trained]:
    """The networks of which there is a file."""
    found = []
    for path in sorted(_MODELS.glob("*/*.tflite")):
        results = json.loads((path.parent / "results.json").read_text())
        accuracy = results["test_accuracy"]["tflite"]
        costs = results["bops"], results["flops"]
        ours = path.stem, results["dataset"], "test", 1
        found.append(Trained(*ours, accuracy, None, *costs, path.read_bytes()))
    return found


def of_studies() -> list[Trained]:
    """The variants of the studies that have been trained."""
    found = []
    for study, (images, classes) in _STUDIES.items():
        results = _MODELS / "studies" / study / "results"
        with (results / "results.csv").open() as file:
            for row in csv.DictReader(file):
                if not int(row["seeds"]):
                    continue
                high = row["accuracy_high"]
                accuracy = float(row["accuracy"])
                margin = float(high) - accuracy if high else None
                content = converted(results / row["variant"] / "recipe.yaml", classes)
                costs = int(row["bops"]), int(row["flops"])
                ours = row["variant"], images, "validation", int(row["seeds"])
                found.append(Trained(*ours, accuracy, margin, *costs, content))
    return found


def converted(recipe_file: Path, classes: int) -> bytes:
    """The file of a recipe's last network, with random weights."""
    recipe = read_recipe(str(recipe_file), [])
    network = networks.build_network(recipe, len(recipe.stages) - 1, classes)
    rng = np.random.default_rng(0)
    for weights in network.trainable_weights:  # new ones may be 0, and be folded away
        weights.assign_add(rng.normal(0, 0.02, weights.shape))
    return convert(network).content


def latencies(found: list[Trained], rounds: int) -> list[float]:
    """Returns the milliseconds of each, which take turns."""
    rng = np.random.default_rng(0)
    runs = []
    for one in found:
        interpreter = larq_bcd_runtime.Interpreter(one.content, num_threads=1)
        (details,) = interpreter.input_details
        images = rng.normal(size=details.shape).astype(np.float32)
        runs.append(lambda interpreter=interpreter, images=images: interpreter.predict(images))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, own in zip(runs, times, strict=True):
            for _ in range(_WARM_UP):
                run()
            count, start = 0, time.perf_counter()
            while (taken := time.perf_counter() - start) < _AT_LEAST:
                run()
                count += 1
            own.append(1e3 * taken / count)
    return [statistics.median(own) for own in times]


def draw(path: Path, found: list[Trained], milliseconds: list[float]) -> None:
    """Draws both pictures beside each other, one color and mark for each network."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    millions = [one.bops / 1e6 for one in found]
    for panel, places in zip(panels, (millions, milliseconds), strict=True):
        for index, (place, one) in enumerate(zip(places, found, strict=True)):
            seeds = f", {one.seeds} seeds" if one.seeds > 1 else ""
            panel.errorbar(
                place,
                100 * one.accuracy,
                yerr=100 * (one.margin or 0),
                fmt="os^DvP<X>"[index % 9],
                color=f"C{index}",
                capsize=3,
                label=f"{one.name}\n{one.images}, {one.split}{seeds}",
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("{x:g}")
        panel.grid(alpha=0.3, which="both")
    panels[0].set_xlabel("million BOPs of an image")
    panels[1].set_xlabel("milliseconds of an image, one thread")
    panels[0].set_ylabel("accuracy in %, with its 95 % interval over the seeds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right", fontsize=8)
    figure.savefig(path, dpi=90)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="of OUTPUT.csv and OUTPUT.png")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each")
    options = parser.parse_args()
    console = Console()
    console.print("Converting what has no file ...")
    found = [*published(), *of_studies()]
    milliseconds = latencies(found, options.rounds)
    with options.output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for one, ms in zip(found, milliseconds, strict=True):
            margin = "" if one.margin is None else f"{one.margin:.4f}"
            about = one.name, one.images, one.split, one.seeds
            row = [*about, f"{one.accuracy:.4f}", margin, one.bops, one.flops, f"{ms:.3f}"]
            writer.writerow(row)
            console.print(*row)
    draw(options.output.with_suffix(".png"), found, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
