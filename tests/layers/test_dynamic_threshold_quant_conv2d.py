import larq as lq
import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import exact_kernel, randomize, run_layer_test
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.layers import DynamicThresholdQuantConv2D, LearnableBias, QuantConv2D


def _embedding(layer, images):
    """E, alpha and beta by the equations (BCDNet, equations 16 to 22)."""
    context = images.mean(axis=(1, 2)) @ layer.context_kernel + layer.context_bias
    alpha = context @ layer.alpha_kernel + layer.alpha_bias
    beta = context @ layer.beta_kernel + layer.beta_bias
    return context.numpy(), alpha.numpy(), beta.numpy()


def test_gauntlet(rng, tmp_path):
    arguments = {
        "filters": 8,
        "kernel_size": (3, 1),
        "strides": (2, 2),
        "padding": "symmetric",
        "pad_values": 0.0,
        "reduction": 2,
        "groups": 1,
        "dilation_rate": (1, 1),
        "activation": "relu",
        "use_bias": True,
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
        "bias_regularizer": "l2",
        "activity_regularizer": "l2",
        "kernel_constraint": "weight_clip",
        "bias_constraint": "non_neg",
        "threshold_initializer": "ones",
        "context_initializer": "he_normal",
        "embedding_initializer": "ones",
        "data_format": "channels_last",
    }
    run_layer_test(DynamicThresholdQuantConv2D, arguments, rng, tmp_path)


@given(
    size=st.integers(3, 8),
    kernel=st.sampled_from([1, 3, (1, 3)]),
    stride=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same", "symmetric"]),
    pad_values=st.sampled_from([0.0, 1.0]),
)
def test_equals_its_equations(size, kernel, stride, padding, pad_values):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, size, size, 8)).astype(np.float32)
    layer = DynamicThresholdQuantConv2D(
        6, kernel, stride, padding, pad_values=pad_values, use_bias=False
    )
    layer(images)
    randomize(layer, rng)
    layer.kernel.assign(exact_kernel(rng, layer.kernel.shape))
    _, alpha, beta = _embedding(layer, images)
    static = QuantConv2D(
        6,
        kernel,
        stride,
        padding,
        pad_values=pad_values,
        use_bias=False,
        input_quantizer="approx_sign",
        kernel_quantizer="scaled_sign",
    )
    shifted = images + layer.threshold.numpy() - alpha[:, None, None, :]
    static(shifted)
    static.kernel.assign(layer.kernel)
    expected = static(shifted).numpy() + beta[:, None, None, :]
    np.testing.assert_allclose(layer(images), expected, rtol=1e-5, atol=1e-5)


def test_new_embeddings_change_nothing(rng):
    images = rng.normal(size=(2, 5, 5, 8)).astype(np.float32)
    layer = DynamicThresholdQuantConv2D(4, 3, 2, "symmetric")
    layer(images)
    layer.threshold.assign(rng.normal(size=8))
    bias = LearnableBias()
    static = QuantConv2D(
        4, 3, 2, "symmetric", input_quantizer="approx_sign", kernel_quantizer="scaled_sign"
    )
    static(bias(images))
    bias.bias.assign(layer.threshold)
    static.set_weights([layer.kernel, layer.bias])
    np.testing.assert_array_equal(layer(images), static(bias(images)))


def test_one_layer_serves_the_pair_that_doubles_the_channels(rng):
    """Two convolutions of the same signs, with E and alpha shared, beta of 2c values."""
    images = rng.normal(size=(2, 5, 5, 8)).astype(np.float32)
    both = DynamicThresholdQuantConv2D(16, 1, use_bias=False)
    both(images)
    randomize(both, rng)
    halves = []
    for half in (slice(0, 8), slice(8, 16)):
        layer = DynamicThresholdQuantConv2D(8, 1, use_bias=False)
        layer(images)
        for name in (
            "threshold",
            "context_kernel",
            "context_bias",
            "alpha_kernel",
            "alpha_bias",
        ):
            getattr(layer, name).assign(getattr(both, name))
        for name in ("kernel", "beta_kernel", "beta_bias"):
            getattr(layer, name).assign(getattr(both, name)[..., half])
        halves.append(layer(images))
    np.testing.assert_allclose(both(images), tf.concat(halves, -1), rtol=1e-6, atol=1e-6)


def test_gradients_of_thresholds_and_embedding_equal_the_equations(rng):
    images = rng.normal(size=(3, 4, 4, 8)).astype(np.float32)
    layer = DynamicThresholdQuantConv2D(5, 1, use_bias=False)
    layer(images)
    randomize(layer, rng, scale=0.2)
    context, alpha, _ = _embedding(layer, images)
    upstream = rng.normal(size=(3, 4, 4, 5)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = layer(images)
    variables = {variable.name.split("/")[-1][:-2]: variable for variable in layer.weights}
    gradients = dict(
        zip(variables, tape.gradient(outputs, list(variables.values()), upstream), strict=True)
    )

    shifted = images + layer.threshold.numpy() - alpha[:, None, None, :]
    kernel = reference.scaled_sign(layer.kernel.numpy())[0, 0]
    to_shifted = (upstream @ kernel.T) * reference.approx_sign_gradient(shifted)
    to_alpha = -to_shifted.sum((1, 2))
    to_beta = upstream.sum((1, 2))
    to_context = to_alpha @ layer.alpha_kernel.numpy().T + to_beta @ layer.beta_kernel.numpy().T
    expected = {
        "threshold": to_shifted.sum((0, 1, 2)),
        "alpha_kernel": context.T @ to_alpha,
        "alpha_bias": to_alpha.sum(0),
        "beta_kernel": context.T @ to_beta,
        "beta_bias": to_beta.sum(0),
        "context_kernel": images.mean((1, 2)).T @ to_context,
        "context_bias": to_context.sum(0),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(gradients[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_embedding_has_a_quarter_of_the_channels():
    layer = DynamicThresholdQuantConv2D(24, 3)
    layer.build((None, 8, 8, 16))
    assert layer.context_kernel.shape == (16, 4)
    assert layer.alpha_kernel.shape == (4, 16)
    assert layer.beta_kernel.shape == (4, 24)


def test_activation_comes_after_the_offsets(rng):
    images = rng.normal(size=(2, 5, 5, 8)).astype(np.float32)
    linear = DynamicThresholdQuantConv2D(4, 3)
    rectified = DynamicThresholdQuantConv2D(4, 3, activation="relu")
    linear(images)
    randomize(linear, rng)
    rectified(images)
    rectified.set_weights(linear.get_weights())
    np.testing.assert_array_equal(rectified(images), tf.nn.relu(linear(images)))


def test_dilation_and_groups_are_larq_s(rng):
    images = rng.normal(size=(1, 9, 9, 8)).astype(np.float32)
    arguments = {"dilation_rate": 2, "padding": "same"}
    layer = DynamicThresholdQuantConv2D(6, 3, **arguments)
    layer(images)
    static = lq.layers.QuantConv2D(
        6, 3, input_quantizer="approx_sign", kernel_quantizer="scaled_sign", **arguments
    )
    static(images)
    static.set_weights([layer.kernel, layer.bias])
    np.testing.assert_array_equal(layer(images), static(images))
    assert DynamicThresholdQuantConv2D(6, 3, groups=2).groups == 2


@pytest.mark.parametrize("reduction", [0, -4, 2.0, "4"])
def test_other_reductions_are_refused(reduction):
    with pytest.raises(ValueError, match=rf"reduction={reduction!r} is not supported"):
        DynamicThresholdQuantConv2D(4, 3, reduction=reduction)


def test_channels_that_do_not_divide_by_the_reduction_are_refused():
    with pytest.raises(ValueError, match=r"6 channels.*reduction 4: use 4 or 8 channels"):
        DynamicThresholdQuantConv2D(4, 3)(np.zeros((1, 4, 4, 6), np.float32))


def test_nchw_is_refused():
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        DynamicThresholdQuantConv2D(4, 3, data_format="channels_first")


def test_offsets_before_a_batch_norm_have_a_gradient_of_rounding_alone(rng):
    """The batch norm takes any constant away, so that AdamW enlarges nothing but rounding."""
    tf.keras.mixed_precision.set_global_policy("float64")
    try:
        layer = DynamicThresholdQuantConv2D(
            6,
            3,
            use_bias=False,
            input_quantizer="approx_sign",
            kernel_quantizer="scaled_sign",
        )
        norm = tf.keras.layers.BatchNormalization()
        images = rng.normal(size=(4, 7, 7, 8))
        norm(layer(images))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    randomize(layer, rng)
    upstream = rng.normal(size=(4, 5, 5, 6))
    with tf.GradientTape() as tape:
        outputs = norm(layer(images), training=True)
    variables = layer.trainable_variables
    gradients = tape.gradient(outputs, variables, tf.constant(upstream))
    sizes = {
        variable.name.split("/")[-1]: np.abs(gradient).max()
        for variable, gradient in zip(variables, gradients, strict=True)
    }
    assert sizes.pop("beta_bias:0") < 1e-13
    assert min(sizes.values()) > 1e-4, sizes
