import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import convert, large_kernels
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def _network(**options):
    image = x = tf.keras.Input((8, 8, 32))
    x = binary_conv(name="large", **options)(x)
    x = layers.BatchNormalization()(x)
    x = binary_conv(size=1, name="small")(x)
    return randomize(tf.keras.Model(image, layers.Flatten()(x)))


@pytest.mark.parametrize("quantizer", ["ste_sign", "magnitude_aware_sign"])
def test_the_file_is_the_same_but_for_rounding(quantizer, monkeypatch):
    model = _network(kernel_quantizer=quantizer)
    plain = convert(model)
    monkeypatch.setattr(large_kernels, "_LARGEST", 32 * 32)
    assert len(large_kernels.quantized_before(model).kernels) == 1
    result = convert(model)
    result.require_binary()
    result.require_equal()
    assert any(note.startswith("large: quantized before") for note in result.report.notes)
    for before, after in zip(
        Graph(plain.content).nodes, Graph(result.content).nodes, strict=True
    ):
        assert (before.type, before.options) == (after.type, after.options)


def test_a_dense_layer_and_a_large_kernel_that_is_not_quantized(monkeypatch):
    image = x = tf.keras.Input((4, 4, 32))
    x = layers.Flatten()(layers.Conv2D(32, 3, name="real")(x))
    x = lq.layers.QuantDense(8, kernel_quantizer="ste_sign", name="signed")(x)
    model = randomize(tf.keras.Model(image, x))
    monkeypatch.setattr(large_kernels, "_LARGEST", 128)
    (kernel,) = large_kernels.quantized_before(model).kernels
    np.testing.assert_array_equal(kernel, np.sign(model.get_layer("signed").kernel))
    convert(model, allow_float_fallback=True).require_equal()


def test_a_model_without_large_kernels_is_left_alone(small):
    assert large_kernels.quantized_before(small) is None


@pytest.mark.slow
def test_a_kernel_of_the_size_that_the_converter_leaves_is_binary():
    image = tf.keras.Input((6, 6, 256))
    conv = binary_conv(4096, 6, padding="valid", kernel_quantizer="magnitude_aware_sign")
    result = convert(randomize(tf.keras.Model(image, conv(image))))
    result.require_binary()
    result.require_equal()
    assert len(result.content) < 6e6
