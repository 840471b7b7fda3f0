"""The ranges of what a file computes, on the inputs that it is calibrated on."""

from collections.abc import Sequence

import numpy as np

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert.errors import ConversionError
from larq_bcd.tflite.engines import UNFUSED, Predict, open_engine
from larq_bcd.tflite.graph import Graph, Node, Value


def ranges(
    graph: Graph, values: Sequence[Value], given: Sequence[np.ndarray]
) -> dict[Value, tuple[float, float]]:
    """The least and the largest that values of float32 are.

    Args:
        graph: the file; it is not changed.
        values: inputs of the file, and what its operators write.
        given: one array for each input of the file, samples first, as it takes them.

    Raises:
        ConversionError: if a value is not finite.
        EngineError: if nothing on this machine can run the file.
    """
    computed = [value for value in values if value.producer is not None]
    found = {
        value: (float(array.min()), float(array.max()))
        for value, array in zip(graph.inputs, given, strict=True)
        if value in values
    }
    with captured_stderr():  # what the engine has to say of itself
        predict = _showing(graph, computed)
        for sample in range(len(given[0])):
            arrays = predict(*(array[sample : sample + 1] for array in given))
            for value, array in zip(computed, arrays, strict=True):
                least, largest = float(array.min()), float(array.max())
                before = found.get(value, (least, largest))
                # Unlike min and max these hand on what is not a number.
                limits = np.minimum(before[0], least), np.maximum(before[1], largest)
                found[value] = float(limits[0]), float(limits[1])
    for value, limits in found.items():
        if not np.isfinite(limits).all():
            raise ConversionError(
                f"calibrate: {value.name!r} reaches from {limits[0]} to {limits[1]}, for which "
                "int8 has no scale: look for the sample that gives it."
            )
    return found


def _showing(graph: Graph, values: Sequence[Value]) -> Predict:
    """What runs a file up to some of its values, and returns them."""
    needed: set[Node] = set()
    pending = [value.producer for value in values]
    while pending:
        node = pending.pop()
        if node is not None and node not in needed:
            needed.add(node)
            pending += [value.producer for value in node.operands]
    nodes = [node for node in graph.nodes if node in needed]
    return open_engine(graph.part(nodes, graph.inputs, values), 1, UNFUSED).predict
