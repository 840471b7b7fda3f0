"""What a network costs: the sum over its layers."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.models._arguments import require_model
from larq_bcd.summary import layer_rules
from larq_bcd.summary.costs import Cost, LayerCost
from larq_bcd.summary.render import Summary


def cost(model: tf.keras.Model) -> Cost:
    """Counts the operations and parameters of a network.

    Args:
        model: network with a static image size; one of a class of its own has been called.

    Raises:
        UserError: if it is not a model of Keras 2, the image size is not static, or a layer is
            not known.
    """
    return Summary(model.name, list(_layer_costs(_as_functional(model)))).total


def summarize(model: tf.keras.Model) -> Summary:
    """Counts the operations and parameters of each layer of a network.

    Args:
        model: network with a static image size; one of a class of its own has been called.

    Returns:
        The cost of each layer, and whether it would become binary.

    Raises:
        UserError: if it is not a model of Keras 2, the image size is not static, or a layer is
            not known.
    """
    # Imported here: to count a network takes no converter.
    from larq_bcd.convert.reasons import expected_reasons

    model = _as_functional(model)
    costs = list(_layer_costs(model))
    reasons = expected_reasons(model)

    def reason(name: str) -> str | None:
        of_layer = (text for key, text in reasons.items() if f"{key}/".startswith(f"{name}/"))
        return next(of_layer, None)

    layers = [replace(layer, reason_for_float=reason(layer.name)) for layer in costs]
    return Summary(model.name, layers)


def _as_functional(model: tf.keras.Model) -> tf.keras.Model:
    require_model(model)
    if model.inputs:
        return model
    from larq_bcd.convert.load import as_functional

    model = as_functional(model)
    _number_functions(model)
    return model


def _layer_costs(
    model: tf.keras.Model, around: str = "", times: int = 1, is_first: bool = True
):
    merged = _merged_heads(model)
    nodes = _nodes(model)
    for layer in model.layers:
        node, *others = nodes[layer.name]
        name = f"{around}{layer.name}"
        count = times * (1 + len(others))
        first = is_first and layer_rules.is_real_first(layer)
        if isinstance(layer, tf.keras.Model) and layer.inputs:
            yield from _layer_costs(layer, f"{name}/", count, first)
        elif _is_of_layers(layer):
            yield from _layer_costs(_opened(layer, node), f"{name}/", count, first)
            if own := _own_weights(layer):
                yield LayerCost(name, type(layer).__name__, (), Cost(**_held(own)))
        else:
            yield _layer_cost(layer, node, name, 0 if layer in merged else count, first)


def _nodes(model: tf.keras.Model) -> dict[str, list]:
    """The calls of each layer in a network."""
    found: dict[str, list] = {}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            found.setdefault(node.layer.name, []).append(node)
    return found


def _is_of_layers(layer) -> bool:
    """Whether a layer of the user's is made of layers, as a model of a class of its own is."""
    is_known = layer_rules.is_known(layer) or type(layer).__module__.startswith("tf_keras.")
    return not is_known and any(getattr(part, "weights", ()) for part in layer.submodules)


def _opened(layer, node) -> tf.keras.Model:
    """The layers that the `call` of a layer calls, as a network."""
    inputs = []

    def as_input(value):
        if not tf.keras.backend.is_keras_tensor(value):
            return value
        inputs.append(tf.keras.Input(value.shape[1:], value.shape[0], dtype=value.dtype))
        return inputs[-1]

    try:
        args, kwargs = tf.nest.map_structure(as_input, (node.call_args, node.call_kwargs))
        opened = tf.keras.Model(inputs, layer.call(*args, **kwargs), name=layer.name)
    # Whatever the user's code makes of symbolic tensors.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the cost of {layer.name!r} is not known: the call of {type(layer).__name__} does "
            f"not take symbolic tensors of Keras ({reason}); build it as a functional model."
        ) from error
    _number_functions(opened)
    return opened


def _number_functions(network: tf.keras.Model) -> None:
    """Numbers the functions of TensorFlow in a network, and its inputs, from the first on.

    Keras numbers them over all networks, so that each time a layer is opened they would have
    other names.
    """
    known: Counter[str] = Counter()
    for layer in network.layers:
        if type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda", "InputLayer"):
            name = re.sub(r"_\d+$", "", layer.name)
            layer._name = f"{name}_{known[name]}" if known[name] else name
            known[name] += 1


def _own_weights(layer) -> list[tf.Variable]:
    """The weights of a layer that none of its parts has."""
    parts = {id(weight) for part in layer.submodules for weight in getattr(part, "weights", ())}
    own = [weight for weight in layer.weights if id(weight) not in parts]
    layer_rules.refuse_kernels(layer, own)
    return own


def _layer_cost(layer, node, name: str, executed: int, is_first: bool) -> LayerCost:
    inputs, outputs = _shapes(node.keras_inputs), _shapes(tf.nest.flatten(node.outputs))
    for shape in (*inputs, *outputs):
        if None in shape[1:]:
            raise UserError(
                f"the cost of {layer.name!r} depends on the image size: build the network "
                "with a static input_shape."
            )
    inputs, outputs = (x[0] if len(x) == 1 else x for x in (inputs or outputs, outputs))
    found = list(layer_rules.products(layer, inputs, outputs))
    binary = 0 if is_first else sum(product.binary_parameters for product in found)
    counted = Cost(
        **_held(layer.weights),
        binary_parameters=binary,
        bops=executed * sum(product.macs for product in found if product.is_binary),
        flops=executed * sum(product.macs for product in found if not product.is_binary),
        elementwise=executed * layer_rules.elementwise(layer, inputs, outputs),
    )
    return LayerCost(name, type(layer).__name__, tuple(outputs[1:]), counted)


def _held(weights: list[tf.Variable]) -> dict[str, int]:
    """What the weights are made for, not whether they are frozen just now."""
    return {
        "parameters": sum(w.shape.num_elements() for w in weights if w.trainable),
        "other_variables": sum(w.shape.num_elements() for w in weights if not w.trainable),
    }


def _shapes(tensors) -> list[Any]:
    return [tuple(tensor.shape) for tensor in tensors]


def _merged_heads(model: tf.keras.Model) -> list:
    """Averaged linear layers but the first, and their mean: they become one linear layer."""
    heads: list = []
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.Average):
            averaged = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
            if all(isinstance(head, tf.keras.layers.Dense) for head in averaged):
                heads += [*averaged[1:], layer]
    return heads
