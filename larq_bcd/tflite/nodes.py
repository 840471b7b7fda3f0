"""The operators and values of a graph."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from larq_bcd.tflite import operators, packing
from larq_bcd.tflite.schema import schema

ABSENT = -1  # in place of the number of an optional input
_NOT_IN_NUMPY = ("string", "resource", "variant", "int4", "bfloat16", "int2", "uint4")
_DTYPES: dict[int, np.dtype | str] = {
    number: name.lower() if name.lower() in _NOT_IN_NUMPY else np.dtype(name.lower())
    for name, number in vars(schema.TensorType).items()
    if name.isupper()
}
_TYPES = {dtype: number for number, dtype in _DTYPES.items()}


class Value:
    """What an operator writes, a constant, or an input of the file.

    Attributes:
        name: in the file.
        shape: the static shape; a dimension that is not known is 1 there.
        dtype: NumPy's type, or the schema's name of one that NumPy does not have.
        producer: the operator that writes it; None for inputs and constants.
        uses: the operators that read it, with the position among their inputs.
        quantization: the schema's object, or None.
    """

    def __init__(self, packed: Any, buffer: Any = None):
        self._packed, self.buffer = packed, buffer
        self.name: str = (packed.name or b"").decode()
        self.shape = packing.shape(packed)
        self.dtype = _DTYPES.get(packed.type, f"type {packed.type}")
        self.quantization = packed.quantization
        self.producer: Node | None = None
        self.uses: list[tuple[Node, int]] = []

    @classmethod
    def new(cls, shape: Iterable[int], dtype: Any, name: str) -> "Value":
        """A value that an operator will write."""
        packed = schema.TensorT()
        packed.name, packed.shape = name.encode(), [int(size) for size in shape]
        packed.type, packed.hasRank = _TYPES[np.dtype(dtype)], True
        return cls(packed)

    @classmethod
    def of(cls, values: np.ndarray, name: str, quantization: Any = None) -> "Value":
        """A constant."""
        value = cls.new(values.shape, values.dtype, name)
        value.buffer = schema.BufferT()
        value.buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        value.quantization = quantization
        return value

    @property
    def constant(self) -> np.ndarray | None:
        """The values of a constant; None for what is computed or given."""
        data = None if self.buffer is None else self.buffer.data
        if self.producer is not None or data is None or len(data) == 0:
            return None
        if not isinstance(self.dtype, np.dtype):
            return None
        return np.asarray(data, np.uint8).view(self.dtype).reshape(self.shape)

    @property
    def values(self) -> np.ndarray:
        """The values of what is known to be a constant."""
        values = self.constant
        assert values is not None
        return values

    @property
    def channels(self) -> int:
        """The size of the last axis."""
        return self.shape[-1] if self.shape else 1

    @property
    def nbytes(self) -> int:
        """The size in bytes; 0 for types that NumPy does not have."""
        item = self.dtype.itemsize if isinstance(self.dtype, np.dtype) else 0
        return item * math.prod(self.shape)

    @property
    def is_special(self) -> bool:
        """Whether its values, as they stand in the file, are not all that there is to it."""
        scale = None if self.quantization is None else self.quantization.scale
        return (scale is not None and len(scale) > 0) or bool(
            self.is_variable or self._packed.sparsity
        )

    @property
    def is_variable(self) -> bool:
        """Whether operators write it, and find it as it was in the next run of the file."""
        return bool(self._packed.isVariable)

    def copied(self, name: str) -> "Value":
        """Another value like this one, which nothing reads or writes."""
        value = Value(copy.copy(self._packed), self.buffer)
        value.name, value.shape, value.dtype = name, self.shape, self.dtype
        value.quantization = self.quantization
        return value

    def replace_uses(self, other: "Value") -> None:
        """Lets all operators that read this value read another one."""
        for node, position in list(self.uses):
            node.set_input(position, other)

    def packed(self, buffer: int) -> Any:
        packed = copy.copy(self._packed)
        packed.name = self.name.encode()
        if self.shape != packing.shape(packed):
            packed.shape, packed.shapeSignature = list(self.shape), None
        packed.type = _TYPES.get(self.dtype, packed.type)
        packed.quantization, packed.buffer = self.quantization, buffer
        return packed


class Node:
    """An operator.

    Attributes:
        type: the name of the built-in or custom operator.
        inputs: what it reads; None for an optional input that is absent.
        outputs: what it writes.
        options: the schema's object of a built-in operator, or None; a dictionary for an
            operator of Larq Compute Engine. Other custom options are kept as they are.
    """

    def __init__(
        self,
        code: Any,
        packed: Any,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        intermediates: Sequence[Value] = (),
    ):
        self.type = operators.operator_name(code)
        self.inputs: tuple[Value | None, ...] = ()
        self.outputs = tuple(outputs)
        self.code, self._packed = code, packed
        self._intermediates = tuple(intermediates)
        self.options = packed.builtinOptions
        if self.type in operators.LCE_OPERATORS:
            content = bytes(bytearray(packing.listed(packed.customOptions)))
            self.options = flexbuffers.Loads(content) if content else {}
        self._read_options = copy.copy(self.options)
        for value in self.outputs:
            value.producer = self
        for position, given in enumerate(inputs):
            self.set_input(position, given)

    @property
    def output(self) -> Value:
        """What an operator with one output writes."""
        return self.outputs[0]

    @property
    def data(self) -> Value:
        """What an operator with weights, or with one input, works on."""
        data = self.inputs[0]
        assert data is not None
        return data

    @property
    def operands(self) -> list[Value]:
        """The inputs that are not absent."""
        return [value for value in self.inputs if value is not None]

    def input(self, position: int) -> Value | None:
        """An input; None if it is absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    def constant(self, position: int) -> np.ndarray | None:
        """The values of an input that is a constant, else None."""
        value = self.input(position)
        return None if value is None else value.constant

    @property
    def is_activated(self) -> bool:
        """Whether it ends in an activation function of its own."""
        return bool(getattr(self.options, "fusedActivationFunction", 0))

    def set_input(self, position: int, value: Value | None) -> None:
        """Reads another value at a position."""
        before = self.input(position)
        if before is not None:
            before.uses.remove((self, position))
        inputs = [*self.inputs, *[None] * (position + 1 - len(self.inputs))]
        inputs[position] = value
        self.inputs = tuple(inputs)
        if value is not None:
            value.uses.append((self, position))

    @property
    def has_effects(self) -> bool:
        """Whether it does, or may do, more than to compute its outputs from its inputs."""
        unknown = self.code.customCode and self.type not in operators.LCE_OPERATORS
        return bool(unknown) or not self.outputs or self.type in operators.STATEFUL

    def packed(self, number: Callable[[Value], int]) -> Any:
        packed = copy.copy(self._packed)
        packed.inputs = [ABSENT if v is None else number(v) for v in self.inputs]
        packed.outputs = [number(value) for value in self.outputs]
        packed.intermediates = [number(v) for v in self._intermediates] or None
        if self.type not in operators.LCE_OPERATORS:
            packed.builtinOptions = self.options
        elif self.options != self._read_options:
            packed.customOptions = np.frombuffer(flexbuffers.Dumps(self.options), np.uint8)
        return packed
