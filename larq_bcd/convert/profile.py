"""How long a file takes on this machine, and which operators take it."""

import statistics
import time
from dataclasses import dataclass

import numpy as np

from larq_bcd.tflite.engines import RUNTIME, UNFUSED, Engine, open_engine
from larq_bcd.tflite.graph import Graph, Node, Value

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


def _without_batch(value: Value) -> bool:
    return value.shape[:1] != (1,)


def _together(node: Node) -> list[Node]:
    """An operator, behind those that give it values without a batch, which callers cannot."""
    before = [v.producer for v in _given([node]) if _without_batch(v) and v.producer]
    return [*(one for other in before for one in _together(other)), node]


def _given(nodes: list[Node]) -> list[Value]:
    """What operators read and none of them writes, less constants."""
    written = {value for node in nodes for value in node.outputs}
    read = dict.fromkeys(value for node in nodes for value in node.operands)
    return [value for value in read if value not in written and value.constant is None]


def _key(node: Node) -> tuple:
    shapes = [None if v is None else (v.shape, v.dtype) for v in node.inputs]
    options = node.options if isinstance(node.options, dict) else vars(node.options or object)
    return node.type, str(shapes), str(node.outputs[0].shape), str(options)


def profile(content: bytes) -> Profile:
    """Times a file and its operators on one thread of the fastest engine there is.

    Raises:
        EngineError: if nothing can run it.
    """
    engine = open_engine(content, 1)
    if engine.name == RUNTIME:
        return _profile_of_runtime(content)
    graph = Graph(content)
    milliseconds = _time(engine, graph.inputs)
    return Profile(engine.name, milliseconds, _one_by_one(graph, engine.name), False)


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


def _one_by_one(graph: Graph, engine: str) -> list[OperatorTime]:
    """Each operator in a file of its own; those of equal shapes are timed once."""
    known: dict[tuple, float] = {}
    taken: dict[str, list[float]] = {}
    for node in graph.nodes:
        if any(_without_batch(value) for value in node.outputs):
            continue  # timed with what reads it
        key = _key(node)
        if key not in known:
            nodes = _together(node)
            given = _given(nodes)
            part = graph.part(nodes, given, node.outputs)
            known[key] = _time(open_engine(part, 1, (engine, *UNFUSED)), given)
        taken.setdefault(node.type, []).append(known[key])
    return _sorted(taken)


def _sorted(taken: dict[str, list[float]]) -> list[OperatorTime]:
    times = [OperatorTime(kind, len(every), sum(every)) for kind, every in taken.items()]
    return sorted(times, key=lambda one: -one.milliseconds)


def _time(engine: Engine, given: list[Value]) -> float:
    rng = np.random.default_rng(0)
    # 0 and 1 where whole numbers are taken: every table has such indices.
    inputs = [rng.uniform(0, 2, v.shape).astype(v.dtype) for v in given]
    taken = []
    for _ in range(_WARM_UP + _RUNS):
        start = time.perf_counter()
        engine.predict(*inputs)
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[_WARM_UP:])
