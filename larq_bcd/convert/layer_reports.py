"""What became of every layer, and what there is to know of it."""

import tensorflow as tf

from larq_bcd.convert.graph import InferenceGraph, source_of
from larq_bcd.convert.match import Match
from larq_bcd.convert.reasons import (
    DENSE,
    FIRST,
    PRODUCT_OF_ACTIVATIONS,
    is_dense,
    reason_for_float,
    trains_as_binary,
)
from larq_bcd.convert.report import LayerReport


def layer_reports(matches: list[Match], graph: InferenceGraph) -> list[LayerReport]:
    """One for each convolution, dense layer and product of signs of a model.

    Args:
        matches: the layers with their operators in the file, of `match_layers`.
        graph: the inference graph that they belong to.
    """
    return [
        *(_layer(match, graph) for match in matches),
        *(_sign_product(name, graph) for name in graph.sign_products),
        *(_hidden_layer(layer) for layer in graph.hidden_layers),
    ]


def _hidden_layer(layer: tf.keras.layers.Layer) -> LayerReport:
    return LayerReport(
        name=layer.name,
        type=type(layer).__name__,
        ships_as="float",
        operator=None,
        trains_as_binary=True,
        reason="it is called inside of a tf.function, so that it cannot be found in the "
        "flatbuffer: call it outside of it",
    )


def _sign_product(name: str, graph: InferenceGraph) -> LayerReport:
    return LayerReport(
        name=name,
        type=graph.layer_type(name),
        ships_as="float",
        operator="BATCH_MATMUL",
        trains_as_binary=True,
        reason=PRODUCT_OF_ACTIVATIONS,
    )


def _layer(match: Match, graph: InferenceGraph) -> LayerReport:
    layer = match.layer
    ships_as_binary = match.is_binary
    binary = trains_as_binary(layer, graph)
    reason = note = None
    if ships_as_binary:
        note = None if binary else "its real kernel is plus or minus one scale"
    elif binary and is_dense(layer, graph):
        note = DENSE
    elif binary:
        reason = reason_for_float(match, graph)
    elif layer.is_binary:
        note = FIRST
    elif source_of(layer.data).signs:
        note = "trains with a real kernel: only its input is quantized"
    elif match.node is None:
        note = "merged into another operator, or constant"
    return LayerReport(
        name=layer.name,
        type=type(layer.layer).__name__,
        ships_as="binary" if ships_as_binary else "float",
        operator=None if match.node is None else match.node.type,
        trains_as_binary=binary,
        reason=reason,
        note=note,
    )
