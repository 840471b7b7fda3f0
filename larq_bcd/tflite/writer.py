"""Writes the graph of a file: numbers what it comes across, and packs what holds it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from larq_bcd.errors import UserError
from larq_bcd.tflite import operators, packing
from larq_bcd.tflite.nodes import Node, Value
from larq_bcd.tflite.schema import schema


@dataclass(frozen=True)
class Signature:
    """The names by which a caller knows inputs and outputs of the graph."""

    packed: Any
    inputs: dict[str, Value]
    outputs: dict[str, Value]


class Writer:
    """Numbers values, buffers and codes as it comes across them, and packs what holds them."""

    def __init__(self, model: Any):
        self._model = model
        self._values: dict[Value, int] = {}
        self._numbers: dict[Any, int] = {}
        self._codes: dict[tuple, int] = {}
        # The empty one comes first, by the format's convention.
        self._packed_buffers = [packing.AlignedBuffer()]
        self._packed_codes: list[Any] = []

    def content(self, model: Any) -> bytes:
        """The bytes of a model of what has been packed."""
        model.buffers, model.operatorCodes = self._packed_buffers, self._packed_codes
        return packing.content(model)

    def subgraphs(
        self, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> list[Any]:
        """The main subgraph of the given operators, and the others as they are."""
        first, *others = self._model.subgraphs
        main = copy.copy(first)
        main.inputs = [self._value(value) for value in inputs]
        main.operators = [self._operator(node.packed(self._value), node.code) for node in nodes]
        main.outputs = [self._value(value) for value in outputs]
        main.tensors = [value.packed(self._buffer(value.buffer)) for value in self._values]
        return [main, *map(self._other, others)]

    def _other(self, subgraph: Any) -> Any:
        packed = copy.copy(subgraph)
        packed.tensors = [copy.copy(tensor) for tensor in packing.listed(subgraph.tensors)]
        for tensor in packed.tensors:
            tensor.buffer = self._buffer(self._model.buffers[tensor.buffer])
        packed.operators = [
            self._operator(copy.copy(one), self._model.operatorCodes[one.opcodeIndex])
            for one in packing.listed(subgraph.operators)
        ]
        return packed

    def signature(self, signature: Signature) -> Any:
        """A signature with the numbers that its values have now."""
        packed = copy.copy(signature.packed)
        packed.inputs = self._entries(signature.inputs)
        packed.outputs = self._entries(signature.outputs)
        return packed

    def _entries(self, named: dict[str, Value]) -> list[Any]:
        entries = []
        for name, value in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), self._values[value]
            entries.append(entry)
        return entries

    def metadata(self, name: str, content: bytes) -> Any:
        """An entry of the metadata."""
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(content, np.uint8)
        entry.name, entry.buffer = name.encode(), self._buffer(buffer)
        return entry

    def _value(self, value: Value) -> int:
        return self._values.setdefault(value, len(self._values))

    def _operator(self, packed: Any, code: Any) -> Any:
        name = operators.operator_name(code)
        for kind, options in (
            (packed.builtinOptionsType, packed.builtinOptions),
            (packed.builtinOptions2Type, packed.builtinOptions2),
        ):
            if kind and options is None:
                raise UserError(
                    f"the file has a {name} whose options only a newer TensorFlow knows: "
                    "upgrade TensorFlow, or convert the model again."
                )
        key = name, bool(code.customCode), code.version
        packed.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        if packed.opcodeIndex == len(self._packed_codes):
            self._packed_codes.append(code)
        return packed

    def _buffer(self, buffer: Any) -> int:
        if buffer is None or len(packing.data(buffer)) == 0:
            return 0
        if buffer not in self._numbers:
            self._numbers[buffer] = len(self._packed_buffers)
            self._packed_buffers.append(packing.AlignedBuffer(buffer))
        return self._numbers[buffer]
