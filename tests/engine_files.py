"""Files as Larq Compute Engine's own converter makes them, and parts of files."""

import warnings

import larq_compute_engine as lce
import numpy as np
from larq_compute_engine.mlir.python import converter as lce_converter

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert import converter
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.operators import LCE_OPERATORS

_NATIVE = (
    "convert_saved_model_to_tflite_flatbuffer",
    "convert_graphdef_to_tflite_flatbuffer",
)


def engine_file(model, monkeypatch) -> Graph:
    """What `convert_keras_model` makes of a model, its outputs in the model's order.

    Its native part runs in a process of its own, which may die.

    Raises:
        ConverterError: if that part fails.
    """
    with monkeypatch.context() as patched, warnings.catch_warnings(), captured_stderr():
        warnings.simplefilter("ignore")
        for name in _NATIVE:
            patched.setattr(lce_converter, name, _in_a_process(name))
        file = Graph(lce.convert_keras_model(model))
    inputs = dict(zip(file.input_names, file.inputs, strict=True))
    outputs = dict(zip(file.output_names, file.outputs, strict=True))
    if set(outputs) == set(model.output_names) and set(inputs) == set(model.input_names):
        file.set_signature(
            {name: inputs[name] for name in model.input_names},
            {name: outputs[name] for name in model.output_names},
        )
    return file


def _in_a_process(name):
    return lambda *arguments: converter._run(name, arguments)


def binary_part(content):
    """A file of the binary operators alone, with what they are given as its inputs."""
    graph = Graph(content)
    nodes = graph.nodes_of(*LCE_OPERATORS)
    written = {value for node in nodes for value in node.outputs}
    given = list(dict.fromkeys(node.data for node in nodes if node.data not in written))
    shown = [
        value
        for value in written
        if not value.uses or any(reader not in nodes for reader, _ in value.uses)
    ]
    return graph.part(nodes, given, shown), given


def random_values(value, rng):
    """Values of the type of a file's value, over all of its range that matters."""
    if value.dtype == np.float32:
        return rng.normal(size=value.shape).astype(np.float32)
    if value.dtype == bool:
        return rng.integers(0, 2, value.shape).astype(bool)
    limits = np.iinfo(value.dtype)
    return rng.integers(limits.min, limits.max, value.shape, value.dtype, endpoint=True)
