"""What int8 explains: weights and sums that a file rounds and Keras does not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larq_bcd.convert.match import Match, factors_of, node_rows, rows_of
from larq_bcd.tflite.graph import Graph, Node, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION
from larq_bcd.tflite.quantization import real_values, scales_of

# Convolutions and dense layers multiply their sums by fixed-point numbers; a mean, which cuts
# the fraction off, a softmax and others may be off by one step.
_EXACT_OPERATORS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", BINARY_CONVOLUTION}
)
_OF_STEP, _OF_STEP_OF_OTHERS = 0.01, 1.0
_EXACT = 1e-5


@dataclass(frozen=True)
class RoundedKernel:
    """A kernel that the file has in int8.

    Attributes:
        tensor: of the Keras graph, whose values are not rounded.
        step: between the values that the file can have, broadcast to it.
    """

    tensor: tf.Tensor
    step: np.ndarray


def rounded_kernels(matches: Sequence[Match]) -> list[RoundedKernel]:
    """The kernels that the file has in int8 and the model has not."""
    found: dict[str, RoundedKernel] = {}
    for match in matches:
        weights = None if match.node is None else match.node.input(1)
        if match.node is None or weights is None or weights.dtype != np.int8:
            continue
        values, layer = real_values(weights), match.layer
        assert values is not None
        ours, theirs = rows_of(layer), node_rows(values, match.node)
        if ours.shape != theirs.shape:
            theirs = values.T
        factors = factors_of(ours, theirs)
        distance = np.abs(theirs - factors[:, None] * ours).max(axis=1)
        if np.all(distance <= _EXACT * np.linalg.norm(theirs, axis=1)):
            continue
        scales = np.broadcast_to(scales_of(weights), factors.shape)
        sizes = np.abs(factors)
        steps = np.divide(scales, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        tensor = layer.kernel_tensor
        found[tensor.name] = RoundedKernel(tensor, layer.by_output_channel(steps))
    return list(found.values())


def integer_errors(file: Graph, known: Collection[Value]) -> dict[Value, float]:
    """By how much the values of a file may be off for being computed in integers.

    Args:
        file: any file; of float values there is nothing to say.
        known: values that Keras is given.

    Returns:
        For each value that is computed, what its operator makes of its operands' errors and
        adds, without what the rounding of a known value itself adds.
    """
    errors: dict[Value, float] = {}
    for node in file.nodes:
        given = sum(0.0 if v in known else errors.get(v, 0.0) for v in node.operands)
        for value in node.outputs:
            scales = scales_of(value) if value.dtype == np.int8 else np.zeros(0)
            error = _gain(node) * given if given else 0.0
            if scales.size and node.type != "QUANTIZE":
                exact = node.type in _EXACT_OPERATORS
                steps = _OF_STEP if exact else _OF_STEP_OF_OTHERS
                error += steps * float(scales.max()) + _bias_step(node) / 2
            if scales.size and value not in known:
                error += float(scales.max())
            errors[value] = error
    return errors


def _gain(node: Node) -> float:
    """By what an operator multiplies the errors of its operands at most."""
    constants = [real_values(value) for value in node.operands]
    factors = [c for c in constants if c is not None and c.size]
    if node.type == "MUL" and factors:
        return float(np.abs(factors[0]).max())
    matrices = [c for c in factors if c.ndim > 1]
    return float(np.abs(node_rows(matrices[0], node)).sum(axis=1).max()) if matrices else 1.0


def _bias_step(node: Node) -> float:
    scales = [scales_of(value) for value in node.operands if value.dtype == np.int32]
    return float(max((of_bias.max() for of_bias in scales if of_bias.size), default=0.0))
