"""Runs damaged models for a while; a crash, a hang or a sanitizer's report is a finding.

Valid graphs are taken, of all of LCE's operators and of the whole networks that
`tests/fuzz/zoo.py` has written; then some of their fields are changed: shapes, types, indices,
options, quantization, contents and lengths of buffers. Whatever comes out must run or be
refused. Start it with `make fuzz-litert`, which builds the library with the sanitizers. Every
case has a number, and `--case N` runs that one again.
"""

import argparse
import copy
import functools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from embedding import EmbeddingGraph, any_embedding, embedded_network
from equations import SAME
from flatfile import FlatFile, schema
from test_fusion import Graph, react_block

from larq_bcd_runtime import Interpreter, ModelError

TensorType = schema.TensorType
CASES_PER_WORKER = 100
# Long enough for files whose shapes LiteRT is asked for in a process of its own, each a second.
SECONDS_PER_WORKER = 300
NETWORKS = Path(__file__).parents[2] / "build" / "networks"
SIZES = [-1, 0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 64, 65, 1000, 2**16, 2**31 - 1, -(2**31)]
# The schema's FLOAT32, FLOAT16, INT32, UINT8, INT64, STRING, BOOL, INT16, RESOURCE and INT8.
TYPES = [0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 9, 9, 13]


@functools.cache
def networks() -> list:
    """Returns the graphs of whole networks, their inputs and outputs."""
    paths = sorted(NETWORKS.glob("*.tflite"))
    if not paths:
        raise SystemExit(f"{NETWORKS} has no networks: start this with `make fuzz-litert`.")
    return [FlatFile.read(path.read_bytes()) for path in paths]


def some_graph(rng: np.random.Generator):
    """Returns a valid graph, its inputs and its outputs."""
    kind = rng.random()
    if kind < 0.5:
        return copy.deepcopy(networks()[rng.integers(len(networks()))])
    return small_graph(rng) if kind < 0.7 else embedding(rng)


def small_graph(rng: np.random.Generator):
    """Returns a valid graph of few operators, its inputs and its outputs."""
    channels = int(rng.choice([3, 32, 64]))
    graph = Graph(int(rng.integers(1000)), int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    x = graph.floats(channels)
    if rng.random() < 0.5:
        y = react_block(graph, x, channels, doubles=bool(rng.random() < 0.5))
        return graph.file, [x], [y]
    words = graph.quantize(x, channels)
    pooled = graph.file.tensor((*graph.size, -(-channels // 32)), np.int32)
    options = {"padding": SAME, "filter_height": 2, "filter_width": 3, "stride_height": 1,
               "stride_width": 1}  # fmt: skip
    graph.file.custom("LceBMaxPool2d", [words], [pooled], options)
    y = graph.convolve(pooled, channels, int(rng.integers(1, 70)), pad_values=1)
    signs = graph.floats(channels)
    graph.file.custom("LceDequantize", [pooled], [signs])
    return graph.file, [x], [y, signs]


def embedding(rng: np.random.Generator):
    """Returns a contextual embedding, or a network with two, its inputs and its outputs."""
    graph = EmbeddingGraph(int(rng.integers(1000)), *(int(n) for n in rng.integers(1, 6, 2)))
    channels = int(rng.choice([4, 20, 32, 64]))
    if rng.random() < 0.3:
        x, y = embedded_network(graph, channels, 5)
        return graph.file, [x], [y]
    graph.size = (int(rng.integers(1, 4)), *graph.size[1:])
    x, results = any_embedding(graph, channels)
    return graph.file, [x], results


def damage_tensor(rng, file) -> None:
    tensor = file.tensors[rng.integers(len(file.tensors))]
    kind = rng.integers(7)
    if kind == 6:
        tensor.sparsity = schema.SparsityParametersT()
        tensor.sparsity.traversalOrder = np.arange(len(tensor.shape), dtype=np.int32)
    elif kind == 0 and len(tensor.shape):
        tensor.shape = tensor.shape.copy()
        tensor.shape[rng.integers(len(tensor.shape))] = rng.choice(SIZES)
    elif kind == 1:
        tensor.type = int(rng.choice(TYPES))
    elif kind == 2:
        tensor.shape = tensor.shape[: rng.integers(len(tensor.shape) + 1)]
    elif kind == 3:
        tensor.shape = np.append(tensor.shape, rng.choice(SIZES)).astype(np.int32)
    elif kind == 4:
        damage_quantization(rng, tensor)
    else:
        tensor.buffer = int(rng.integers(len(file.buffers)))


def damage_quantization(rng, tensor) -> None:
    """Changes scales and zero points, their numbers and their dimension."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        tensor.quantization = None
    elif rng.random() < 0.3:
        quantization.scale = np.asarray(quantization.scale)[:0]
    elif rng.random() < 0.5:
        quantization.scale = np.asarray(quantization.scale, np.float32) * rng.choice(
            [0, -1, np.nan, np.inf, 1e-30]
        ).astype(np.float32)
    else:
        quantization.quantizedDimension = int(rng.choice(SIZES))
        quantization.zeroPoint = np.asarray(quantization.zeroPoint)[:1]


def damage_options(rng, file) -> None:
    """Changes a field of a built-in operator's options, or takes all away."""
    known = [operator for operator in file.operators if operator.builtinOptions is not None]
    if not known:
        return
    operator = known[rng.integers(len(known))]
    fields = sorted(vars(operator.builtinOptions))
    if rng.random() < 0.2 or not fields:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        return
    name = fields[rng.integers(len(fields))]
    value = getattr(operator.builtinOptions, name)
    if isinstance(value, bool):
        setattr(operator.builtinOptions, name, not value)
    elif isinstance(value, int):
        small = value in range(-1, 128) and rng.random() < 0.5
        choice = rng.integers(-1, 6) if small else rng.choice(SIZES)
        setattr(operator.builtinOptions, name, int(choice))


def damage_operator(rng, file) -> None:
    operator = file.operators[rng.integers(len(file.operators))]
    kind = rng.integers(5)
    operator.inputs = np.asarray(operator.inputs, np.int32)
    if kind == 0 and len(operator.inputs):
        operator.inputs = operator.inputs.copy()
        operator.inputs[rng.integers(len(operator.inputs))] = rng.integers(
            -1, len(file.tensors)
        )
    elif kind == 1:
        operator.outputs = np.array([rng.integers(len(file.tensors))], np.int32)
    elif kind == 2:
        operator.inputs = operator.inputs[: rng.integers(len(operator.inputs) + 1)]
    elif getattr(operator, "customOptions", None) is not None and len(operator.customOptions):
        operator.customOptions = operator.customOptions.copy()
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(operator.customOptions))
            operator.customOptions[at] = rng.choice([0, 1, 2, 127, 128, 255, rng.integers(256)])
    else:
        operator.opcodeIndex = int(rng.integers(len(file.codes)))


def damage_buffer(rng, file) -> None:
    index = rng.integers(len(file.buffers))
    data = bytearray(file.buffers[index])
    if not data:
        return
    if rng.random() < 0.5:
        data = data[: rng.integers(len(data) + 1)]
    else:
        data[rng.integers(len(data))] = rng.integers(256)
    file.buffers[index] = bytes(data)


def resize_constant(rng, file) -> None:
    """Changes the shape of a constant and its data with it, so that LiteRT sees no fault."""
    constants = [tensor for tensor in file.tensors if tensor.buffer and len(tensor.shape)]
    if not constants:
        return
    tensor = constants[rng.integers(len(constants))]
    tensor.shape = tensor.shape.copy()
    tensor.shape[rng.integers(len(tensor.shape))] = rng.choice([1, 2, 3, 7, 8, 31, 33, 65, 200])
    size = 4 * int(np.prod(tensor.shape, dtype=float))
    if 0 < size < 10**6:
        tensor.buffer = len(file.buffers)
        file.buffers.append(rng.bytes(size))


def damage_batch(rng, file) -> None:
    """Changes the number of samples of all activations alike."""
    samples = int(rng.choice([0, 1, 2, 3, 7]))
    for tensor in file.tensors:
        if tensor.buffer == 0 and len(tensor.shape):
            tensor.shape = np.array([samples, *tensor.shape[1:]], np.int32)


def damage_integers(rng, file) -> None:
    """Changes axes, sizes or indices, which are short constants of integers."""
    short = [
        tensor for tensor in file.tensors
        if tensor.type == TensorType.INT32 and 4 <= len(file.buffers[tensor.buffer]) <= 32
    ]  # fmt: skip
    if not short:
        return
    tensor = short[rng.integers(len(short))]
    content = file.buffers[tensor.buffer]
    values = np.frombuffer(content[: len(content) // 4 * 4], np.int32).copy()
    values[rng.integers(len(values))] = rng.choice([*SIZES, *range(-4, 5)])
    file.buffers[tensor.buffer] = values.tobytes()


DAMAGES = [
    damage_tensor, damage_tensor, damage_operator, damage_operator, damage_options,
    damage_options, damage_buffer, damage_batch, damage_integers, resize_constant,
]  # fmt: skip


def run_case(number: int) -> bool:
    """Returns whether the damaged file was served."""
    rng = np.random.default_rng(number)
    file, inputs, outputs = some_graph(rng)
    for _ in range(rng.integers(0, 5)):
        rng.choice(DAMAGES)(rng, file)
    try:
        content = file.build(inputs, outputs)
    except (TypeError, OverflowError, ValueError):
        return False  # the damage cannot be written as a flatbuffer
    threads = int(rng.integers(1, 3))
    kernels = str(rng.choice(["auto", "auto", "reference"]))
    fuse = bool(rng.random() < 0.8)
    try:
        interpreter = Interpreter(content, threads, kernels, fuse)
        other = Interpreter(content, fuse=not fuse)
        details = interpreter.input_details
        if sum(np.prod(detail.shape, dtype=float) for detail in details) > 1e7:
            return False
        batch = int(rng.integers(1, 3))
        shapes = [(batch, *detail.shape[1:]) for detail in details]
        arrays = [rng.normal(size=s).astype(d.dtype) for s, d in zip(shapes, details)]
        results = [each.predict(arrays) for each in (interpreter, other)]
    except (ModelError, RuntimeError, ValueError):
        return False
    # LiteRT's own operators round as its number of threads has it.
    if threads == 1:
        assert_same(*results)
    return True


def assert_same(results, others) -> None:
    """Asserts equal bits, of what is a number."""
    several = isinstance(results, list)
    for a, b in zip(results, others) if several else [(results, others)]:
        a, b = (
            np.nan_to_num(array) if array.dtype == np.float32 else array for array in (a, b)
        )
        np.testing.assert_array_equal(a, b)


def work(first: int, count: int) -> None:
    """Runs cases, and says which before each."""
    served = 0
    for number in range(first, first + count):
        print(f"case {number}", file=sys.stderr, flush=True)
        served += run_case(number)
    print(f"served {served}")


def place(log: str) -> str:
    """Returns whether a crash happened in this library or in LiteRT, which calls it."""
    if "AddressSanitizer" not in log:
        return "without a report (a hang, or a process that was stopped for long)"
    return "in the library" if "liblarq_bcd" in log or "/native/" in log else "in LiteRT"


def supervise(minutes: float, first: int) -> int:
    """Runs workers until the time is up; returns the number of findings."""
    end = time.monotonic() + 60 * minutes
    ran = served = findings = 0
    while time.monotonic() < end:
        command = [sys.executable, __file__, "--worker", str(first), str(CASES_PER_WORKER)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS_PER_WORKER
            )
            log, failed = done.stderr, done.returncode != 0
            served += int(done.stdout.split()[-1]) if not failed else 0
        except subprocess.TimeoutExpired as late:
            log, failed = (late.stderr or b"").decode(), True
        last = int(log.split("case ")[-1].split()[0]) if "case " in log else first
        if failed:
            findings += 1
            report = log[log.rfind("case ") :]
            print(f"finding {place(report)}: {report[:4000]}", flush=True)
        ran += last - first + 1
        first = last + 1
    print(f"{ran} cases, {served} served in whole batches, {findings} findings")
    return findings


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--worker", type=int, nargs=2)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print("served" if run_case(arguments.case) else "refused")
    elif arguments.worker:
        work(*arguments.worker)
    else:
        sys.exit(supervise(arguments.minutes, arguments.first) > 0)
