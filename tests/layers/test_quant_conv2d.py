import logging

import larq as lq
import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import exact_kernel, run_layer_test
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantConv2D

BINARY = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}


@pytest.mark.parametrize("pad_values", [0.0, 1.0, -1.0])
def test_gauntlet(rng, tmp_path, pad_values):
    arguments = {
        "filters": 8,
        "kernel_size": (3, 3),
        "strides": (2, 2),
        "padding": "symmetric",
        "pad_values": pad_values,
        "use_bias": True,
        **BINARY,
    }
    # One row more than columns, so that one of the two is lengthened.
    run_layer_test(QuantConv2D, arguments, rng, tmp_path, shape=(6, 5, 8))


@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    stride=st.integers(1, 3),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 3), (3, 1), (5, 3)]),
    pad_values=st.sampled_from([0.0, 1.0, -1.0]),
)
def test_symmetric_padding_is_that_of_the_signs(height, width, stride, kernel, pad_values):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, height, width, 4)).astype(np.float32)
    layer = QuantConv2D(
        6, kernel, stride, "symmetric", pad_values=pad_values, use_bias=False, **BINARY
    )
    margins = [(size - 1) // 2 for size in kernel]
    impossible = pad_values == 0.0 and any(
        (1 - size) % stride and (size - 1) // stride * stride + margin >= size
        for size, margin in zip((height, width), margins, strict=True)
    )
    if impossible and stride > 1:
        with pytest.raises(ValueError, match=r"use pad_values=1.0, a smaller kernel"):
            layer(images)
        return
    layer(images)
    layer.kernel.assign(exact_kernel(rng, layer.kernel.shape))
    expected = reference.conv2d(
        reference.sign(images),
        reference.scaled_sign(layer.kernel.numpy()),
        stride,
        margins,
        pad_values,
    )
    np.testing.assert_array_equal(layer(images).numpy(), expected)


@given(size=st.integers(7, 12), kernel=st.sampled_from([3, 5, 7]))
def test_symmetric_padding_of_a_real_convolution(size, kernel):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, size, size, 3)).astype(np.float32)
    layer = QuantConv2D(4, kernel, 2, "symmetric", use_bias=False)
    outputs = layer(images)
    margin = (kernel - 1) // 2
    expected = reference.conv2d(images, layer.kernel.numpy(), 2, (margin, margin))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2])
def test_other_paddings_are_larq_s(rng, padding, stride):
    images = rng.normal(size=(2, 6, 7, 8)).astype(np.float32)
    ours = QuantConv2D(4, 3, stride, padding, pad_values=1.0, **BINARY)
    theirs = lq.layers.QuantConv2D(4, 3, stride, padding, pad_values=1.0, **BINARY)
    ours(images)
    theirs(images)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(images), theirs(images))


def test_a_quantizer_without_signs_is_padded_after_it(rng):
    images = rng.normal(size=(1, 5, 6, 4)).astype(np.float32)
    layer = QuantConv2D(
        2, 3, 2, "symmetric", pad_values=1.0, input_quantizer="dorefa_quantizer"
    )
    layer(images)
    quantized = lq.quantizers.DoReFa()(images).numpy()
    expected = reference.conv2d(quantized, layer.kernel.numpy(), 2, (1, 1), pad_value=1.0)
    np.testing.assert_allclose(layer(images), expected, rtol=1e-4, atol=1e-5)


def test_a_failed_call_leaves_the_layer_as_it_was(rng):
    layer = QuantConv2D(2, 3, 2, "symmetric", pad_values=1.0, **BINARY)
    images = rng.normal(size=(1, 6, 6, 4)).astype(np.float32)
    expected = layer(images).numpy()
    with pytest.raises(ValueError, match="incompatible"):
        layer(np.zeros((1, 6, 6, 3), np.float32))
    np.testing.assert_array_equal(layer(images), expected)


@pytest.mark.parametrize("pad_values", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_a_call_sets_no_attribute_of_the_layer(rng, monkeypatch, padding, pad_values):
    """Not even for its duration: two threads may call one layer."""
    images = tf.constant(rng.normal(size=(1, 6, 6, 4)).astype(np.float32))
    layer = QuantConv2D(2, 3, 2, padding, pad_values=pad_values, **BINARY)
    layer(images)
    meanwhile = []
    for name in ("convolution", "bias_add"):
        plain = getattr(tf.nn, name)

        def recording(*args, plain=plain, **kwargs):
            meanwhile.append(dict(vars(layer)))
            return plain(*args, **kwargs)

        monkeypatch.setattr(tf.nn, name, recording)
    before = dict(vars(layer))
    layer.call(images)
    tf.function(lambda: layer.call(images, training=True))()
    assert len(meanwhile) >= 3
    assert all(attributes == before for attributes in meanwhile)


def test_a_build_that_keras_refuses_leaves_the_padding_as_it_was(rng):
    layer = QuantConv2D(4, 3, padding="same", pad_values=1.0, groups=2)
    with pytest.raises(ValueError, match="number of groups"):
        layer.build((None, 6, 6, 3))
    assert layer.get_config()["padding"] == "same"


@pytest.mark.parametrize("padding", ["valid", "same", "symmetric"])
@pytest.mark.parametrize("layer_class", [QuantConv2D, DynamicThresholdQuantConv2D])
def test_the_configuration_is_that_of_saved_files(layer_class, padding):
    """Files of every version have these keys, and each is an argument."""
    larq = lq.layers.QuantConv2D(2, 3)
    own = {"reduction", "threshold_initializer", "context_initializer", "embedding_initializer"}
    own = own if layer_class is DynamicThresholdQuantConv2D else set()
    config = layer_class(2, 3, padding=padding).get_config()
    assert set(config) == set(larq.get_config()) | own
    assert config["padding"] == padding
    assert layer_class.from_config(config).get_config() == config


def test_an_even_kernel_cannot_be_symmetric():
    with pytest.raises(ValueError, match=r"kernel_size=\(3, 4\) cannot be padded equally"):
        QuantConv2D(2, (3, 4), padding="symmetric")


def test_nchw_is_refused():
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        QuantConv2D(2, 3, data_format="channels_first")


def test_larq_s_advice_to_clip_weights_is_silent_here_and_only_here(caplog):
    with caplog.at_level(logging.WARNING):
        QuantConv2D(2, 3, **BINARY)
        assert not caplog.records
        lq.layers.QuantConv2D(2, 3, **BINARY)
        assert "kernel_constraint" in caplog.text


def test_gradient_of_the_kernel_is_that_of_the_convolution_clipped(rng):
    images = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    layer = QuantConv2D(2, 1, use_bias=False, **BINARY)
    layer(images)
    layer.kernel.assign(rng.normal(size=(1, 1, 3, 2)))
    upstream = rng.normal(size=(1, 4, 4, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = layer(images)
    gradient = tape.gradient(outputs, layer.kernel, upstream)
    to_quantized = np.einsum("nhwi,nhwo->io", reference.sign(images), upstream)
    expected = to_quantized * (np.abs(layer.kernel.numpy()) <= 1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)
