"""Inputs and outputs of int8, where a file quantizes its float32 ones first and last."""

from collections.abc import Sequence

import numpy as np

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert.errors import CheckError, ConversionError
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.quantization import dequantized, scales_of

_REMEDY = (
    "train with fake quantization there, give --default-int8-range to measure latency, or "
    "leave it out"
)


def take_int8(graph: Graph) -> Rewrite:
    """Lets a file take the integers that it makes of its float32 inputs.

    Each input has the scale and zero point by which they stand for real values.

    Args:
        graph: is changed.

    Returns:
        The names of the inputs.

    Raises:
        ConversionError: if something reads an input that is not quantized.
    """
    for value in graph.inputs:
        quantizing = [node for node, _ in value.uses]
        kinds = {_integers(node) for node in quantizing}
        if len(kinds) != 1 or None in kinds:
            raise ConversionError(
                f"input_type='int8': the file computes with {value.name!r} in {value.dtype}, "
                "and how images are prepared is not known, so that no pixels could go in: give "
                f"--mean and --std, {_REMEDY}."
            )
        value.dtype, value.quantization = np.dtype(np.int8), quantizing[0].output.quantization
        for node in quantizing:
            graph.replace(node.output, value)
            graph.remove(node)
    graph.tidy()
    return Rewrite([value.name for value in graph.inputs])


def give_int8(graph: Graph) -> Rewrite:
    """Lets a file give the integers that it makes its float32 outputs of.

    Args:
        graph: is changed.

    Returns:
        The names of the outputs.

    Raises:
        ConversionError: if an output is not made of integers.
    """
    for value in graph.outputs:
        node = value.producer
        data = None if node is None or node.type != "DEQUANTIZE" else node.data
        if data is None or data.producer is None or data.dtype != np.int8 or value.uses:
            raise ConversionError(
                f"output_type='int8': the file computes {value.name!r} in {value.dtype}: "
                f"{_REMEDY}."
            )
        assert node is not None
        graph.remove(node)
        _write_instead(data.producer, data, value)
    graph.tidy()
    return Rewrite([value.name for value in graph.outputs])


def require_same(before: bytes, after: Graph, given: Sequence[np.ndarray]) -> None:
    """Runs a file of int8 beside that of float32 which it was made of: the same integers.

    Args:
        before: the file that quantizes its inputs first and its outputs last.
        after: what is left without that.
        given: one array for each input, as the file before takes them.

    Raises:
        CheckError: if an output differs by a step.
    """
    integers = [_rounded(x, value) for x, value in zip(given, after.inputs, strict=True)]
    reals = [
        q if q.dtype == x.dtype else dequantized(q, value.quantization).astype(np.float32)
        for x, q, value in zip(given, integers, after.inputs, strict=True)
    ]
    files = before, after.write()
    with captured_stderr():  # what the engine has to say of itself
        runs = [open_engine(content, 1, REFERENCE).predict for content in files]
        expected, found = runs[0](*reals), runs[1](*integers)
    for value, ours, theirs in zip(after.outputs, expected, found, strict=True):
        if not np.array_equal(_rounded(ours, value), theirs):
            raise CheckError(
                f"the file with int8 gives other values of {value.name!r} than the file that "
                "was checked: leave input_type and output_type out."
            )


def _rounded(array: np.ndarray, value: Value) -> np.ndarray:
    """Real values as the integers of an int8 value; of any other value as they are."""
    if value.dtype != np.int8 or array.dtype != np.float32:
        return array
    (scale,), (zero,) = scales_of(value), value.quantization.zeroPoint
    return np.clip(np.rint(array / scale) + zero, -128, 127).astype(np.int8)


def _integers(node: Node) -> tuple[float, int] | None:
    """What an operator that quantizes to int8 makes of its input; None of any other."""
    packed = node.output.quantization
    if node.type != "QUANTIZE" or node.data.dtype != np.float32 or node.output.dtype != np.int8:
        return None
    return float(packed.scale[0]), int(packed.zeroPoint[0])


def _write_instead(node: Node, data: Value, value: Value) -> None:
    """Lets an operator write a value, under its own name, in place of another one."""
    value.dtype, value.quantization = data.dtype, data.quantization
    data.replace_uses(value)
    node.outputs = tuple(value if one is data else one for one in node.outputs)
    value.producer, data.producer = node, None
