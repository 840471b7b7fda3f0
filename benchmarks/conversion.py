"""Measures what the passes over the flatbuffer gain, for every registered network.

Each network is converted in a process of its own, before and after the passes. The files and
figures of each are kept as they come, so that an interrupted run goes on where it stopped.
The latencies of both files, with Larq Compute Engine's default and its indirect kernels, and
with larq_bcd_runtime where it is installed, are the processor's time on one thread, taken in
turns. They come last, one network at a time: `--no-latency` leaves them to a later run.

python benchmarks/conversion.py --networks BCDNetA,ReActNetA --rounds 10
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

BEGIN, END = "<!-- conversion: begin -->", "<!-- conversion: end -->"
_KERNELS = ("default", "indirect", "runtime")
_WARM_UP = 1


def _interpreters(content: bytes) -> dict:
    """One interpreter of a file for each kind of kernels."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    found = {
        "default": Interpreter(content, num_threads=1),
        "indirect": Interpreter(content, num_threads=1, use_indirect_bgemm=True),
    }
    with contextlib.suppress(ModuleNotFoundError):
        import larq_bcd_runtime

        found["runtime"] = larq_bcd_runtime.Interpreter(content, num_threads=1)
    return found


def latencies(files: dict[str, bytes], rounds: int) -> dict[str, float]:
    """Median milliseconds of each file with each kind of kernels, on one thread."""
    import numpy as np

    from larq_bcd.tflite.graph import Graph

    (image,) = Graph(next(iter(files.values()))).inputs
    x = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    runs = {
        f"{name} {kernels}": interpreter
        for name, content in files.items()
        for kernels, interpreter in _interpreters(content).items()
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(_WARM_UP + rounds):
        for name, interpreter in runs.items():
            # The default kernels are several times slower than all else.
            if name.endswith("default") and number > rounds // 2:
                continue
            start = time.process_time()
            interpreter.predict(x)
            if number >= _WARM_UP:
                taken[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def convert_one(name: str, folder: Path) -> dict:
    """Converts a network, keeps its files, and says what is known of them."""
    from larq_bcd.convert import convert, load_model
    from larq_bcd.convert.head import quantize_head
    from larq_bcd.tflite.graph import Graph

    model = load_model(name).model
    result = convert(model, name=name, allow_float_fallback=True)
    report, check = result.report, result.report.check
    done = report.optimization
    rounded = Graph(result.content)
    quantize_head(rounded, "int8")
    for kind, content in (("plain", result.plain), ("optimized", result.content)):
        (folder / f"{name}.{kind}.tflite").write_bytes(content)
    return {
        "network": name,
        "binary_layers": sum(layer.ships_as == "binary" for layer in report.layers),
        "float_fallbacks": len(report.fallbacks),
        "operators": [done.operators_before, done.operators_after],
        "bytes": [done.bytes_before, done.bytes_after, len(rounded.write())],
        "activation_bytes": [done.activation_bytes_before, done.activation_bytes_after],
        "signs": done.signs,
        "skipped": done.skipped,
        "passes": {one.name: one.changes for one in done.passes},
        "verdict": check.verdict,
        "faults": check.faults,
        "flips": check.flips,
        "signs_compared": check.compared,
        "same_arg_max": [check.same_arg_max, check.inputs],
        "difference": check.max_difference_on_same_signs,
        "output_range": check.output_range,
        "seconds": report.seconds,
    }


def time_one(name: str, folder: Path, rounds: int) -> dict:
    """The latencies of the files that are kept of a network."""
    files = {
        kind: (folder / f"{name}.{kind}.tflite").read_bytes() for kind in ("plain", "optimized")
    }
    return {"milliseconds": latencies(files, rounds)}


def table(found: list[dict]) -> str:
    """The figures as a table of a page."""
    timed = [
        kernels
        for kernels in _KERNELS
        if all(f"plain {kernels}" in one.get("milliseconds", ()) for one in found)
    ]
    headings = ["network", "operators", "activations", "file, MB", "int8 head"]
    headings += [f"{kernels}, ms" for kernels in timed] + ["signs that differ", "same arg-max"]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for one in found:
        pairs = []
        for kernels in timed:
            before, after = (
                one["milliseconds"][f"{kind} {kernels}"] for kind in ("plain", "optimized")
            )
            pairs.append(f"{before:.1f} → {after:.1f}")
        before, after = one["activation_bytes"]
        flips = f"{one['flips']} of {one['signs_compared']:,}"
        cells = [
            f"`{one['network']}`",
            "{} → {}".format(*one["operators"]),
            f"{before / 1e6:.0f} → {after / 1e6:.0f} MB",
            "{:.2f} → {:.2f}".format(*(size / 1e6 for size in one["bytes"][:2])),
            f"{one['bytes'][2] / 1e6:.2f}",
            *pairs,
            flips if one["verdict"] != "fault" else f"FAULT: {one['faults'][0]}",
            "{} of {}".format(*one["same_arg_max"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(path: Path, text: str) -> None:
    """Puts the table between its two marks."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _kept(folder: Path, name: str, step: str) -> Path:
    return folder / f"{name}.{step}.json"


def run_one(step: str, name: str, arguments: argparse.Namespace) -> None:
    """Does one step for one network and keeps what it gives."""
    folder = arguments.folder
    if step == "conversion":
        figures = convert_one(name, folder)
    else:
        figures = time_one(name, folder, arguments.rounds)
    _kept(folder, name, step).write_text(json.dumps(figures, indent=2) + "\n")


def main() -> int:
    """Runs the benchmark."""
    from larq_bcd.models import list_models

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", help="names with commas; by default all")
    parser.add_argument("--rounds", type=int, default=10, help="measured runs of each file")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-conversion"))
    parser.add_argument("--page", type=Path, help="write the table there too")
    parser.add_argument("--no-latency", action="store_true", help="convert only")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(*arguments.one, arguments)
        return 0
    names = arguments.networks.split(",") if arguments.networks else list_models()
    steps = ["conversion"] if arguments.no_latency else ["conversion", "latency"]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("networks", total=len(names) * len(steps))
        for step, name in itertools.product(steps, names):
            progress.update(task, description=f"{name}, {step}")
            if name not in failed and not _kept(arguments.folder, name, step).exists():
                command = [sys.executable, __file__, "--one", step, name]
                command += ["--rounds", str(arguments.rounds), "--folder", arguments.folder]
                ended = subprocess.run(command, capture_output=True, text=True)
                if ended.returncode:
                    failed.append(name)
                    console.print(f"{name} failed:\n{ended.stderr[-1500:]}", markup=False)
            progress.advance(task)
    found = []
    for name in (name for name in names if name not in failed):
        kept = [json.loads(_kept(arguments.folder, name, s).read_text()) for s in steps]
        found.append({key: value for one in kept for key, value in one.items()})
    text = table(found)
    print(text)
    if arguments.page is not None:
        write_page(arguments.page, text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
