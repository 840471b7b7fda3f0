"""A Keras model of a SavedModel that keeps operations and no layers, as of `model.export`."""

from collections import defaultdict
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from larq_bcd.convert.errors import ConversionError

_DEFAULT = "serving_default"


def model_of_signature(path: Path) -> tf.keras.Model:
    """Builds the model that computes what the signature of a SavedModel computes.

    Its operations stand in the model as they are, none behind a call, and read its variables:
    each convolution is found with its kernel, as that of a layer is.

    Args:
        path: of the folder, whose operations have been checked.

    Raises:
        ConversionError: if it has no signature, or several and none of them is the default.
    """
    restored = tf.saved_model.load(str(path))
    function = _signature(path, dict(restored.signatures))
    specs = function.structured_input_signature[1]
    names = sorted(specs)
    inputs = [
        tf.keras.Input(
            specs[name].shape[1:],
            batch_size=specs[name].shape[0],
            dtype=specs[name].dtype,
            name=name,
        )
        for name in names
    ]
    outputs = _Operations(function, name="signature")(inputs)
    named = [
        tf.keras.layers.Identity(name=name)(output)
        for name, output in zip(sorted(function.structured_outputs), outputs, strict=True)
    ]
    return tf.keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        named if len(named) > 1 else named[0],
        name=path.name,
    )


def _signature(path: Path, signatures: dict):
    if _DEFAULT in signatures or len(signatures) == 1:
        return signatures.get(_DEFAULT) or next(iter(signatures.values()))
    if not signatures:
        raise ConversionError(
            f"{path} is a SavedModel without layers and signatures: save the Keras model "
            "itself with model.save or model.export."
        )
    raise ConversionError(
        f"{path} is a SavedModel without layers, of several signatures "
        f"({', '.join(signatures)}): save it with the one to be converted as {_DEFAULT!r}."
    )


class _Weights(tf.keras.layers.Layer):
    """The variables of a layer that is not kept."""

    def __init__(self, variables: list[tf.Variable], name: str):
        super().__init__(name=name)
        self.variables_of_layer = variables
        self.built = True


class _Operations(tf.keras.layers.Layer):
    """The operations of a function; its inputs and outputs are lists of tensors."""

    def __init__(self, function, name: str):
        super().__init__(name=name)
        by_handle = {id(variable.handle): variable for variable in function.variables}
        read = {
            inner.op.name: by_handle[id(handle)]
            for handle, inner in function.graph.captures
            if id(handle) in by_handle
        }
        # Which also writes out the functions that it calls.
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
        self._graph, self._variables_read = _with_open_constants(
            frozen.graph.as_graph_def(), read
        )
        self._inputs_of_graph = [tensor.name for tensor in frozen.inputs]
        self._outputs_of_graph = [tensor.name for tensor in frozen.outputs]
        of_layer = defaultdict(list)
        for variable in function.variables:
            of_layer[variable.name.rpartition("/")[0] or variable.name].append(variable)
        self.layers_of_variables = [
            _Weights(variables, name.split("/")[-1].split(":")[0])
            for name, variables in of_layer.items()
        ]

        self._compiled = tf.function(self._imported, autograph=False)

    def call(self, inputs):
        tensors = tf.nest.flatten(inputs)
        # Operations are imported into a graph; without one, into that of a function.
        return (self._compiled if tf.executing_eagerly() else self._imported)(tensors)

    def _imported(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        fed = dict(zip(self._inputs_of_graph, tensors, strict=True))
        for name, variable in self._variables_read.items():
            fed[f"{name}:0"] = tf.convert_to_tensor(variable)
        return tf.graph_util.import_graph_def(self._graph, fed, self._outputs_of_graph, name="")


def _with_open_constants(
    graph: GraphDef, read: dict[str, tf.Variable]
) -> tuple[GraphDef, dict[str, tf.Variable]]:
    """Lets the values of variables be given to a graph that holds them as constants."""
    found = {}
    for node in graph.node:
        if node.op == "Const" and node.name in read:
            found[node.name] = read[node.name]
            dtype = node.attr["dtype"]
            node.op = "Placeholder"
            node.attr.clear()
            node.attr["dtype"].CopyFrom(dtype)
    return graph, found
