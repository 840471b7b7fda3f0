"""Counts the instructions of one inference on aarch64, under qemu.

Needs the root that `make test-aarch64` makes. A count is the difference between a run with some
inferences and one with more, so that starting Python and LiteRT does not enter.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent / "build/aarch64/root"
PLUGIN = HERE.parent / "build/libqemu_count.so"
MODELS = HERE.parent / "build/aarch64/models"
FEW, MANY = 2, 12

# Of one convolution: size of the image, channels in and out, size of the window.
SHAPES = [(14, 256, 256, 3), (14, 512, 512, 3), (7, 1024, 1024, 1), (56, 64, 64, 3),
          (7, 512, 512, 3)]  # fmt: skip

DRIVER = """
import sys, numpy, larq_bcd_runtime
model, fuse, count = sys.argv[1], sys.argv[2] == "on", int(sys.argv[3])
interpreter = larq_bcd_runtime.Interpreter(model, fuse=fuse)
entry = interpreter.input_details[0]
values = numpy.random.default_rng(0).normal(size=entry.shape)
if entry.dtype == numpy.int8:
    values *= 40
interpreter.predict(values.clip(-128, 127).astype(entry.dtype))
for _ in range(count):
    interpreter._runtime.invoke()
"""


def models() -> dict[str, tuple[Path, Callable[[], bytes]]]:
    """Returns what is counted: where its file lies, and how it is made."""
    sys.path.insert(0, str(HERE))
    import networks

    counted = {}
    for size, channels_in, channels_out, window in SHAPES:
        name = f"{window}x{window}, {channels_in} -> {channels_out} at {size}x{size}"
        make = partial(networks.binary_convolution, size, channels_in, channels_out, window)
        stem = f"{window}_{channels_in}_{channels_out}_{size}"
        counted[name] = stem, lambda make=make: networks.convert(make())
    for name, network in {"BCDNet-A": "BCDNetA", "BCDNet-B": "BCDNetB",
                          "ReActNet-18": "ReActNet18"}.items():  # fmt: skip
        make = partial(networks.zoo, network)
        counted[name] = network, lambda make=make: networks.convert(make())
    counted["like QuickNet"] = "QuickNet", lambda: networks.convert(networks.quicknet())
    for kind in ("int8", "float"):
        name = f"MobileNetV2 {kind}, LiteRT"
        counted[name] = f"MobileNetV2_{kind}", partial(networks.stored, "MobileNetV2", kind)
    return {name: (MODELS / f"{stem}.tflite", make) for name, (stem, make) in counted.items()}


def write_models() -> dict[str, Path]:
    """Converts what is to be counted, and is not there yet."""
    MODELS.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, (path, make) in models().items():
        if not path.exists():
            path.write_bytes(make())
        paths[name] = path
    return paths


def instructions(model: Path, fuse: str, count: int) -> int:
    """Returns the instructions of a whole process."""
    command = [
        "qemu-aarch64", "-cpu", "cortex-a72", "-plugin", str(PLUGIN), "-L", str(ROOT),
        "-E", f"PYTHONPATH={ROOT}/packages", "-E", "PYTHONHASHSEED=0",
        "-E", "OPENBLAS_NUM_THREADS=1",
        str(ROOT / "usr/bin/python3.11"), "-c", DRIVER, str(model), fuse, str(count),
    ]  # fmt: skip
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.search(r"instructions (\d+)", log)[1])


def main() -> None:
    """Prints the table."""
    source = HERE / "qemu_count.c"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(PLUGIN)], check=True
    )
    print("| model | fused, million | unfused | ratio |\n|---|---|---|---|")
    for name, path in write_models().items():
        counts = []
        for fuse in ("on", "off"):
            many, few = instructions(path, fuse, MANY), instructions(path, fuse, FEW)
            counts.append((many - few) / (MANY - FEW) / 1e6)
        fused, alone = counts
        print(f"| {name} | {fused:.2f} | {alone:.2f} | {fused / alone:.2f} |", flush=True)


if __name__ == "__main__":
    main()
