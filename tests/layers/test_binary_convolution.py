"""The convolution of a training step against the float one of an eager call.

Kernels have the scale 1/2 and what comes from above is of small integers, so that no sum is
rounded, in whichever order it is computed.
"""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from helpers import exact_kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from larq_bcd.activations import RPReLU
from larq_bcd.layers import QuantConv2D, RSign, _binary_convolution, _winograd

BINARY = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}


def step(layer, images, upstream=None):
    """Outputs, and the gradients of images and kernel."""
    rng = np.random.default_rng(1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=True)
        if upstream is None:
            upstream = rng.integers(-8, 9, outputs.shape)
    return outputs, *tape.gradient(
        outputs, [images, layer.kernel.latent_variable], tf.cast(upstream, outputs.dtype)
    )


def operations(function) -> set[str]:
    return {operation.type for operation in function.graph.get_operations()}


def assert_compiled_step_is_equal(layer, images):
    images = tf.constant(images)
    layer(images)
    layer.kernel.assign(exact_kernel(np.random.default_rng(2), layer.kernel.shape))
    compiled = tf.function(lambda images: step(layer, images))
    for own, eager in zip(compiled(images), step(layer, images), strict=True):
        np.testing.assert_array_equal(own, eager)
    assert "Conv2D" not in operations(compiled.get_concrete_function(images))


@settings(max_examples=6)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    stride=st.integers(1, 3),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 3), (5, 3), (2, 2)]),
    padding=st.sampled_from(["valid", "same", "symmetric"]),
    pad_values=st.sampled_from([0.0, 1.0, -1.0]),
)
def test_compiled_step_is_bit_equal(height, width, stride, kernel, padding, pad_values):
    height, width = max(height, kernel[0]), max(width, kernel[1])
    if padding == "symmetric" and kernel == (2, 2):
        padding = "valid"
    if padding == "symmetric" and stride > 1 and pad_values == 0.0:
        kernel = (1, 1) if kernel == (1, 1) else (3, 3)
        height, width = (stride * (length // stride) + 1 for length in (height, width))
    images = np.random.default_rng(0).normal(size=(2, height, width, 4)).astype(np.float32)
    layer = QuantConv2D(
        6, kernel, stride, padding, pad_values=pad_values, use_bias=False, **BINARY
    )
    assert_compiled_step_is_equal(layer, images)


@pytest.mark.parametrize("quantizer", ["ste_sign", "approx_sign", "magnitude_aware_sign"])
def test_compiled_step_of_larq_s_quantizers_is_bit_equal(rng, quantizer):
    images = rng.normal(size=(2, 5, 6, 8)).astype(np.float32)
    layer = QuantConv2D(4, 3, padding="same", input_quantizer="ste_sign", use_bias=False)
    layer = QuantConv2D.from_config({**layer.get_config(), "kernel_quantizer": quantizer})
    assert_compiled_step_is_equal(layer, images)


def test_many_channels_are_bit_equal_by_winograd_s_filtering(rng):
    images = rng.normal(size=(2, 6, 8, 128)).astype(np.float32)
    layer = QuantConv2D(130, 3, padding="symmetric", use_bias=False, **BINARY)
    assert_compiled_step_is_equal(layer, images)


def test_winograd_s_gradients_are_those_in_float64(rng):
    x = rng.choice([-1, 0, 1], (2, 6, 8, 16))
    kernel, upstream = rng.normal(size=(3, 3, 16, 12)), rng.normal(size=(2, 6, 8, 12))
    x64, kernel64 = tf.constant(x, tf.float64), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch([x64, kernel64])
        outputs = tf.nn.conv2d(x64, kernel64, 1, "SAME")
    of_x, of_kernel = tape.gradient(outputs, [x64, kernel64], upstream)
    kernel, upstream = (tf.constant(value, tf.float32) for value in (kernel, upstream))
    own = _winograd.input_gradient(kernel, upstream)
    np.testing.assert_allclose(own, of_x, atol=1e-5 * np.std(of_x))
    own = _winograd.kernel_gradient(tf.constant(x, tf.int8), upstream)
    np.testing.assert_allclose(own, of_kernel, atol=1e-5 * np.std(of_kernel))


def test_without_integers_the_bits_are_the_same(rng, monkeypatch):
    images = tf.constant(rng.normal(size=(2, 8, 8, 32)).astype(np.float32))
    layer = QuantConv2D(16, 3, 2, "symmetric", use_bias=False, **BINARY)
    layer(images)
    results, kinds = [], []
    for has_integers in (_binary_convolution._has_integer_product(), False):
        monkeypatch.setattr(
            _binary_convolution, "_has_integer_product", lambda has=has_integers: has
        )
        compiled = tf.function(lambda images: layer(images, training=True))
        results.append(compiled(images))
        kinds.append(operations(compiled.get_concrete_function(images)))
        assert ("_QuantizedMatMul" in kinds[-1]) == has_integers
    np.testing.assert_array_equal(*results)


def test_inference_and_steps_compiled_whole_keep_larq_s_convolution(rng):
    images = tf.constant(rng.normal(size=(2, 8, 8, 32)).astype(np.float32))
    layer = QuantConv2D(16, 3, padding="same", use_bias=False, **BINARY)
    layer(images)
    inference = tf.function(lambda images: layer(images))
    whole = tf.function(lambda images: layer(images, training=True), jit_compile=True)
    np.testing.assert_allclose(whole(images), inference(images), rtol=1e-5, atol=1e-5)
    for function in (inference, whole):
        assert "Conv2D" in operations(function.get_concrete_function(images))


class HalfSign(lq.quantizers.SteSign):
    """A user's own, of -1/2 and 1/2."""

    def call(self, inputs):
        return super().call(inputs) / 2


@pytest.mark.parametrize("quantizer", ["scaled_sign", HalfSign()])
def test_signs_that_are_scaled_keep_larq_s_convolution(rng, quantizer):
    images = tf.constant(rng.normal(size=(2, 6, 6, 8)).astype(np.float32))
    layer = QuantConv2D(4, 3, input_quantizer=quantizer, kernel_quantizer="scaled_sign")
    layer(images)
    step = tf.function(lambda images: layer(images, training=True))
    np.testing.assert_allclose(step(images), layer(images), rtol=1e-5, atol=1e-5)
    assert "Conv2D" in operations(step.get_concrete_function(images))


def test_an_image_of_open_size_keeps_larq_s_convolution(rng):
    layer = QuantConv2D(16, 3, padding="same", use_bias=False, **BINARY)
    layer.build((None, None, None, 4))
    shape = tf.TensorSpec((None, None, None, 4))
    step = tf.function(lambda images: layer(images, training=True), input_signature=[shape])
    assert "Conv2D" in operations(step.get_concrete_function())


def test_a_saved_model_has_nothing_that_other_machines_lack(rng, tmp_path):
    """Neither oneDNN's operations nor XLA's, in its functions for training either."""
    images = tf.constant(rng.normal(size=(2, 8, 8, 8)).astype(np.float32))
    layer = QuantConv2D(4, 3, padding="same", use_bias=False, **BINARY)
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 8)), RSign(), layer, RPReLU()])
    model.compile("sgd", "mse")
    model.train_on_batch(images, model(images))
    model.save(tmp_path / "model", save_format="tf")
    content = (tmp_path / "model" / "saved_model.pb").read_bytes()
    functions = SavedModel.FromString(content).meta_graphs[0].graph_def.library.function
    kinds = {node.op for function in functions for node in function.node_def}
    assert "Conv2D" in kinds
    assert "_QuantizedMatMul" not in kinds
    assert not any(function.attr["_XlaMustCompile"].b for function in functions)
