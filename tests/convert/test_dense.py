import larq as lq
import pytest
import tensorflow as tf
from conversion_models import randomize

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


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


def test_gains_of_every_sign_and_none_are_the_scales_of_a_convolution():
    image = tf.keras.Input((4, 4, 3))
    norm = layers.BatchNormalization()
    x = norm(_dense(30, "dense")(layers.Flatten()(layers.Conv2D(32, 1)(image))))
    model = randomize(tf.keras.Model(image, x))
    norm.gamma.assign([1.0, -0.7, 0.0] * 10)
    result = convert(model, options=FileOptions(dense_as_convolution=True))
    result.require_equal()
    assert [layer.ships_as for layer in result.report.layers] == ["float", "binary"]


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
