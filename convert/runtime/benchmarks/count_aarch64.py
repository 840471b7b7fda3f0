"""Counts the instructions of one inference on aarch64, under qemu.

Needs the root that `make test-aarch64` makes. A count is the difference between a run with some
inferences and one with more, so that starting Python and LiteRT does not enter.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent / "build/aarch64/root"
PLUGIN = HERE.parent / "build/libqemu_count.so"
MODELS = HERE.parent / "build/aarch64/models"
FEW, MANY = 2, 12

DRIVER = """
import sys, numpy, larq_bcd_runtime
model, fuse, count = sys.argv[1], sys.argv[2] == "on", int(sys.argv[3])
interpreter = larq_bcd_runtime.Interpreter(model, fuse=fuse)
shape = interpreter.input_details[0].shape
interpreter.predict(numpy.random.default_rng(0).normal(size=shape).astype(numpy.float32))
for _ in range(count):
    interpreter._runtime.invoke()
"""


def write_models() -> dict[str, Path]:
    """Converts what is to be counted."""
    sys.path.insert(0, str(HERE))
    import networks

    MODELS.mkdir(parents=True, exist_ok=True)
    shapes = [(14, 256, 256, 3), (14, 512, 512, 3), (7, 1024, 1024, 1), (56, 64, 64, 3),
              (7, 512, 512, 3)]  # fmt: skip
    models = {}
    for size, channels_in, channels_out, window in shapes:
        name = f"{window}x{window}, {channels_in} -> {channels_out} at {size}x{size}"
        models[name] = MODELS / f"{window}_{channels_in}_{channels_out}_{size}.tflite"
        if not models[name].exists():
            model = networks.binary_convolution(size, channels_in, channels_out, window)
            models[name].write_bytes(networks.convert(model))
    models["BCDNet-A, 224x224"] = MODELS / "BCDNetA.tflite"
    if not models["BCDNet-A, 224x224"].exists():
        content = networks.convert(networks.bcdnet("BCDNetA"))
        models["BCDNet-A, 224x224"].write_bytes(content)
    return models


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
