"""Measures what the passes over the flatbuffer gain, for every registered network.

Each network is converted in a process of its own, before and after the passes; the figures of
each are kept in a file as they come, so that an interrupted run goes on where it stopped. The
latencies of both files, with Larq Compute Engine's default and its indirect kernels, are the
processor's time on one thread, taken in turns: what else the machine does counts little.

python benchmarks/conversion.py --networks BCDNetA,ReActNetA --rounds 10
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

BEGIN, END = "<!-- conversion: begin -->", "<!-- conversion: end -->"
_KERNELS = {"default": False, "indirect": True}
_WARM_UP = 2


def latencies(files: dict[str, bytes], shape, rounds: int) -> dict[str, float]:
    """Median milliseconds of each file with each kernel, on one thread."""
    import numpy as np
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    runs = {
        f"{name} {kernel}": Interpreter(content, num_threads=1, use_indirect_bgemm=indirect)
        for name, content in files.items()
        for kernel, indirect in _KERNELS.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(_WARM_UP + rounds):
        for name, interpreter in runs.items():
            start = time.process_time()
            interpreter.predict(x)
            if number >= _WARM_UP:
                taken[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(name: str, rounds: int) -> dict:
    """Converts a network and measures its files."""
    from larq_bcd.convert import convert, load_model
    from larq_bcd.convert.flatbuffer import Flatbuffer
    from larq_bcd.convert.head import quantise_head

    model = load_model(name).model
    result = convert(model, name=name, allow_float_fallback=True)
    report, check = result.report, result.report.check
    done = report.optimisation
    optimised = Flatbuffer(result.content)
    rounded, _ = quantise_head(optimised, "int8")
    return {
        "network": name,
        "binary_layers": sum(layer.ships_as == "binary" for layer in report.layers),
        "float_fallbacks": len(report.fallbacks),
        "operators": [done.operators_before, done.operators_after],
        "bytes": [done.bytes_before, done.bytes_after, len(rounded.content)],
        "activation_bytes": [done.activation_bytes_before, done.activation_bytes_after],
        "signs": done.signs,
        "left": done.left,
        "passes": {one.name: one.changes for one in done.passes},
        "verdict": check.verdict,
        "faults": check.faults,
        "flips": check.flips,
        "signs_compared": check.compared,
        "same_arg_max": [check.same_arg_max, check.inputs],
        "difference": check.max_difference_on_same_signs,
        "output_range": check.output_range,
        "seconds": report.seconds,
        "milliseconds": latencies(
            {"plain": result.plain, "optimised": result.content},
            report.inputs[0].shape,
            rounds,
        ),
    }


def table(found: list[dict]) -> str:
    """The figures as a table of a README."""
    lines = [
        "| network | operators | activations | file, MB | int8 head | latency, default | "
        "indirect | signs that differ | same arg-max |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        ms = one["milliseconds"]
        pairs = [
            f"{ms[f'plain {kernel}']:.1f} → {ms[f'optimised {kernel}']:.1f} ms"
            for kernel in _KERNELS
        ]
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


def write_readme(path: Path, text: str) -> None:
    """Puts the table between its two marks."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Runs the benchmark."""
    from larq_bcd.models import list_models

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", help="names with commas; by default all")
    parser.add_argument("--rounds", type=int, default=10, help="measured runs of each file")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-conversion"))
    parser.add_argument("--readme", type=Path, help="write the table there too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        figures = json.dumps(measure(arguments.one, arguments.rounds), indent=2)
        (arguments.folder / f"{arguments.one}.json").write_text(figures + "\n")
        return 0
    names = arguments.networks.split(",") if arguments.networks else list_models()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("networks", total=len(names))
        for name in names:
            progress.update(task, description=name)
            if not (arguments.folder / f"{name}.json").exists():
                command = [sys.executable, __file__, "--one", name]
                command += ["--rounds", str(arguments.rounds), "--folder", arguments.folder]
                ended = subprocess.run(command, capture_output=True, text=True)
                if ended.returncode:
                    failed.append(name)
                    console.print(f"{name} failed:\n{ended.stderr[-1500:]}", markup=False)
            progress.advance(task)
    files = [arguments.folder / f"{name}.json" for name in names if name not in failed]
    text = table([json.loads(file.read_text()) for file in files])
    print(text)
    if arguments.readme is not None:
        write_readme(arguments.readme, text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
