"""How long a prediction takes, and which operators take it."""

import csv
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from larq_bcd_runtime.interpreter import Interpreter

WARM_UP_RUNS = 3
ELSEWHERE = "LiteRT's own operators"


@dataclass(frozen=True)
class StageTime:
    """The share of one stage, operators that are executed together.

    Attributes:
        operators: their indices and names in the file, e.g. "3 LceBconv2d, 4 ADD".
        milliseconds: of one prediction, on average.
        share: of the whole prediction.
        kilobytes: of activations that it reads and writes.
    """

    operators: str
    milliseconds: float
    share: float
    kilobytes: float


@dataclass(frozen=True)
class Benchmark:
    """The times of predictions on random input, in milliseconds, and where they went."""

    model: str
    threads: int
    kernels: str
    runs: int
    median_ms: float
    p95_ms: float
    min_ms: float
    stages: list[StageTime]


def random_inputs(interpreter: Interpreter) -> list[np.ndarray]:
    """Returns an array for each input, always the same ones."""
    rng = np.random.default_rng(0)
    arrays = []
    for detail in interpreter.input_details:
        if detail.dtype == np.float32:
            arrays.append(rng.normal(size=detail.shape).astype(np.float32))
        else:
            arrays.append(rng.integers(0, 2, detail.shape).astype(detail.dtype))
    return arrays


def _nanoseconds(stages: list[dict[str, Any]]) -> list[int]:
    return [stage["nanoseconds"] for stage in stages]


def measure(interpreter: Interpreter, model: str, threads: int, runs: int) -> Benchmark:
    """Times predictions.

    Args:
        interpreter: created with `profile=True`.
        model: what the result calls it.
        threads: what it was created with.
        runs: predictions to time.
    """
    arrays = random_inputs(interpreter)
    for _ in range(WARM_UP_RUNS):
        interpreter.predict(arrays)
    before = _nanoseconds(_stages(interpreter))
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        interpreter.predict(arrays)
        times.append((time.perf_counter() - start) * 1e3)
    stages = _stages(interpreter)
    mean = statistics.fmean(times)
    rows = []
    for stage, earlier, later in zip(stages, before, _nanoseconds(stages)):
        spent = (later - earlier) / 1e6 / runs
        names = ", ".join(f"{index} {name}" for index, name in stage["operators"])
        kilobytes = (stage["bytes_read"] + stage["bytes_written"]) / 1e3
        rows.append(StageTime(names, round(spent, 6), round(spent / mean, 4), kilobytes))
    rest = mean - sum(row.milliseconds for row in rows)
    rows.append(StageTime(ELSEWHERE, round(rest, 6), round(rest / mean, 4), 0.0))
    return Benchmark(
        model, threads, interpreter.kernels, runs, round(statistics.median(times), 3),
        round(float(np.percentile(times, 95)), 3), round(min(times), 3), rows,
    )  # fmt: skip


def _stages(interpreter: Interpreter) -> list[dict[str, Any]]:
    return [stage for stretch in interpreter.describe() for stage in stretch["stages"]]


def show(result: Benchmark, layout: str) -> None:
    """Prints a result as text, JSON, or CSV: the stages, each with the figures of the whole."""
    row = asdict(result)
    stages = row.pop("stages")
    if layout == "json":
        print(json.dumps({**row, "stages": stages}))
    elif layout == "csv":
        writer = csv.DictWriter(sys.stdout, [*row, *stages[0]])
        writer.writeheader()
        writer.writerows({**row, **stage} for stage in stages)
    else:
        for name, value in row.items():
            print(f"{name:10} {value}")
        print(f"\n{'ms':>8} {'share':>6} {'kB':>8}  operators")
        for stage in sorted(result.stages, key=lambda stage: -stage.milliseconds):
            figures = f"{stage.milliseconds:8.3f} {stage.share:6.1%} {stage.kilobytes:8.0f}"
            print(f"{figures}  {stage.operators}")
