import larq as lq
import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import exact_kernel, run_layer_test
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.layers import QuantShiftMLP
from larq_bcd.quantizers import ScaledSign


def _kernels(layer):
    return [b.kernel.numpy() for b in (layer.pointwise, layer.short_range, layer.long_range)]


def _assign_exact_kernels(layer, rng):
    for branch in (layer.pointwise, layer.short_range, layer.long_range):
        branch.kernel.assign(exact_kernel(rng, branch.kernel.shape))


def test_gauntlet(rng, tmp_path):
    arguments = {
        "filters": 8,
        "short_range": 2,
        "long_range": 1,
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_initializer": "he_normal",
        "kernel_regularizer": "l2",
        "kernel_constraint": "weight_clip",
    }
    run_layer_test(QuantShiftMLP, arguments, rng, tmp_path)


@given(
    height=st.integers(3, 7),
    width=st.integers(3, 7),
    quarter=st.integers(1, 3),
    filters=st.integers(1, 9),
    ranges=st.sampled_from([(1, "half"), ("half", "half"), (1, 1), (2, 1)]),
)
def test_equals_its_equation_bit_for_bit(height, width, quarter, filters, ranges):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, height, width, 4 * quarter)).astype(np.float32)
    layer = QuantShiftMLP(filters, *ranges)
    layer(images)
    _assign_exact_kernels(layer, rng)
    expected = reference.shift_mlp(images, _kernels(layer), ranges)
    np.testing.assert_array_equal(layer(images).numpy(), expected)


def test_each_branch_equals_its_equation(rng):
    images = rng.normal(size=(2, 7, 7, 16)).astype(np.float32)
    layer = QuantShiftMLP(8)
    layer(images)
    signs = reference.sign(images)
    branches = (
        (layer.pointwise, images, signs),
        (layer.short_range, layer.short_shift(images), reference.shift(signs, 1)),
        (layer.long_range, layer.long_shift(images), reference.shift(signs, 3)),
    )
    for branch, branch_input, expected_signs in branches:
        kernel = reference.scaled_sign(branch.kernel.numpy())
        expected = reference.conv2d(expected_signs, kernel)
        np.testing.assert_allclose(branch(branch_input), expected, rtol=1e-5, atol=1e-6)


def test_branches_start_with_different_kernels():
    initializer = tf.keras.initializers.GlorotUniform()
    layer = QuantShiftMLP(8, kernel_initializer=initializer)
    layer.build((None, 4, 4, 8))
    pointwise, short_range, long_range = _kernels(layer)
    assert (pointwise != short_range).any()
    assert (short_range != long_range).any()


def test_gradient_of_the_input_sums_the_branches_shifted_back(rng):
    images = tf.constant(rng.normal(size=(1, 5, 5, 8)).astype(np.float32))
    layer = QuantShiftMLP(8, 1, 2)
    layer(images)
    _assign_exact_kernels(layer, rng)
    upstream = rng.normal(size=(1, 5, 5, 8)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
    gradient = tape.gradient(outputs, images, upstream)
    to_signs = np.zeros((1, 5, 5, 8))
    for kernel, distance in zip(_kernels(layer), (0, 1, 2), strict=True):
        to_shifted = upstream @ reference.scaled_sign(kernel)[0, 0].T
        to_signs += reference.shift(to_shifted, -distance)
    expected = to_signs * reference.approx_sign_gradient(images.numpy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_kernel_quantizer_objects_are_not_shared():
    layer = QuantShiftMLP(8, kernel_quantizer=lq.quantizers.SteSign(clip_value=0.5))
    quantizers = [
        branch.kernel_quantizer
        for branch in (layer.pointwise, layer.short_range, layer.long_range)
    ]
    assert len({id(quantizer) for quantizer in quantizers}) == 3
    assert [quantizer.clip_value for quantizer in quantizers] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("given_by", ["scope", "quantizer"])
def test_the_branches_have_metrics_of_their_own(given_by):
    if given_by == "scope":
        with lq.context.metrics_scope(["flip_ratio"]):
            layer = QuantShiftMLP(8)
    else:
        layer = QuantShiftMLP(8, kernel_quantizer=ScaledSign(metrics=["flip_ratio"]))
    layer(np.zeros((1, 4, 4, 8), np.float32))
    names = [metric.name for metric in layer.metrics]
    own = layer.pointwise.kernel_quantizer.name
    assert names == [f"flip_ratio/{own}{part}" for part in ("", "_short_range", "_long_range")]


def test_a_range_not_smaller_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"short_shift: shift=4 is not smaller.*height"):
        QuantShiftMLP(8, short_range=4)(np.zeros((1, 4, 6, 8), np.float32))


def test_channels_that_do_not_divide_by_four_are_refused():
    with pytest.raises(ValueError, match=r"10 channels.*use 8 or 12 channels"):
        QuantShiftMLP(8)(np.zeros((1, 4, 4, 10), np.float32))


def test_nchw_is_refused():
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        QuantShiftMLP(8, data_format="channels_first")
