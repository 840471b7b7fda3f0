"""The file, made to show what stands at its signs and before its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larq_bcd.convert.check.integers import integer_errors
from larq_bcd.convert.graph import InferenceGraph, source_of, through
from larq_bcd.convert.match import Match, StepMatch, match_steps
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.quantization import dequantized, scales_of
from larq_bcd.tflite.signs import unpack_signs

# Functions that make the same of very different values, and their operators in a file.
_SQUASHING = {
    "Softmax": "SOFTMAX",
    "LogSoftmax": "LOG_SOFTMAX",
    "Sigmoid": "LOGISTIC",
    "Tanh": "TANH",
}


@dataclass(frozen=True)
class Compared:
    """An output of the model, or what is before the function that squashes it.

    Attributes:
        name: for people, empty for the only output.
        before: the function, such as `"Softmax"`; empty for an output itself.
        keras: the tensor of the graph.
        file: that of the file.
    """

    name: str
    before: str
    keras: tf.Tensor
    file: Value


class ShownFile:
    """What a file can be asked for, and the bytes of one that answers.

    Attributes:
        steps: the signs and roundings that are seen in both.
        supposed: binary convolutions although the graph shows no plain sign before them.
        outputs: the model's outputs, in its order.
        logits: what stands before the functions that squash them, where it is seen in both.
        showing: the bytes of a file that puts out all that is compared.
    """

    def __init__(self, graph: InferenceGraph, file: Graph, matches: list[Match]):
        self._file = file
        self.steps: list[StepMatch] = match_steps(graph, file, matches)
        self.supposed = [
            match for match in matches if match.is_binary and not _is_signed(match.layer.data)
        ]
        names = graph.output_names if len(file.outputs) > 1 else [""]
        self.outputs = [
            Compared(name, "", keras, value)
            for name, keras, value in zip(names, graph.outputs, file.outputs, strict=True)
        ]
        self.logits = [logits for output in self.outputs if (logits := _logits(output))]
        shown = [compared.file for compared in (*self.outputs, *self.logits)]
        for step in self.steps:
            shown += [value for value in (step.after, step.before) if value is not None]
        for match in self.supposed:
            assert match.node is not None
            shown.append(match.node.data)
        # What is given can be looked at, but no interpreter writes it as an output.
        self._given = list(file.inputs)
        self._shown = [value for value in dict.fromkeys(shown) if value not in self._given]
        self.showing = file.part(file.nodes, file.inputs, self._shown)

    def integer_errors(self) -> list[float]:
        """What int8 explains of each output, logits, value before a step and supposed sign."""
        found = integer_errors(self._file, {step.after for step in self.steps})
        compared = [compared.file for compared in (*self.outputs, *self.logits)]
        compared += [step.before or step.after for step in self.steps]
        supposed = [match.node.data for match in self.supposed if match.node is not None]
        return [found.get(value, 0.0) for value in (*compared, *supposed)]

    def real_outputs(self, outputs: list[np.ndarray]) -> list[np.ndarray]:
        """What the outputs of the file itself stand for."""
        pairs = zip(self.outputs, outputs, strict=True)
        return [_real(output.file, array) for output, array in pairs]

    def values(
        self, x: Sequence[np.ndarray], outputs: list[np.ndarray]
    ) -> dict[Value, np.ndarray]:
        """The values that are known of the file."""
        given = dict(zip(self._given, x, strict=True))
        shown = zip(self._shown, outputs, strict=True)
        return given | {value: _real(value, array) for value, array in shown}


def _real(value: Value, array: np.ndarray) -> np.ndarray:
    """What the integers of a quantized value stand for; other values as they are."""
    if not scales_of(value).size:
        return array
    return dequantized(array, value.quantization).astype(np.float32)


def signs_of(step: StepMatch, values: np.ndarray) -> np.ndarray:
    """The result of a sign or rounding, unpacked, in the shape that Keras has it in."""
    if step.step.is_plain_sign:
        return unpack_signs(values, int(step.step.after.shape[-1]))
    return values.reshape(step.step.after.shape)


def _is_signed(data: tf.Tensor) -> bool:
    source = source_of(data)
    return bool(source.signs) and not source.others


def _logits(output: Compared) -> Compared | None:
    squashing = through(output.keras).op
    producer = output.file.producer
    kind = _SQUASHING.get(squashing.type)
    if producer is None or kind is None or producer.type != kind:
        return None
    before = through(squashing.inputs[0])
    if tuple(before.shape) != tuple(producer.data.shape):
        return None
    return Compared(output.name, squashing.type, before, producer.data)
