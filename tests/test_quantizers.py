import larq as lq
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.quantizers import ApproxSign, ScaledSign


@given(
    shape=st.sampled_from([(3, 3, 4, 8), (1, 1, 16, 2), (5, 7), (2, 3, 5, 1)]),
    seed=st.integers(0, 2**16),
)
def test_values_are_signs_times_mean_magnitude_per_output(shape, seed):
    kernel = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    quantized = ScaledSign()(tf.constant(kernel)).numpy()
    np.testing.assert_allclose(quantized, reference.scaled_sign(kernel), rtol=1e-6)


def test_zero_is_positive():
    quantized = ScaledSign()(tf.constant([[0.0, -0.0], [-1.0, 1.0]])).numpy()
    np.testing.assert_array_equal(quantized, [[0.5, 0.5], [-0.5, 0.5]])


@pytest.mark.parametrize(("clip_value", "largest"), [(1.0, 1.0), (0.5, 0.5), (None, np.inf)])
def test_gradient_is_clipped_and_not_scaled(rng, clip_value, largest):
    kernel = tf.Variable(rng.normal(size=(3, 3, 4, 8)).astype(np.float32))
    kernel[0, 0, 0, :2].assign([1.0, -1.0])
    upstream = rng.normal(size=(3, 3, 4, 8)).astype(np.float32)
    with tf.GradientTape() as tape:
        quantized = ScaledSign(clip_value=clip_value)(kernel)
    gradient = tape.gradient(quantized, kernel, upstream).numpy()
    expected = np.where(np.abs(kernel.numpy()) <= largest, upstream, 0)
    np.testing.assert_array_equal(gradient, expected)


def test_magnitude_aware_sign_has_the_same_values_and_a_scaled_gradient(rng):
    kernel = tf.Variable(rng.uniform(-1, 1, size=(3, 3, 4, 8)).astype(np.float32))
    quantized, gradients = [], []
    for quantizer in (ScaledSign(), lq.quantizers.MagnitudeAwareSign()):
        with tf.GradientTape() as tape:
            quantized.append(quantizer(kernel))
        gradients.append(tape.gradient(quantized[-1], kernel).numpy())
    np.testing.assert_allclose(*quantized, rtol=1e-6)
    scale = np.abs(kernel.numpy()).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(gradients[0] * scale, gradients[1], rtol=1e-6)


def test_scale_in_bfloat16_is_that_of_float32():
    kernel = np.random.default_rng(0).uniform(0, 1e-3, size=(3, 3, 512, 2)).astype(np.float32)
    low = ScaledSign(dtype="bfloat16")(tf.cast(kernel, tf.bfloat16))
    expected = reference.scaled_sign(kernel)
    np.testing.assert_allclose(tf.cast(low, tf.float32).numpy(), expected, rtol=2**-8)


def test_alias_and_configuration_give_the_same_quantizer():
    quantizer = lq.quantizers.get("scaled_sign")
    assert isinstance(quantizer, ScaledSign)
    quantizer = ScaledSign(clip_value=0.25)
    again = lq.quantizers.get(lq.quantizers.serialize(quantizer))
    assert isinstance(again, ScaledSign)
    assert again.clip_value == 0.25


def test_flip_ratio_counts_flipped_signs():
    quantizer = ScaledSign(metrics=["flip_ratio"])
    kernel = np.full((2, 4), 0.5, np.float32)
    quantizer(tf.constant(kernel))
    kernel[0] *= -1
    quantizer(tf.constant(kernel))
    assert quantizer.flip_ratio.result().numpy() == pytest.approx(0.5)


@pytest.mark.parametrize("quantizer", [ApproxSign(), ScaledSign(), ScaledSign(clip_value=None)])
def test_compiled_training_is_bit_equal(quantizer, rng):
    values = tf.constant(rng.normal(size=(3, 3, 8, 16)).astype(np.float32))
    upstream = tf.constant(rng.normal(size=values.shape).astype(np.float32))

    def both(training):
        with tf.GradientTape() as tape:
            tape.watch(values)
            signs = quantizer(values, training=training)
        return signs, tape.gradient(signs, values, upstream)

    for compiled, eager in zip(tf.function(both)(True), both(False), strict=True):
        np.testing.assert_array_equal(compiled, eager)


def test_approx_sign_is_larq_s_bit_for_bit(rng):
    values = rng.normal(size=(64, 64)).astype(np.float32)
    values[0, :4] = [0.0, -0.0, 1.0, -1.0]
    values = tf.constant(values)
    upstream = tf.constant(rng.normal(size=values.shape).astype(np.float32))
    found = []
    for quantizer in (ApproxSign(), lq.quantizers.ApproxSign()):
        with tf.GradientTape() as tape:
            tape.watch(values)
            signs = quantizer(values)
        found.append((signs, tape.gradient(signs, values, upstream)))
    for ours, larq_s in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, larq_s)
