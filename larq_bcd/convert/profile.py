"""How long a flatbuffer takes on this machine, and which operators take it."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.tflite.engines import RUNTIME, UNFUSED, Engine, open_engine
from larq_bcd.tflite.flatbuffer import Flatbuffer, Operator, Tensor, pack

_WARM_UP, _RUNS = 1, 10


@dataclass(frozen=True)
class OperatorTime:
    """Operators of one type, or of several types that are computed in one pass.

    Attributes:
        type: the operator's name, or theirs.
        count: how many there are.
        milliseconds: what all of them take together.
    """

    type: str
    count: int
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """The times of a file on one thread.

    Attributes:
        engine: what they were taken on.
        milliseconds: the median time of one input.
        operators: the types of operators, the slowest first.
        whole: whether the operators were timed within the file; else each by itself, on
            random values that lie in the cache: memory traffic between them is not in the sum.
    """

    engine: str
    milliseconds: float
    operators: list[OperatorTime]
    whole: bool


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


def profile(flatbuffer: Flatbuffer) -> Profile:
    """Times a file and its operators on one thread of the fastest engine there is.

    Args:
        flatbuffer: with float32, int8, uint8 or bit-packed activations.

    Raises:
        EngineError: if nothing can run it.
    """
    engine = open_engine(flatbuffer.content, 1)
    if engine.name == RUNTIME:
        return _profile_of_runtime(flatbuffer.content)
    milliseconds = _time(engine, flatbuffer.inputs)
    return Profile(engine.name, milliseconds, _one_by_one(flatbuffer, engine.name), False)


def _profile_of_runtime(content: bytes) -> Profile:
    """What larq_bcd_runtime says of itself: it computes several operators in one pass."""
    from larq_bcd_runtime import Interpreter
    from larq_bcd_runtime.benchmark import measure

    found = measure(Interpreter(content, profile=True), "", 1, _RUNS)
    taken: dict[str, list[float]] = {}
    for stage in found.stages:
        kinds = [name.split(" ", 1)[1] for name in stage.operators.split(", ")]
        taken.setdefault(" + ".join(kinds), []).append(stage.milliseconds)
    return Profile(RUNTIME, found.median_ms, _sorted(taken), True)


def _one_by_one(flatbuffer: Flatbuffer, engine: str) -> list[OperatorTime]:
    """Each operator in a file of its own; those of equal shapes are timed once."""
    model = flatbuffer.unpacked()
    known: dict[tuple, float] = {}
    taken: dict[str, list[float]] = {}
    for operator in flatbuffer.operators:
        if any(_without_batch(tensor) for tensor in operator.outputs):
            continue  # timed with what reads it
        key = _key(operator)
        if key not in known:
            operators = _together(flatbuffer, operator)
            part = _cut_out(model, flatbuffer, operators)
            running = open_engine(part, 1, (engine, *UNFUSED))
            known[key] = _time(running, _given(flatbuffer, operators))
        taken.setdefault(operator.type, []).append(known[key])
    return _sorted(taken)


def _sorted(taken: dict[str, list[float]]) -> list[OperatorTime]:
    times = [OperatorTime(kind, len(every), sum(every)) for kind, every in taken.items()]
    return sorted(times, key=lambda one: -one.milliseconds)


def _time(engine: Engine, given: list[Tensor]) -> float:
    rng = np.random.default_rng(0)
    inputs = [(rng.normal(size=t.shape) * 64).astype(t.dtype) for t in given]
    taken = []
    for _ in range(_WARM_UP + _RUNS):
        start = time.perf_counter()
        engine.predict(*inputs)
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[_WARM_UP:])
