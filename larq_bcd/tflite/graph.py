"""A `.tflite` file as a graph of operators and values, to be read, changed and written.

The operators of the main subgraph are the graph; every other subgraph, and whatever else the
file holds, is kept as it is.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from larq_bcd.errors import UserError
from larq_bcd.tflite import operators
from larq_bcd.tflite.schema import schema

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_ABSENT = -1
_INLINE = 1  # an offset up to it says that a buffer's bytes are in the flatbuffer itself
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
        self._packed, self._buffer = packed, buffer
        self.name: str = (packed.name or b"").decode()
        self.shape = _shape(packed)
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
        value._buffer = schema.BufferT()
        value._buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        value.quantization = quantization
        return value

    @property
    def constant(self) -> np.ndarray | None:
        """The values of a constant; None for what is computed or given."""
        data = None if self._buffer is None else self._buffer.data
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
            self._packed.isVariable or self._packed.sparsity
        )

    def replace_uses(self, other: "Value") -> None:
        """Lets all operators that read this value read another one."""
        for node, position in list(self.uses):
            node.set_input(position, other)

    def _pack(self, buffer: int) -> Any:
        packed = copy.copy(self._packed)
        packed.name = self.name.encode()
        if self.shape != _shape(packed):
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
        self._code, self._packed = code, packed
        self._intermediates = tuple(intermediates)
        self.options = packed.builtinOptions
        if self.type in operators.LCE_OPERATORS:
            custom = packed.customOptions
            content = b"" if custom is None else bytes(bytearray(custom))
            self.options = operators.read_custom_options(content)
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
        return operators.is_activated(self.options)

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
        unknown = self._code.customCode and self.type not in operators.LCE_OPERATORS
        return bool(unknown) or not self.outputs or self.type in operators.STATEFUL

    def _pack(self, number: Callable[[Value], int]) -> Any:
        packed = copy.copy(self._packed)
        packed.inputs = [_ABSENT if v is None else number(v) for v in self.inputs]
        packed.outputs = [number(value) for value in self.outputs]
        packed.intermediates = [number(v) for v in self._intermediates] or None
        if self.type not in operators.LCE_OPERATORS:
            packed.builtinOptions = self.options
        elif self.options != self._read_options:
            content = operators.write_custom_options(self.options)
            packed.customOptions = np.frombuffer(content, np.uint8)
        return packed


@dataclass
class Rewrite:
    """What a step did to a graph, in words or by the names of what it concerns.

    Attributes:
        changed: one entry for each change.
        skipped: what it left as it was, and why.
    """

    changed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Signature:
    """The names by which a caller knows inputs and outputs of the graph."""

    packed: Any
    inputs: list[Value]
    outputs: list[Value]


class Graph:
    """A file: the operators of its main subgraph, and all else that it holds.

    Attributes:
        inputs, outputs: of the main subgraph.
        nodes: its operators, in the order of execution.
        metadata: bytes by their names.

    Args:
        content: the bytes of a `.tflite` file.
    """

    def __init__(self, content: bytes):
        self._model = _unpacked(content)
        main = self._model.subgraphs[0]
        values = [Value(t, self._model.buffers[t.buffer]) for t in main.tensors]

        def named(numbers: Any) -> list[Value]:
            return [values[number] for number in _listed(numbers)]

        self.inputs, self.outputs = named(main.inputs), named(main.outputs)
        self.nodes = [
            Node(
                self._model.operatorCodes[packed.opcodeIndex],
                packed,
                [None if i == _ABSENT else values[i] for i in _listed(packed.inputs)],
                named(packed.outputs),
                named(packed.intermediates),
            )
            for packed in _listed(main.operators)
        ]
        self._signatures = [
            _Signature(
                packed,
                named(entry.tensorIndex for entry in _listed(packed.inputs)),
                named(entry.tensorIndex for entry in _listed(packed.outputs)),
            )
            for packed in _listed(self._model.signatureDefs)
            if packed.subgraphIndex == 0
        ]
        self.metadata = {
            entry.name.decode(): bytes(_data(self._model.buffers[entry.buffer]))
            for entry in _listed(self._model.metadata)
        }

    def nodes_of(self, *types: str) -> list[Node]:
        """The operators of the given types, in the order of execution."""
        return [node for node in self.nodes if node.type in types]

    def is_private(self, value: Value) -> bool:
        """Whether one operator alone sees a value, at one of its inputs."""
        return len(value.uses) == 1 and value not in self.outputs

    def outputs_like(self, names: list[str]) -> list[Value]:
        """The outputs in the order of a Keras model's, which a signature may have sorted.

        Args:
            names: the model's output names.
        """
        named = {
            entry.name.decode(): value
            for signature in self._signatures
            for entry, value in zip(signature.packed.outputs, signature.outputs, strict=True)
        }
        return [named[n] for n in names] if set(names) == set(named) else self.outputs

    def add_node(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        version: int = 1,
        **options: Any,
    ) -> Node:
        """Adds a built-in operator; `tidy` finds its position among the others.

        Args:
            kind: the operator's name in the schema, such as `"PAD"`.
            inputs, outputs: what it reads and writes.
            version: of the operator.
            options: fields of its options that are not as they are by default.
        """
        packed = schema.OperatorT()
        packed.builtinOptionsType, packed.builtinOptions = operators.builtin_options(
            kind, **options
        )
        return self._added(Node(operators.builtin_code(kind, version), packed, inputs, outputs))

    def add_lce_node(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        **options: int,
    ) -> Node:
        """Adds an operator of Larq Compute Engine, as `add_node` does.

        Args:
            kind: its name, such as `"LceBconv2d"`.
            inputs, outputs: what it reads and writes.
            options: all of its options.
        """
        packed = schema.OperatorT()
        if options:
            content = operators.write_custom_options(options)
            packed.customOptions = np.frombuffer(content, np.uint8)
        return self._added(Node(operators.custom_code(kind), packed, inputs, outputs))

    def copy_node(self, node: Node, inputs: Sequence[Value], outputs: Sequence[Value]) -> Node:
        """Adds an operator of the same type and options as another."""
        copied = Node(node._code, node._packed, inputs, outputs)
        copied.options = copy.copy(node.options)
        return self._added(copied)

    def _added(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def remove(self, node: Node) -> None:
        """Takes an operator out; another one may write its outputs by then."""
        self.nodes.remove(node)
        for position in range(len(node.inputs)):
            node.set_input(position, None)
        for value in node.outputs:
            if value.producer is node:
                value.producer = None

    def replace(self, value: Value, other: Value) -> None:
        """Lets all that reads a value, and the callers of the file, have another one."""
        value.replace_uses(other)
        lists = [self.outputs, *(signature.outputs for signature in self._signatures)]
        for values in lists:
            values[:] = [other if one is value else one for one in values]

    def tidy(self) -> None:
        """Clears away what nothing uses and constants that are there twice, and sorts.

        A new operator comes right before the first that needs it.
        """
        self._drop_dead_nodes()
        self._join_equal_constants()
        self._sort()

    def _drop_dead_nodes(self) -> None:
        pending = [value.producer for value in self._results]
        pending += [node for node in self.nodes if node.has_effects]
        needed: set[Node] = set()
        while pending:
            node = pending.pop()
            if node is not None and node not in needed:
                needed.add(node)
                pending += [value.producer for value in node.operands]
        for node in [node for node in self.nodes if node not in needed]:
            self.remove(node)

    @property
    def _results(self) -> list[Value]:
        return [*self.outputs, *(v for sign in self._signatures for v in sign.outputs)]

    def _join_equal_constants(self) -> None:
        first: dict[tuple, Value] = {}
        results = set(self._results)
        for value in dict.fromkeys(value for node in self.nodes for value in node.operands):
            if value in results or value.is_special or (constant := value.constant) is None:
                continue
            same = first.setdefault((value.dtype, value.shape, constant.tobytes()), value)
            if same is not value:
                value.replace_uses(same)

    def _sort(self) -> None:
        order: dict[Node, None] = {}
        for node in self.nodes:
            pending = [node]
            while pending:
                producers = [value.producer for value in pending[-1].operands]
                waiting = [p for p in producers if p is not None and p not in order]
                if pending[-1] in order or not waiting:
                    order.setdefault(pending.pop())
                else:
                    pending += reversed(waiting)
        self.nodes = list(order)

    def write(self) -> bytes:
        """The bytes of the file.

        Raises:
            UserError: if the file holds what only a newer TensorFlow knows.
        """
        model = copy.copy(self._model)
        writer = _Writer(self._model)
        model.subgraphs = writer.subgraphs(self.nodes, self.inputs, self.outputs)
        known = {id(signature.packed): signature for signature in self._signatures}
        model.signatureDefs = [
            writer.signature(known[id(packed)]) if id(packed) in known else packed
            for packed in _listed(model.signatureDefs)
        ]
        model.metadata = [writer.metadata(*entry) for entry in self.metadata.items()]
        model.metadataBuffer = None  # it has been replaced by the above
        return writer.content(model)

    def part(
        self, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> bytes:
        """The bytes of a file of some of the operators, without signatures and metadata.

        Args:
            nodes: the operators, in the order of execution.
            inputs: all that they read and none of them writes, less constants.
            outputs: what the file is to show, of all that they or the caller writes.
        """
        model = copy.copy(self._model)
        writer = _Writer(self._model)
        model.subgraphs = writer.subgraphs(nodes, inputs, outputs)
        model.signatureDefs = model.metadata = model.metadataBuffer = None
        return writer.content(model)


class _Writer:
    """Numbers values, buffers and codes as it comes across them, and packs what holds them."""

    def __init__(self, model: Any):
        self._model = model
        self._values: dict[Value, int] = {}
        self._numbers: dict[Any, int] = {}
        self._codes: dict[tuple, int] = {}
        # The empty one comes first, by the format's convention.
        self._packed_buffers = [_AlignedBuffer()]
        self._packed_codes: list[Any] = []

    def content(self, model: Any) -> bytes:
        """The bytes of a model of what has been packed."""
        model.buffers, model.operatorCodes = self._packed_buffers, self._packed_codes
        # Room for all, so that the builder need not grow again and again.
        size = sum(len(_data(buffer)) + 2 * _ALIGNMENT for buffer in model.buffers)
        builder = flatbuffers.Builder(size + (1 << 20))
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def subgraphs(
        self, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> list[Any]:
        """The main subgraph of the given operators, and the others as they are."""
        first, *others = self._model.subgraphs
        main = copy.copy(first)
        main.inputs = [self._value(value) for value in inputs]
        main.operators = [self._operator(node._pack(self._value), node._code) for node in nodes]
        main.outputs = [self._value(value) for value in outputs]
        main.tensors = [value._pack(self._buffer(value._buffer)) for value in self._values]
        return [main, *map(self._other, others)]

    def _other(self, subgraph: Any) -> Any:
        packed = copy.copy(subgraph)
        packed.tensors = [copy.copy(tensor) for tensor in _listed(subgraph.tensors)]
        for tensor in packed.tensors:
            tensor.buffer = self._buffer(self._model.buffers[tensor.buffer])
        packed.operators = [
            self._operator(copy.copy(one), self._model.operatorCodes[one.opcodeIndex])
            for one in _listed(subgraph.operators)
        ]
        return packed

    def signature(self, signature: _Signature) -> Any:
        """A signature with the numbers that its values have now."""
        packed = copy.copy(signature.packed)
        for side, values in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            entries = [copy.copy(entry) for entry in _listed(getattr(packed, side))]
            for entry, value in zip(entries, values, strict=True):
                entry.tensorIndex = self._values[value]
            setattr(packed, side, entries)
        return packed

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
        if buffer is None or len(_data(buffer)) == 0:
            return 0
        if buffer not in self._numbers:
            self._numbers[buffer] = len(self._packed_buffers)
            self._packed_buffers.append(_AlignedBuffer(buffer))
        return self._numbers[buffer]


class _AlignedBuffer(schema.BufferT):
    """A buffer that starts at a multiple of 16 bytes, as the schema demands.

    The bindings forget it, and kernels read whole vectors from where the weights are.
    """

    def __init__(self, buffer: Any = None):
        super().__init__()
        self.data = None if buffer is None else buffer.data

    def Pack(self, builder: Any) -> Any:
        """Writes the buffer; the schema's name for it."""
        content = _data(self).tobytes()
        vector = None
        if content:
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _unpacked(content: bytes) -> Any:
    """The schema's object of a file, with all its bytes within the flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for buffer in model.buffers:
        if buffer.offset > _INLINE:
            outside = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(outside, np.uint8), 0, 0
    for subgraph in model.subgraphs:
        for operator in _listed(subgraph.operators):
            start = operator.largeCustomOptionsOffset
            if start > _INLINE:
                outside = content[start : start + operator.largeCustomOptionsSize]
                operator.customOptions = np.frombuffer(outside, np.uint8)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def _data(buffer: Any) -> np.ndarray:
    return np.asarray(() if buffer.data is None else buffer.data, np.uint8)


def _shape(packed: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in _listed(packed.shape))


def _listed(entries: Any) -> list:
    return [] if entries is None else list(entries)


__all__ = ["Graph", "Node", "Rewrite", "Value"]
