"""How long each operator of a flatbuffer takes, run by itself."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.check import interpreter
from larq_bcd.tflite.flatbuffer import Flatbuffer, Operator, Tensor, pack

_RUNS = 5


@dataclass(frozen=True)
class OperatorTime:
    """Operators of one type.

    Attributes:
        type: the operator's name.
        count: how many there are.
        milliseconds: what all of them take together.
    """

    type: str
    count: int
    milliseconds: float


def _without_batch(tensor: Tensor) -> bool:
    return tensor.shape[:1] != (1,)


def _together(flatbuffer: Flatbuffer, operator: Operator) -> list[Operator]:
    """An operator, behind those that give it tensors without a batch, which callers cannot."""
    before = [
        flatbuffer.producers[tensor.index]
        for tensor in _given(flatbuffer, [operator])
        if _without_batch(tensor)
    ]
    return [*(one for op in before for one in _together(flatbuffer, op)), operator]


def _given(flatbuffer: Flatbuffer, operators: list[Operator]) -> list[Tensor]:
    """What operators read and none of them writes, less constants."""
    written = {tensor.index for operator in operators for tensor in operator.outputs}
    tensors = {t.index: t for operator in operators for t in operator.inputs if t is not None}
    return [
        tensor
        for index, tensor in tensors.items()
        if index not in written and flatbuffer.constant(tensor) is None
    ]


def _cut_out(model, flatbuffer: Flatbuffer, operators: list[Operator]) -> bytes:
    """A flatbuffer of a few operators of another, whose last one gives the output."""
    whole = model.subgraphs[0]
    packed = [whole.operators[operator.index] for operator in operators]
    numbers = dict.fromkeys(
        int(i) for one in packed for i in (*one.inputs, *one.outputs) if i >= 0
    )
    new = {old: position for position, old in enumerate(numbers)} | {-1: -1}
    part, graph = schema.ModelT(), schema.SubGraphT()
    part.version, part.operatorCodes = model.version, model.operatorCodes
    part.buffers, part.subgraphs = [schema.BufferT()], [graph]
    graph.operators = [_copy(one) for one in packed]
    for one in graph.operators:
        one.inputs = [new[int(i)] for i in one.inputs]
        one.outputs = [new[int(i)] for i in one.outputs]
    graph.tensors = [_copy(whole.tensors[i]) for i in numbers]
    for tensor in graph.tensors:
        buffer, tensor.buffer = model.buffers[tensor.buffer], 0
        if buffer.data is not None:
            part.buffers.append(buffer)
            tensor.buffer = len(part.buffers) - 1
    graph.inputs = [new[tensor.index] for tensor in _given(flatbuffer, operators)]
    graph.outputs = graph.operators[-1].outputs
    return pack(part)


def _copy(packed):
    copy = type(packed)()
    vars(copy).update(vars(packed))
    return copy


def _key(operator: Operator) -> tuple:
    shapes = [None if t is None else (t.shape, t.dtype) for t in operator.inputs]
    return operator.type, str(shapes), str(operator.outputs[0].shape), str(operator.options)


def operator_times(flatbuffer: Flatbuffer) -> list[OperatorTime]:
    """Times every operator with Larq Compute Engine's interpreter on one thread.

    Each runs in a file of its own, on random values that lie in the cache: memory traffic
    between operators is not in the sum. Operators of equal shapes are timed once.

    Args:
        flatbuffer: with float32, int8, uint8 or bit-packed activations.

    Returns:
        The types of operators, the slowest first.
    """
    model = flatbuffer.unpacked()
    rng = np.random.default_rng(0)
    known: dict[tuple, float] = {}
    taken: dict[str, list[float]] = {}
    for operator in flatbuffer.operators:
        if any(_without_batch(tensor) for tensor in operator.outputs):
            continue  # timed with what reads it
        key = _key(operator)
        if key not in known:
            operators = _together(flatbuffer, operator)
            given = _given(flatbuffer, operators)
            known[key] = _time(_cut_out(model, flatbuffer, operators), given, rng)
        taken.setdefault(operator.type, []).append(known[key])
    times = [OperatorTime(kind, len(every), sum(every)) for kind, every in taken.items()]
    return sorted(times, key=lambda one: -one.milliseconds)


def _time(content: bytes, given: list[Tensor], rng: np.random.Generator) -> float:
    inputs = [(rng.normal(size=t.shape) * 64).astype(t.dtype) for t in given]
    running = interpreter(content)
    taken = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        running.predict(inputs if len(inputs) > 1 else inputs[0])
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[1:])
