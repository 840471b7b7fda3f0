"""The table at the end of `make demo`, of what its commands have written to a run's folder.

python benchmarks/demo_table.py FOLDER RESULTS.json
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from larq_bcd.tflite.engines import open_engine
from larq_bcd.tflite.graph import Graph

RUNS, WARM_UP = 60, 10


def latency(content: bytes) -> tuple[float, str]:
    """Median milliseconds of one image on one thread, and the engine that takes them."""
    engine = open_engine(content, threads=1)
    (image,) = Graph(content).inputs
    zeros = np.zeros(image.shape, image.dtype)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        engine.predict(zeros)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:]), engine.name


def collect(folder: Path) -> dict:
    """Brings together what `larq-bcd evaluate` and `lce_convert` have written."""
    read = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in ("keras", "tflite", "report")
    }
    file = folder / "model.tflite"
    milliseconds, engine = latency(file.read_bytes())
    return {
        "test_images": read["keras"]["images"],
        "keras_accuracy": read["keras"]["top1"],
        "tflite_accuracy": read["tflite"]["top1"],
        "float_fallbacks": read["report"]["float_fallbacks"],
        "file_bytes": read["report"]["file_bytes"],
        "float32_bytes": read["report"]["float32_bytes"],
        "latency_ms": milliseconds,
        "timed_on": engine,
        "file": str(file),
    }


def show(results: dict) -> None:
    """Prints the results as a table."""
    table = Table(show_header=False)
    for name, value in {
        "test images": f"{results['test_images']:,}",
        "Keras accuracy": f"{results['keras_accuracy']:.2%}",
        ".tflite accuracy": f"{results['tflite_accuracy']:.2%}",
        "binary layers left in float": str(len(results["float_fallbacks"])),
        "size": f"{results['file_bytes'] / 1000:,.0f} kB",
        "size of its parameters in float32": f"{results['float32_bytes'] / 1000:,.0f} kB",
        "latency on one thread of this machine": f"{results['latency_ms']:.2f} ms",
        "timed on": results["timed_on"],
        "file": results["file"],
    }.items():
        table.add_row(name, value)
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def main(folder: Path, output: Path) -> None:
    """Writes the results to a file, and prints them."""
    results = collect(folder)
    output.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
