"""Refuses the operations of a SavedModel that reach outside of its tensors and variables.

TensorFlow declares for each operation what it takes, and whether it has state or effects. One
is let through that has neither, and takes no names: no strings, of which `ReadFile` makes a
file, and no resources or variants, of which data sets are made. Variables and random numbers
are state of the model's own; they are listed.
"""

from collections.abc import Iterator
from pathlib import Path

from tensorflow.core.framework import op_def_pb2, types_pb2
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.python.framework import op_def_registry

from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.allowed import SAVER, STATE, STRINGS, TEXT_ATTRIBUTES
from larq_bcd.convert.load.code import TRUST

# Lists of tensors, of which loops are made.
_LISTS = ("TensorList", "EmptyTensorList")
_NAMING = frozenset({types_pb2.DT_STRING, types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT})


def computes_tensors(name: str) -> bool:
    """Whether an operation does no more than compute tensors from tensors and variables.

    Args:
        name: its type, such as `"Conv2D"`.
    """
    definition = op_def_registry.get(name)
    if definition is None:
        return False
    if name in STATE or name in STRINGS or name.startswith(_LISTS):
        return True
    return not definition.is_stateful and not _takes_names(definition)


def _takes_names(definition: op_def_pb2.OpDef) -> bool:
    tensors = [*definition.input_arg, *definition.output_arg]
    texts = [
        attribute.name
        for attribute in definition.attr
        if attribute.type in ("string", "list(string)") and not attribute.allowed_values.list.s
    ]
    return any(tensor.type in _NAMING for tensor in tensors) or not TEXT_ATTRIBUTES.issuperset(
        texts
    )


def refuse_operations(path: Path, graph: MetaGraphDef) -> None:
    """Raises an error if a graph or one of its functions holds an operation to be refused.

    Args:
        path: the SavedModel, for the message.
        graph: one of its graphs.

    Raises:
        ConversionError: with the operation, its function, and the option that allows it.
    """
    saving = _saving_functions(graph)
    for function, node in _nodes(graph):
        if computes_tensors(node.op) or (function in saving and node.op in SAVER):
            continue
        where = f", in the function '{function}'" if function else ""
        raise ConversionError(
            f"{path} has the operation {node.op} ('{node.name}'{where}), which is not known to "
            f"only compute tensors from tensors, and may run on loading: {TRUST}."
        )


def _nodes(graph: MetaGraphDef) -> Iterator[tuple[str, NodeDef]]:
    """Every operation, and the name of the function that it stands in."""
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _called(node: NodeDef) -> Iterator[str]:
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        yield from (function.name for function in attribute.list.func)


def _saving_functions(graph: MetaGraphDef) -> set[str]:
    """Functions that nothing can call but the nodes that save and restore variables."""
    saver = graph.saver_def
    nodes = {saver.save_tensor_name.split(":")[0], saver.restore_op_name}
    saving: set[str] = set()
    others = set(graph.object_graph_def.concrete_functions)
    for function, node in _nodes(graph):
        mine = not function and node.name in nodes
        (saving if mine else others).update(_called(node))
    return saving - others
