import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import ConversionError, FileOptions, convert, pipeline
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import binarize_convolutions, fold_kernels
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, DEQUANTIZE, QUANTIZE
from larq_bcd.tflite.signs import unpack_signs

layers = tf.keras.layers


def _leave_unfolded(content, *, change=lambda weights: weights):
    """The file in which the last kernel is computed, as the converter leaves large ones."""
    graph = Graph(content)
    node = graph.nodes_of(BINARY_CONVOLUTION)[-1]
    o = node.options
    signs = unpack_signs(node.constant(1), o["channels_in"])
    latent = Value.of(change(signs * np.float32(0.7)), "latent")
    packed = Value.new(node.inputs[1].shape, np.int32, "packed")
    unpacked = Value.new(latent.shape, np.float32, "unpacked")
    kernel = Value.new(latent.shape, np.float32, "kernel")
    scale = Value.of(node.constant(2)[:, None, None, None], "scale")
    graph.add_lce_node(QUANTIZE, [latent], [packed])
    graph.add_lce_node(DEQUANTIZE, [packed], [unpacked])
    graph.add_node("MUL", [unpacked, scale], [kernel])
    image = Value.new((*node.data.shape[:-1], o["channels_in"]), np.float32, "image")
    graph.add_lce_node(DEQUANTIZE, [node.data], [image])
    geometry = {
        "padding": o["padding"],
        "strideH": o["stride_height"],
        "strideW": o["stride_width"],
        "dilationHFactor": o["dilation_height_factor"],
        "dilationWFactor": o["dilation_width_factor"],
    }
    graph.add_node("CONV_2D", [image, kernel, node.inputs[3]], node.outputs, **geometry)
    graph.remove(node)
    graph.tidy()
    return graph.write()


def _model(**options):
    image = tf.keras.Input((7, 7, 3))
    x = layers.Conv2D(40, 1)(image)
    kernel = {"kernel_quantizer": "magnitude_aware_sign", "pad_values": 0.0}
    x = binary_conv(8, name="last", **{**kernel, **options})(x)
    return randomize(tf.keras.Model(image, layers.BatchNormalization()(x)))


@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "valid"}, {"strides": 2}, {"dilation_rate": 2}, {"use_bias": True}],
    ids=str,
)
def test_a_kernel_that_the_converter_leaves_to_be_computed_is_folded(options):
    content, _ = convert_model(_model(**options))
    graph = Graph(_leave_unfolded(content))
    assert not graph.nodes_of(BINARY_CONVOLUTION)
    assert fold_kernels(graph).changed == ["kernel"]
    assert len(binarize_convolutions(graph).changed) == 1
    [expected] = Graph(content).nodes_of(BINARY_CONVOLUTION)
    [found] = graph.nodes_of(BINARY_CONVOLUTION)
    assert found.options == expected.options
    for position in (1, 3):
        np.testing.assert_array_equal(found.constant(position), expected.constant(position))
    np.testing.assert_allclose(np.abs(found.constant(2)), np.abs(expected.constant(2)))


def test_a_folded_kernel_is_reported_and_checked(monkeypatch):
    monkeypatch.setattr(
        pipeline, "convert_model", lambda model: (_leave_unfolded(convert_model(model)[0]), [])
    )
    result = convert(_model())
    result.require_binary()
    result.require_equal()
    assert "folded, into the binary convolutions last" in result.report.changes[0]


def test_a_folded_kernel_of_several_scales_stays_float():
    def other(weights):
        weights[0, 0, 0, 0] = 0.0
        return weights

    graph = Graph(_leave_unfolded(convert_model(_model())[0]))
    fold_kernels(graph)
    node = graph.nodes_of("CONV_2D")[-1]
    node.set_input(1, Value.of(other(node.constant(1).copy()), "changed"))
    assert not binarize_convolutions(graph).changed


def _dense(units, name, **options):
    sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    return lq.layers.QuantDense(units, name=name, **{**sign, **options})


def _dense_model():
    image = tf.keras.Input((4, 4, 3))
    x = layers.Conv2D(32, 1, name="stem")(image)
    flat = _dense(48, "flat")(layers.Flatten()(x))
    signs = lq.quantizers.SteSign()(x)
    outputs = [
        layers.BatchNormalization()(_dense(8, "second", use_bias=False)(flat)),
        _dense(8, "pixels", kernel_quantizer="magnitude_aware_sign", activation="relu")(x),
        _dense(8, "moved", input_quantizer=None)(layers.Flatten()(signs)),
        _dense(8, "cut", input_quantizer=None)(layers.Flatten()(signs[..., :20])),
    ]
    return randomize(tf.keras.Model(image, outputs))


def test_dense_layers_ship_as_binary_convolutions_where_that_is_asked_for():
    model = _dense_model()
    result = convert(model, options=FileOptions(dense_as_convolution=True))
    result.require_equal()
    ships_as = {layer.name: layer.ships_as for layer in result.report.layers}
    names = ("flat", "second", "pixels", "moved", "cut")
    assert ships_as == {"stem": "float", **dict.fromkeys(names, "binary")}
    [change] = result.report.changes
    assert all(name in change for name in names)
    assert not Graph(result.content).nodes_of("FULLY_CONNECTED")


def test_dense_layers_that_are_not_of_signs_stay_as_they_are():
    image = tf.keras.Input((16,))
    x = _dense(8, "real_kernel", kernel_quantizer=None)(layers.Dense(16)(image))
    model = randomize(tf.keras.Model(image, _dense(4, "real_input", input_quantizer=None)(x)))
    result = convert(
        model, allow_float_fallback=True, options=FileOptions(dense_as_convolution=True)
    )
    result.require_equal()
    assert {layer.ships_as for layer in result.report.layers} == {"float"}
    assert not result.report.changes


def test_dense_layers_cannot_be_binary_in_a_file_of_built_in_operators():
    options = FileOptions(dense_as_convolution=True, ops="builtin")
    with pytest.raises(ConversionError, match="nothing is binary"):
        convert(_dense_model(), options=options)
