import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.convert.head import quantize_head
from larq_bcd.convert.lce import convert_model
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.quantization import per_channel_int8

layers = tf.keras.layers


@given(st.integers(1, 8), st.integers(1, 40), st.floats(1e-30, 1e30), st.integers(0, 2**32 - 1))
def test_int8_weights_are_within_half_a_scale(outputs, inputs, size, seed):
    weights = np.random.default_rng(seed).normal(size=(outputs, inputs)) * size
    weights = weights.astype(np.float32)
    values, scales = per_channel_int8(weights)
    error = np.abs(values.astype(np.float64) * scales[:, None] - weights)
    assert values.min() >= -127
    assert np.all(error <= 0.5001 * scales[:, None].astype(np.float64))


def test_int8_weights_of_an_output_without_weights_are_zero():
    values, scales = per_channel_int8(np.zeros((2, 3), np.float32))
    assert not values.any()
    assert np.all(np.isfinite(scales))


@pytest.fixture(scope="module")
def plain():
    image = tf.keras.Input((6, 6, 32))
    x = layers.Flatten()(binary_conv()(image))
    x = layers.Dense(64, name="hidden", activation="relu")(x)
    model = randomize(tf.keras.Model(image, layers.Dense(300, name="logits")(x)))
    return convert_model(model)[0]


def _rounded(plain, kind):
    graph = Graph(plain)
    return graph, quantize_head(graph, kind).changed


def _dense(graph):
    return graph.nodes_of("FULLY_CONNECTED")


@pytest.mark.parametrize(("kind", "bytes_for_each"), [("float16", 2), ("int8", 1)])
def test_the_head_computes_with_the_rounded_weights(plain, kind, bytes_for_each):
    rounded, names = _rounded(plain, kind)
    content = rounded.write()
    assert len(names) == 1
    assert len(plain) - len(content) > 64 * 300 * (4 - bytes_for_each) - 6000
    graph = Graph(plain)
    *_, head = _dense(graph)
    weights, bias = (value.constant for value in head.inputs[1:])
    if kind == "int8":
        values, scales = per_channel_int8(weights)
        expected = values * scales[:, None]
    else:
        expected = weights.astype(np.float16).astype(np.float32)
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 32)).astype("f")
    showing = graph.part(graph.nodes, graph.inputs, [head.data])
    (features,) = open_engine(showing, 1, REFERENCE).predict(x)
    (outputs,) = open_engine(content, 1, REFERENCE).predict(x)
    np.testing.assert_allclose(outputs, features @ expected.T + bias, rtol=1e-5, atol=1e-5)


def test_do_not_round_a_dense_layer_that_another_comes_after(plain):
    rounded, _ = _rounded(plain, "int8")
    hidden, head = _dense(rounded)
    assert hidden.constant(1) is not None
    assert head.inputs[1].producer.type == "DEQUANTIZE"


def test_a_float32_head_is_left_as_it_is(plain):
    graph, names = _rounded(plain, "float32")
    assert names == []
    assert graph.write() == Graph(plain).write()


def test_a_model_without_a_head_or_an_unknown_type_is_an_error(plain):
    image = tf.keras.Input((6, 6, 32))
    convolution, _ = convert_model(randomize(tf.keras.Model(image, binary_conv()(image))))
    with pytest.raises(ConversionError, match="no dense layer"):
        _rounded(convolution, "int8")
    with pytest.raises(ConversionError, match="int4"):
        _rounded(plain, "int4")


def test_what_a_rounded_head_changes_is_reported(small):
    result = convert(small, options=FileOptions(head="int8"))
    result.require_equal()
    assert 0 < result.report.rounding.max_difference < 0.1
    assert result.report.rounding.inputs == 8
    assert result.report.layers[-1].operator == "FULLY_CONNECTED"
