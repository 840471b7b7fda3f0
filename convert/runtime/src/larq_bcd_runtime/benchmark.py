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
LARGEST = 15  # stages that are printed, unless all of them are
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


def kind(stage: StageTime) -> str:
    """Returns the type of the operator that a stage is there for.

    It is the binary one that makes most of the work, else the first.
    """
    names = [operator.split(" ", 1)[-1] for operator in stage.operators.split(", ")]
    binary = ("LceBconv2d", "LceBMaxPool2d", "LceQuantize", "LceDequantize")
    if stage.operators == ELSEWHERE:
        return ELSEWHERE
    return next((name for name in binary if name in names), names[0])


def by_kind(stages: list[StageTime]) -> list[tuple[str, int, float, float]]:
    """Returns types of operators, their stages, milliseconds and shares, the largest first."""
    rows: dict[str, tuple[int, float, float]] = {}
    for stage in stages:
        count, milliseconds, share = rows.get(kind(stage), (0, 0.0, 0.0))
        row = count + 1, milliseconds + stage.milliseconds, share + stage.share
        rows[kind(stage)] = row
    return sorted(((name, *row) for name, row in rows.items()), key=lambda row: -row[2])


def show(result: Benchmark, layout: str, every: bool = False) -> None:
    """Prints a result as text, JSON, or CSV: the stages, each with the figures of the whole.

    Text has the sums by type of operator, and the largest stages or every one.
    """
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
        print(f"\n{'ms':>8} {'share':>6} {'stages':>8}  by type, with what is fused into it")
        for name, count, milliseconds, share in by_kind(result.stages):
            print(f"{milliseconds:8.3f} {share:6.1%} {count:8}  {name}")
        print(f"\n{'ms':>8} {'share':>6} {'kB':>8}  operators of a stage")
        ordered = sorted(result.stages, key=lambda stage: -stage.milliseconds)
        for stage in ordered if every else ordered[:LARGEST]:
            figures = f"{stage.milliseconds:8.3f} {stage.share:6.1%} {stage.kilobytes:8.0f}"
            print(f"{figures}  {stage.operators}")
        if not every and len(ordered) > LARGEST:
            print(f"... and {len(ordered) - LARGEST} more, with --all")
