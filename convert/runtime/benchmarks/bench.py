"""Measures this runtime against LCE's interpreter and against float and int8 networks.

All contestants of a comparison run interleaved in one process: a machine that is slow for a
while is slow for all. In its turn each runs untimed first, so that the others' data has left
the caches and its threads are awake, and then for a while. The tables give medians, and their
ratios to this runtime's.

The files are converted once, into build/bench, by `--prepare` or when they are first needed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter
from tables import write_table

from larq_bcd_runtime import Interpreter
from larq_bcd_runtime.delegate import fastest_kernels, runtime

OURS, TWO_THREADS = "larq-bcd-runtime", "with two threads"
OPTIMIZED = "the file as `lce_convert` writes it"
INT8_HEAD = "with `--head int8`"
WARM_UP, TURN = 0.02, 0.04  # seconds
CONVOLUTIONS = [(14, 256, 256, 3), (14, 512, 512, 3), (7, 1024, 1024, 1), (56, 64, 64, 3)]


def lce_runner(file: bytes, inputs: np.ndarray, indirect: bool) -> Callable[[], object]:
    """Runs a file in LCE's own interpreter."""
    interpreter = LceInterpreter(file, use_indirect_bgemm=indirect).interpreter
    return lambda: interpreter.predict([inputs])


def litert_runner(file: bytes, inputs: np.ndarray, threads: int = 1, delegates=()):
    """Runs a file in LiteRT."""
    interpreter = runtime().Interpreter(
        model_content=file, num_threads=threads, experimental_delegates=list(delegates)
    )
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], inputs.astype(detail["dtype"]))
    return interpreter.invoke


def our_runner(file: bytes, inputs: np.ndarray, threads: int = 1, **options):
    """Runs a file in this runtime."""
    interpreter = Interpreter(file, num_threads=threads, **options)
    return litert_runner_of(interpreter, inputs)


def litert_runner_of(interpreter: Interpreter, inputs: np.ndarray):
    """Feeds an interpreter once, so that only the computation is timed."""
    inner = interpreter._runtime
    inner.set_tensor(inner.get_input_details()[0]["index"], inputs)
    return lambda keep=interpreter: inner.invoke()


def repeat(run: Callable[[], object], seconds: float) -> list[float]:
    """Runs at least once, and until so long has passed; returns each time in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def measure(runners: dict[str, Callable], seconds: float) -> dict[str, tuple[float, float]]:
    """Returns the median and the shortest time of each in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, run in runners.items():
            repeat(run, WARM_UP)
            times[name] += repeat(run, TURN)
    return {name: (statistics.median(values), min(values)) for name, values in times.items()}


def table(results: dict[str, dict[str, tuple[float, float]]], rows: list[str]) -> str:
    """Returns rows of runtimes beside columns of networks; the first contestant is the unit."""
    titles = list(results)
    lines = ["| runtime | " + " | ".join(f"{title}, ms | ratio" for title in titles) + " |"]
    lines.append("|---" * (2 * len(titles) + 1) + "|")
    for row in rows:
        cells = []
        for times in results.values():
            median, unit = times[row][0], next(iter(times.values()))[0]
            cells.append(f"{median:.2f} | {median / unit:.2f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_readme(path: Path, place: str, text: str) -> None:
    """Writes a table where a page has a place of that name for it."""
    if not write_table(path, f"benchmark {place}", text):
        print(f"{path} has no place for the table {place} and stays as it is")


def with_lesser_kernels(file: bytes, inputs: np.ndarray) -> dict[str, Callable]:
    """What the kernels of other machines take on one that has better ones."""
    lesser = {"avx512bw": "without VPOPCNTDQ", "avx2": "with AVX2 alone"}
    sets = ["avx512", *lesser]
    if fastest_kernels() not in sets:
        return {}
    return {
        lesser[kernels]: our_runner(file, inputs, kernels=kernels)
        for kernels in sets[sets.index(fastest_kernels()) + 1 :]
    }


def measure_convolutions(seconds: float) -> str:
    """Measures single convolutions."""
    rng = np.random.default_rng(0)
    results = {}
    for shape in CONVOLUTIONS:
        size, channels_in, channels_out, window = shape
        file = networks.convert(networks.binary_convolution(*shape))
        inputs = rng.normal(size=(1, size, size, channels_in)).astype(np.float32)
        runners = {
            OURS: our_runner(file, inputs),
            **with_lesser_kernels(file, inputs),
            "LCE, indirect": lce_runner(file, inputs, indirect=True),
            "LCE, default": lce_runner(file, inputs, indirect=False),
        }
        title = f"{window}x{window}, {channels_in} to {channels_out} at {size}"
        results[title] = measure(runners, seconds)
    return table(results, list(runners))


def measure_networks(seconds: float) -> tuple[str, str]:
    """Measures whole networks; returns all rows, and the most important ones."""
    image = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
    others = {}
    for name in ("MobileNet", "MobileNetV2"):
        version = "V2" if name.endswith("V2") else "V1"
        for kind in ("int8", "float"):
            file = networks.stored(name, kind)
            others[f"MobileNet{version} {kind}, LiteRT"] = litert_runner(file, image)
    results = {}
    for name in ("BCDNetA", "BCDNetB"):
        file, optimized = (networks.stored(name, kind) for kind in ("lce", "optimized"))
        runners = {
            OURS: our_runner(file, image),
            TWO_THREADS: our_runner(file, image, threads=2),
            "without fusing": our_runner(file, image, fuse=False),
            OPTIMIZED: our_runner(optimized, image),
            **with_lesser_kernels(optimized, image),
            INT8_HEAD: our_runner(networks.stored(name, "int8 head"), image),
            "LCE, indirect": lce_runner(file, image, indirect=True),
            "LCE, default": lce_runner(file, image, indirect=False),
            **others,
        }
        results[f"{name[:-1]}-{name[-1]}"] = measure(runners, seconds)
    important = [row for row in runners if row in (OURS, TWO_THREADS, OPTIMIZED, INT8_HEAD)]
    important += [row for row in runners if row.startswith("LCE") or row in others]
    return table(results, list(runners)), table(results, important)


def main() -> None:
    """Runs what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="for each network")
    parser.add_argument("--only", choices=["convolutions", "network"])
    parser.add_argument("--prepare", action="store_true", help="only convert the files")
    parser.add_argument("--readme", type=Path, help="write all rows there")
    parser.add_argument("--short", type=Path, help="and the most important ones there")
    parser.add_argument(
        "--place",
        default=fastest_kernels(),
        help="name of the table's place there; by default that of the kernels that run here",
    )
    arguments = parser.parse_args()
    if arguments.prepare:
        networks.store_all()
        return
    if arguments.only != "network":
        print(measure_convolutions(arguments.seconds / 4), flush=True)
    if arguments.only != "convolutions":
        rows, important = measure_networks(arguments.seconds)
        print(rows)
        if arguments.readme:
            write_readme(arguments.readme, arguments.place, rows)
        if arguments.short:
            write_readme(arguments.short, arguments.place, important)


if __name__ == "__main__":
    main()
