"""A flatbuffer that is being changed: operators, tensors and constants, by number of tensor."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.tflite.flatbuffer import DTYPES, Flatbuffer, operator_name, pack

ABSENT = -1
_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}


@dataclass(eq=False)
class Node:
    """An operator.

    Attributes:
        type: the name of the built-in or custom operator.
        inputs, outputs: numbers of tensors; an optional input that is absent is -1.
        options: the schema's object of the built-in operator, or None; a dictionary for a
            custom operator.
        packed: the schema's object, whose other fields stay as they are.
    """

    type: str
    inputs: list[int]
    outputs: list[int]
    options: Any
    packed: Any

    @property
    def output(self) -> int:
        """The tensor that an operator with one output writes."""
        return self.outputs[0]


class Editor:
    """The parts of a flatbuffer with one subgraph, to be changed and put together again.

    Changes leave dead operators, tensors and constants behind, and constants twice; `pack`
    clears them away and puts the operators into an order in which they can run. The numbers
    of tensors are others then.

    Args:
        flatbuffer: is not changed.
    """

    def __init__(self, flatbuffer: Flatbuffer):
        self._model = flatbuffer.unpacked()
        graph = self._model.subgraphs[0]
        self.tensors = list(graph.tensors)
        self.inputs = [int(i) for i in graph.inputs]
        self.outputs = [int(i) for i in graph.outputs]
        self.nodes = [self._node(packed) for packed in graph.operators]
        self._uses: dict[int, list[tuple[Node, int]]] | None = None
        self._producers: dict[int, Node] = {}

    def _node(self, packed) -> Node:
        code = self._model.operatorCodes[packed.opcodeIndex]
        options = packed.builtinOptions
        if code.customCode:
            custom = packed.customOptions
            filled = custom is not None and len(custom) > 0
            options = flexbuffers.Loads(bytes(bytearray(custom))) if filled else {}
        return Node(
            operator_name(code),
            [int(i) for i in packed.inputs],
            [int(i) for i in packed.outputs],
            options,
            packed,
        )

    def _index(self) -> dict[int, list[tuple[Node, int]]]:
        if self._uses is None:
            self._uses, self._producers = {}, {}
            for node in self.nodes:
                for position, tensor in enumerate(node.inputs):
                    self._uses.setdefault(tensor, []).append((node, position))
                for tensor in node.outputs:
                    self._producers[tensor] = node
        return self._uses

    def producer(self, tensor: int) -> Node | None:
        """The operator that writes a tensor; None for inputs and constants."""
        self._index()
        return self._producers.get(tensor)

    def uses(self, tensor: int) -> list[tuple[Node, int]]:
        """The operators that read a tensor, with the position among their inputs."""
        return list(self._index().get(tensor, ()))

    def is_private(self, tensor: int) -> bool:
        """Whether one operator alone sees a tensor, at one of its inputs."""
        return len(self.uses(tensor)) == 1 and tensor not in self.outputs

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The static shape of a tensor."""
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def dtype(self, tensor: int) -> np.dtype | None:
        """The type of a tensor's values; None for one that NumPy does not have."""
        return DTYPES.get(self.tensors[tensor].type)

    def name(self, tensor: int) -> str:
        """The name of a tensor."""
        return (self.tensors[tensor].name or b"").decode()

    def constant(self, tensor: int) -> np.ndarray | None:
        """The values of a constant, or None for a tensor that is computed or absent."""
        if tensor == ABSENT or self.producer(tensor) is not None:
            return None
        data = self._model.buffers[self.tensors[tensor].buffer].data
        dtype = self.dtype(tensor)
        if data is None or len(data) == 0 or dtype is None:
            return None
        return np.asarray(data, np.uint8).view(dtype).reshape(self.shape(tensor))

    def values(self, tensor: int) -> np.ndarray:
        """The values of a tensor that is known to be a constant."""
        values = self.constant(tensor)
        assert values is not None
        return values

    def add_constant(self, values: np.ndarray, name: str, quantization=None) -> int:
        """Adds a constant tensor and returns its number."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers = [*self._model.buffers, buffer]
        tensor = self.add_tensor(values.shape, values.dtype, name, quantization)
        self.tensors[tensor].buffer = len(self._model.buffers) - 1
        return tensor

    def add_tensor(self, shape: Iterable[int], dtype, name: str, quantization=None) -> int:
        """Adds a tensor that an operator will write and returns its number."""
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = [int(size) for size in shape]
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = 0  # the empty one, by the format's convention
        tensor.hasRank = True
        tensor.quantization = quantization
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def set_input(self, node: Node, position: int, tensor: int) -> None:
        """Lets an operator read another tensor."""
        node.inputs += [ABSENT] * (position + 1 - len(node.inputs))
        node.inputs[position] = tensor
        self._uses = None

    def redirect(self, tensor: int, other: int) -> None:
        """Lets all operators that read a tensor read another one."""
        for node, position in self.uses(tensor):
            node.inputs[position] = other
        self._uses = None

    def add_node(
        self, kind: str, inputs: list[int], outputs: list[int], options=None, version: int = 1
    ) -> Node:
        """Adds a built-in operator; `finish` finds its place among the others.

        Args:
            kind: the operator's name in the schema, such as `"PAD"`.
            inputs, outputs: numbers of tensors.
            options: the schema's object of its options.
            version: of the operator, which says what an interpreter must know to run it.
        """
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        # Codes below 127 are in the older, narrower field too.
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        packed = schema.OperatorT()
        packed.opcodeIndex = len(self._model.operatorCodes)
        if options is not None:
            packed.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__.removesuffix("T")
            )
        self._model.operatorCodes = [*self._model.operatorCodes, code]
        node = Node(kind, list(inputs), list(outputs), options, packed)
        self.nodes.append(node)
        self._uses = None
        return node

    def copy_node(self, node: Node, inputs: list[int], outputs: list[int]) -> Node:
        """Adds an operator of the same type and options as another."""
        packed = schema.OperatorT()
        packed.opcodeIndex = node.packed.opcodeIndex
        packed.builtinOptionsType = node.packed.builtinOptionsType
        copy = Node(node.type, list(inputs), list(outputs), node.options, packed)
        self.nodes.append(copy)
        self._uses = None
        return copy

    def remove(self, node: Node) -> None:
        """Takes an operator out."""
        self.nodes.remove(node)
        self._uses = None

    def set_metadata(self, name: str, content: bytes) -> None:
        """Keeps bytes under a name, in place of those that are there."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._model.buffers = [*self._model.buffers, buffer]
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), len(self._model.buffers) - 1
        others = [other for other in self._model.metadata or () if other.name != entry.name]
        self._model.metadata = [*others, entry]

    def pack(self) -> bytes:
        """Puts the flatbuffer together, without what nothing uses."""
        self._drop_dead_nodes()
        self._join_equal_constants()
        self._sort()
        self._renumber()
        self._fill_in()
        return pack(self._model)

    def finish(self) -> Flatbuffer:
        """The flatbuffer that `pack` puts together."""
        return Flatbuffer(self.pack())

    def _drop_dead_nodes(self) -> None:
        needed, pending = set(), list(self.outputs)
        while pending:
            node = self.producer(pending.pop())
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                pending += node.inputs
        self.nodes = [node for node in self.nodes if id(node) in needed]
        self._uses = None

    def _join_equal_constants(self) -> None:
        first: dict[tuple, int] = {}
        for tensor in sorted({i for node in self.nodes for i in node.inputs if i != ABSENT}):
            values = self.constant(tensor)
            if values is None or tensor in self.outputs:
                continue
            packed = self.tensors[tensor]
            scale = None if packed.quantization is None else packed.quantization.scale
            if scale is None or len(scale) == 0:
                key = (packed.type, values.shape, values.tobytes())
                same = first.setdefault(key, tensor)
                if same != tensor:
                    self.redirect(tensor, same)

    def _sort(self) -> None:
        """Sorts topologically; new operators stand before the first that needs them."""
        self._index()
        rank = {id(node): position for position, node in enumerate(self.nodes)}
        waits = {
            id(node): {id(p) for i in node.inputs if (p := self._producers.get(i)) is not None}
            for node in self.nodes
        }
        # From the end, so that an operator stands as late as its readers allow.
        readers: dict[int, int] = dict.fromkeys(rank, 0)
        for needs in waits.values():
            for needed in needs:
                readers[needed] += 1
        by_id = {id(node): node for node in self.nodes}
        old = {id(node) for node in self.nodes if node.packed.outputs is not None}

        def priority(key: int) -> tuple[int, int]:
            # A new operator goes right before its reader, which has just been placed.
            return (-rank[key] if key in old else -len(rank), key)

        ready = [(*priority(key), key) for key, count in readers.items() if count == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            *_, key = heapq.heappop(ready)
            order.append(by_id[key])
            for needed in waits[key]:
                readers[needed] -= 1
                if readers[needed] == 0:
                    heapq.heappush(ready, (*priority(needed), needed))
        self.nodes = order[::-1]
        self._uses = None

    def _renumber(self) -> None:
        used = {i for node in self.nodes for i in (*node.inputs, *node.outputs)}
        used |= {*self.inputs, *self.outputs}
        kept = [i for i in range(len(self.tensors)) if i in used]
        number = {old: new for new, old in enumerate(kept)} | {ABSENT: ABSENT}
        self.tensors = [self.tensors[i] for i in kept]
        for node in self.nodes:
            node.inputs = [number[i] for i in node.inputs]
            node.outputs = [number[i] for i in node.outputs]
        self.inputs = [number[i] for i in self.inputs]
        self.outputs = [number[i] for i in self.outputs]
        for signature in self._model.signatureDefs or ():
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = number[entry.tensorIndex]
        self._uses = None

        buffers = {0: 0}
        for owner in (*self.tensors, *(self._model.metadata or ())):
            owner.buffer = buffers.setdefault(owner.buffer, len(buffers))
        self._model.buffers = [self._model.buffers[old] for old in buffers]

    def _fill_in(self) -> None:
        """Writes the operators and tensors into the schema's objects."""
        codes: dict[tuple, int] = {}
        kept = []
        for node in self.nodes:
            code = self._model.operatorCodes[node.packed.opcodeIndex]
            key = (node.type, code.version)
            if key not in codes:
                codes[key] = len(codes)
                kept.append(code)
            node.packed.opcodeIndex = codes[key]
            node.packed.inputs, node.packed.outputs = list(node.inputs), list(node.outputs)
            if not isinstance(node.options, dict):
                node.packed.builtinOptions = node.options
            elif node.options:
                options = bytes(flexbuffers.Dumps(node.options))
                node.packed.customOptions = np.frombuffer(options, np.uint8)
        self._model.operatorCodes = kept
        graph = self._model.subgraphs[0]
        graph.tensors = self.tensors
        graph.operators = [node.packed for node in self.nodes]
        graph.inputs, graph.outputs = self.inputs, self.outputs


__all__ = ["ABSENT", "Editor", "Node"]
