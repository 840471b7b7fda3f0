"""A `.tflite` file as a graph of operators and values, to be read, changed and written.

The operators of the main subgraph are the graph; every other subgraph, and whatever else the
file holds, is kept as it is.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from larq_bcd.tflite import operators, packing
from larq_bcd.tflite.nodes import ABSENT, Node, Value
from larq_bcd.tflite.ranks import MOST_DIMENSIONS, aborts
from larq_bcd.tflite.schema import schema
from larq_bcd.tflite.writer import Signature, Writer


@dataclass
class Rewrite:
    """What a step did to a graph, in words or by the names of what it concerns.

    Attributes:
        changed: one entry for each change.
        skipped: what it left as it was, and why.
    """

    changed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


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
        self._model = packing.unpacked(content)
        main = self._model.subgraphs[0]
        values = [Value(t, self._model.buffers[t.buffer]) for t in main.tensors]

        def named(numbers: Any) -> list[Value]:
            return [values[number] for number in packing.listed(numbers)]

        self.inputs, self.outputs = named(main.inputs), named(main.outputs)
        self.nodes = [
            Node(
                self._model.operatorCodes[packed.opcodeIndex],
                packed,
                [None if i == ABSENT else values[i] for i in packing.listed(packed.inputs)],
                named(packed.outputs),
                named(packed.intermediates),
            )
            for packed in packing.listed(main.operators)
        ]
        self._signatures = [
            Signature(
                packed,
                *(
                    {entry.name.decode(): values[entry.tensorIndex] for entry in side}
                    for side in map(packing.listed, (packed.inputs, packed.outputs))
                ),
            )
            for packed in packing.listed(self._model.signatureDefs)
            if packed.subgraphIndex == 0
        ]
        self.metadata = {
            entry.name.decode(): bytes(packing.data(self._model.buffers[entry.buffer]))
            for entry in packing.listed(self._model.metadata)
        }

    def nodes_of(self, *types: str) -> list[Node]:
        """The operators of the given types, in the order of execution."""
        return [node for node in self.nodes if node.type in types]

    def is_private(self, value: Value) -> bool:
        """Whether one operator alone sees a value, at one of its inputs."""
        return len(value.uses) == 1 and value not in self.outputs

    @property
    def input_names(self) -> list[str]:
        """What a caller calls each input: its name in the first signature, or in the file."""
        return _called(self.inputs, self._signatures[0].inputs if self._signatures else {})

    @property
    def output_names(self) -> list[str]:
        """What a caller calls each output, likewise."""
        return _called(self.outputs, self._signatures[0].outputs if self._signatures else {})

    def set_signature(self, inputs: dict[str, Value], outputs: dict[str, Value]) -> None:
        """Puts inputs and outputs in order, under names for whoever calls the file.

        The values themselves are called so too, unless others are.

        Args:
            inputs, outputs: all that the file has.
        """
        self.inputs, self.outputs = list(inputs.values()), list(outputs.values())
        taken = {value.name for node in self.nodes for value in node.outputs}
        first = {value: name for name, value in reversed([*inputs.items(), *outputs.items()])}
        for value, name in first.items():
            if name not in taken:
                value.name = name
        packed = schema.SignatureDefT()
        packed.signatureKey, packed.subgraphIndex = b"serving_default", 0
        every = packing.listed(self._model.signatureDefs)
        self._model.signatureDefs = [packed, *(one for one in every if one.subgraphIndex != 0)]
        self._signatures = [Signature(packed, inputs, outputs)]

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
            packed.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
        return self._added(Node(operators.custom_code(kind), packed, inputs, outputs))

    def copy_node(self, node: Node, inputs: Sequence[Value], outputs: Sequence[Value]) -> Node:
        """Adds an operator of the same type and options as another."""
        copied = Node(node.code, node._packed, inputs, outputs)
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
        self.outputs[:] = [other if one is value else one for one in self.outputs]
        for signature in self._signatures:
            for name, one in signature.outputs.items():
                signature.outputs[name] = other if one is value else one

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
        return [*self.outputs, *(v for sign in self._signatures for v in sign.outputs.values())]

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
        writer = Writer(self._model)
        model.subgraphs = writer.subgraphs(self.nodes, self.inputs, self.outputs)
        known = {id(signature.packed): signature for signature in self._signatures}
        model.signatureDefs = [
            writer.signature(known[id(packed)]) if id(packed) in known else packed
            for packed in packing.listed(model.signatureDefs)
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
        writer = Writer(self._model)
        model.subgraphs = writer.subgraphs(nodes, inputs, outputs)
        model.signatureDefs = model.metadata = model.metadataBuffer = None
        return writer.content(model)


def _called(values: list[Value], signature: dict[str, Value]) -> list[str]:
    """Names of values, by a signature if it has them; a value may have several there."""
    left, names = dict(signature), []
    for value in values:
        name = next((name for name, one in left.items() if one is value), value.name)
        left.pop(name, None)
        names.append(name)
    return names


def has_states(content: bytes) -> bool:
    """Whether a `.tflite` file remembers one run in the next, as one with an LSTM does."""
    model = schema.Model.GetRootAsModel(content, 0)
    subgraphs = [model.Subgraphs(number) for number in range(model.SubgraphsLength())]
    return any(
        subgraph.Tensors(number).IsVariable()
        for subgraph in subgraphs
        for number in range(subgraph.TensorsLength())
    )


def aborting_operators(content: bytes) -> list[str]:
    """The operators of a `.tflite` file that end the process, by `ranks.aborts`, in words."""
    model = schema.Model.GetRootAsModel(content, 0)
    names = [
        operators.operator_name(schema.OperatorCodeT.InitFromObj(model.OperatorCodes(number)))
        for number in range(model.OperatorCodesLength())
    ]
    found = {}
    for subgraph in (model.Subgraphs(number) for number in range(model.SubgraphsLength())):
        for node in (subgraph.Operators(n) for n in range(subgraph.OperatorsLength())):
            name = names[node.OpcodeIndex()]
            if name not in MOST_DIMENSIONS:
                continue
            tensors = [
                subgraph.Tensors(node.Inputs(number)) for number in range(node.InputsLength())
            ]
            shapes = [[t.Shape(axis) for axis in range(t.ShapeLength())] for t in tensors]
            if aborts(name, shapes):
                found[f"{name} of {max(map(len, shapes))} dimensions"] = True
    return list(found)
