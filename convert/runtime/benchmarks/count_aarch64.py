"""Counts the instructions of one inference on aarch64 under qemu, and estimates its cycles.

Needs the root that `make test-aarch64` makes, and llvm-mc and llvm-mca of LLVM 16 or later
(`apt-get install llvm-22`). Counts are the same on every machine, however busy. Cycles are an
estimate: executions of each block of instructions times what llvm-mca has for it in a
loop, without a miss of a cache or of a branch. LLVM knows neither the A72 nor the A76, and has
the A57 and the Neoverse N1, which are built like them.
"""

import argparse
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tables import write_table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent / "build/aarch64/root"
PLUGIN = HERE.parent / "build/libqemu_count.so"
MODELS = HERE.parent / "build/aarch64/models"

# Of one convolution: size of the image, channels in and out, size of the window.
SHAPES = [(14, 256, 256, 3), (14, 512, 512, 3), (7, 1024, 1024, 1), (56, 64, 64, 3),
          (7, 512, 512, 3)]  # fmt: skip
NETWORKS = {
    "BCDNet-A": ("BCDNetA", "optimized"),
    "BCDNet-B": ("BCDNetB", "optimized"),
    "ReActNet-18": ("ReActNet18", "optimized"),
    "ReActNet-18, `--head int8`": ("ReActNet18", "int8 head"),
    "ReActNet-18, `--stem int8 --head int8 --input-type uint8`": ("ReActNet18", "int8 stem"),
    "like QuickNet": ("QuickNet", "optimized"),
}
OTHERS = {
    "MobileNetV2 int8": ("MobileNetV2", "int8"),
    "MobileNetV2 float": ("MobileNetV2", "float"),
}

# Blocks that make up so much of all instructions are simulated.
SIMULATED = 0.985
FEATURES = "-mattr=+v8.2a,+dotprod,+fullfp16"

# The second inference is counted, between two calls of getppid.
DRIVER = """
import os, sys, numpy
model, is_ours = sys.argv[1], sys.argv[2] == "ours"
if is_ours:
    import larq_bcd_runtime
    interpreter = larq_bcd_runtime.Interpreter(model)._runtime
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
entry = interpreter.get_input_details()[0]
values = numpy.random.default_rng(0).normal(size=entry["shape"])
if entry["dtype"] != numpy.float32:
    limits = numpy.iinfo(entry["dtype"])
    middle = (limits.min + limits.max + 1) // 2
    values = (40 * values + middle).clip(limits.min, limits.max)
interpreter.set_tensor(entry["index"], values.astype(entry["dtype"]))
interpreter.invoke()
os.getppid()
interpreter.invoke()
os.getppid()
"""


@dataclass(frozen=True)
class Core:
    """A core: what qemu calls it, and which one of LLVM's stands for it."""

    name: str
    qemu: str
    llvm: str


CORES = [Core("A72", "cortex-a72", "cortex-a57"), Core("A76", "cortex-a76", "neoverse-n1")]


def tool(name: str) -> str:
    """Returns the newest version of an LLVM tool that is installed."""
    for version in (*(f"-{number}" for number in range(30, 15, -1)), ""):
        if path := shutil.which(f"{name}{version}"):
            return path
    raise SystemExit(f"{name} is missing: apt-get install llvm-22, or any LLVM from 16 on.")


def executions(model: Path, core: Core, is_ours: bool) -> Counter[str]:
    """Returns how often an inference executes each block, by its code in hexadecimal digits."""
    command = [
        "qemu-aarch64", "-cpu", core.qemu, "-plugin", str(PLUGIN), "-L", str(ROOT),
        "-E", f"PYTHONPATH={ROOT}/packages", "-E", "PYTHONHASHSEED=0",
        "-E", "PYTHONDONTWRITEBYTECODE=1", "-E", "OPENBLAS_NUM_THREADS=1",
        str(ROOT / "usr/bin/python3.11"), "-c", DRIVER, str(model),
        "ours" if is_ours else "litert",
    ]  # fmt: skip
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    blocks: Counter[str] = Counter()
    for times, code in re.findall(r"^block (\d+) [0-9a-f]+ ([0-9a-f]+)$", log, re.MULTILINE):
        blocks[code] += int(times)
    return blocks


def length(code: str) -> int:
    """Returns the instructions of a block."""
    return len(code) // 8


def disassemble(codes: Sequence[str]) -> list[list[str]]:
    """Returns the lines of each block."""
    words = [re.findall(".{8}", code) for code in codes]
    text = "\n".join(
        " ".join(f"0x{word[at : at + 2]}" for at in (6, 4, 2, 0))
        for block in words
        for word in block
    )
    output = subprocess.run(
        [tool("llvm-mc"), "--disassemble", "-triple=aarch64", FEATURES],
        input=text, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines = [line.strip() for line in output.splitlines()]
    lines = [line for line in lines if line and not line.startswith(".")]
    if len(lines) != sum(map(len, words)):
        raise SystemExit("llvm-mc does not know every instruction: use a newer LLVM.")
    left = iter(lines)
    return [[next(left) for _ in block] for block in words]


def cycles_of(codes: Sequence[str], core: Core) -> list[float]:
    """Returns the cycles of each block when it is executed over and over."""
    repeats = 100
    lines: list[str] = []
    for index, block in enumerate(disassemble(codes)):
        # A direct jump takes its slot; where it leads is none of the block's.
        block = [re.sub(r"^bl?\s+#.*", "nop", line) for line in block]
        lines += [f"// LLVM-MCA-BEGIN block{index}", *block, f"// LLVM-MCA-END block{index}"]
    output = subprocess.run(
        [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={core.llvm}", FEATURES,
         f"-iterations={repeats}", "-instruction-info=0", "-resource-pressure=0"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [int(total) / repeats for total in re.findall(r"Total Cycles:\s+(\d+)", output)]


def measure(model: Path, core: Core, is_ours: bool) -> tuple[float, float]:
    """Returns millions of instructions and of estimated cycles."""
    blocks = executions(model, core, is_ours)
    total = sum(times * length(code) for code, times in blocks.items())
    simulated: list[str] = []
    covered = 0
    for code in sorted(blocks, key=lambda code: -blocks[code] * length(code)):
        if covered > SIMULATED * total:
            break
        simulated.append(code)
        covered += blocks[code] * length(code)
    cycles = sum(
        blocks[code] * each
        for code, each in zip(simulated, cycles_of(simulated, core), strict=True)
    )
    return total / 1e6, cycles * total / covered / 1e6


def converted(name: str, make: Callable[[], bytes]) -> Path:
    """Returns where a file lies, converted if it is not there."""
    MODELS.mkdir(parents=True, exist_ok=True)
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        path.write_bytes(make())
    return path


def convolution(shape: tuple[int, ...]) -> Path:
    """Returns the file of a single convolution."""

    def make() -> bytes:
        import networks

        return networks.convert(networks.binary_convolution(*shape))

    return converted("_".join(map(str, shape)), make)


def network(name: str, kind: str) -> Path:
    """Returns the file of a network."""

    def make() -> bytes:
        import networks

        return networks.stored(name, kind)

    return converted(f"{name} {kind}", make)


def table(title: str, rows: dict[str, tuple[Path, bool]]) -> str:
    """Measures files, and returns rows of them."""
    lines = [
        f"| {title} | file, MB |"
        + "".join(f" {c.name}, instructions | cycles |" for c in CORES)
    ]
    lines.append("|---" * (2 + 2 * len(CORES)) + "|")
    print(*lines, sep="\n", flush=True)
    for name, (path, is_ours) in rows.items():
        cells = [f"{path.stat().st_size / 1e6:.2f}"]
        for core in CORES:
            cells += [f"{value:.1f}" for value in measure(path, core, is_ours)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Prints the tables, or writes them into pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="only convert the files")
    parser.add_argument("--page", type=Path, action="append", default=[], help="write there")
    arguments = parser.parse_args()
    tool("llvm-mc"), tool("llvm-mca")
    single = {
        f"{window}x{window}, {channels_in} to {channels_out} at {size}x{size}": (
            convolution((size, channels_in, channels_out, window)),
            True,
        )
        for size, channels_in, channels_out, window in SHAPES
    }
    whole = {name: (network(*file), True) for name, file in NETWORKS.items()}
    whole |= {name: (network(*file), False) for name, file in OTHERS.items()}
    if arguments.prepare:
        return
    source = HERE / "qemu_count.c"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(PLUGIN)], check=True
    )
    tables = {"network": table("network", whole), "convolution": table("convolution", single)}
    for page in arguments.page:
        for name, text in tables.items():
            write_table(page, f"aarch64 {name}", text)


if __name__ == "__main__":
    main()
