import numpy as np
import pytest
import tensorflow as tf
from conversion_models import corrupted, small_model

from larq_bcd.convert.match import has_one_scale, match_layers
from larq_bcd.layers import QuantShiftMLP


def _flip_a_bit(values):
    values[0] ^= 1


def _shift_one_weight(values):
    values[0] += 0.01 * np.abs(values).max()


def test_layers_are_found_by_their_weights_alone(converted):
    graph, flatbuffer = converted(small_model())
    for kind, change, name in [
        ("LceBconv2d", _flip_a_bit, "first"),
        ("CONV_2D", _shift_one_weight, "stem"),
    ]:
        changed = corrupted(flatbuffer, flatbuffer.nodes_of(kind)[0], 1, change)
        found = {m.layer.name: m.node for m in match_layers(graph, changed)}
        assert found.pop(name) is None
        assert None not in found.values()


def test_only_signed_kernels_have_one_scale(converted):
    graph, _ = converted(small_model())
    scales = {layer.name: has_one_scale(layer) for layer in graph.weighted_ops}
    names = {"stem": False, "first": True, "second": True, "fc": False, "fc_dist": False}
    assert scales == names


@pytest.mark.parametrize(
    ("kernel_quantizer", "model_name"),
    [
        ("scaled_sign", "a_name_of_which_the_converter_leaves_nothing_of_the_layer"),
        ("ste_sign", "cut_behind_the_name_of_a_branch"),
    ],
)
def test_new_layers_whose_kernels_have_the_same_signs_are_told_apart(
    converted, kernel_quantizer, model_name
):
    image = x = tf.keras.Input((4, 4, 32))
    x = QuantShiftMLP(
        32,
        kernel_quantizer=kernel_quantizer,
        kernel_initializer=tf.keras.initializers.RandomUniform(0.0, 0.001),
        name="mlp",
    )(x)
    graph, flatbuffer = converted(tf.keras.Model(image, x, name=model_name))
    operators = {
        match.layer.name.removeprefix("mlp/"): match.node
        for match in match_layers(graph, flatbuffer)
    }
    # How far a branch shifts the first channels shows in how many rows it takes from the end.
    rows = {}
    for name, operator in operators.items():
        value, rows[name] = operator.data, 0
        while producer := value.producer:
            value = producer.data
            if producer.type == "SLICE":
                rows[name] = producer.outputs[0].shape[1]
                break
    assert rows == {"pointwise": 0, "short_range": 1, "long_range": 2}
