"""Measures this runtime against LCE's interpreter and against float and int8 networks.

All contestants of a comparison run interleaved in one process: a machine that is slow for a
while is slow for all. The table gives the median, and its ratio to this runtime's.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import networks
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

from larq_bcd_runtime import Interpreter
from larq_bcd_runtime.delegate import runtime

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


def measure(runners: dict[str, Callable], seconds: float) -> dict[str, tuple[float, float]]:
    """Returns the median and the shortest time of each in milliseconds."""
    for run in runners.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runners}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: (statistics.median(values), min(values)) for name, values in times.items()}


def report(title: str, times: dict[str, tuple[float, float]]) -> None:
    """Prints a table; the first contestant is the unit."""
    print(f"\n{title}\n")
    print("| runtime | median, ms | least, ms | ratio of the least |\n|---|---|---|---|")
    unit = next(iter(times.values()))[1]
    for name, (median, least) in times.items():
        print(f"| {name} | {median:.3f} | {least:.3f} | {least / unit:.2f} |")


def main() -> None:
    """Runs what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="for each table")
    parser.add_argument("--only", choices=["convolutions", "network"])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    if arguments.only != "network":
        for shape in CONVOLUTIONS:
            size, channels_in, channels_out, window = shape
            file = networks.convert(networks.binary_convolution(*shape))
            inputs = rng.normal(size=(1, size, size, channels_in)).astype(np.float32)
            runners = {
                "larq-bcd-runtime": our_runner(file, inputs),
                "larq-bcd-runtime, AVX2": our_runner(file, inputs, kernels="avx2"),
                "LCE, indirect": lce_runner(file, inputs, indirect=True),
                "LCE, default": lce_runner(file, inputs, indirect=False),
            }
            title = f"{window}x{window}, {channels_in} -> {channels_out} at {size}x{size}"
            report(title, measure(runners, arguments.seconds))
    if arguments.only != "convolutions":
        image = rng.normal(size=(1, 224, 224, 3)).astype(np.float32)
        others = {}
        for name in ("MobileNet", "MobileNetV2"):
            model = getattr(tf.keras.applications, name)(weights=None)
            int8, floats = networks.convert_int8(model), networks.convert_float(model)
            others[f"{name} int8, LiteRT"] = litert_runner(int8, image)
            others[f"{name} float, LiteRT"] = litert_runner(floats, image)
        for name in ("BCDNetA", "BCDNetB"):
            file = networks.convert(networks.bcdnet(name))
            runners = {
                "larq-bcd-runtime": our_runner(file, image),
                "larq-bcd-runtime, 2 threads": our_runner(file, image, threads=2),
                "larq-bcd-runtime, fuse off": our_runner(file, image, fuse=False),
                "LCE, indirect": lce_runner(file, image, indirect=True),
                "LCE, default": lce_runner(file, image, indirect=False),
                **others,
            }
            report(f"{name}, 224x224", measure(runners, arguments.seconds))


if __name__ == "__main__":
    main()
