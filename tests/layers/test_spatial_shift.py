import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import run_layer_test
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.layers import SpatialShift


@pytest.mark.parametrize("shift", [2, "half"])
def test_gauntlet(rng, tmp_path, shift):
    run_layer_test(SpatialShift, {"shift": shift}, rng, tmp_path)


@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    quarter=st.integers(1, 3),
    shift=st.one_of(st.just("half"), st.integers(1, 8)),
)
def test_equals_its_equation(height, width, quarter, shift):
    images = np.random.default_rng(0).normal(size=(2, height, width, 4 * quarter))
    images = images.astype(np.float32)
    layer = SpatialShift(shift)
    if shift != "half" and shift >= min(height, width):
        with pytest.raises(ValueError, match=r"not smaller than the (height|width)"):
            layer(images)
    else:
        np.testing.assert_array_equal(layer(images), reference.shift(images, shift))


def test_half_of_the_paper_s_seven_is_three(rng):
    images = rng.normal(size=(1, 7, 7, 4)).astype(np.float32)
    np.testing.assert_array_equal(SpatialShift("half")(images), SpatialShift(3)(images))


def test_commutes_with_the_sign(rng):
    images = rng.normal(size=(2, 5, 6, 8)).astype(np.float32)
    layer = SpatialShift(2)
    np.testing.assert_array_equal(layer(tf.sign(images)), tf.sign(layer(images)))


@pytest.mark.parametrize("shift", [0, -1, 1.5, "long", True])
def test_other_shifts_are_refused(shift):
    with pytest.raises(ValueError, match=rf"shift={shift!r} is not supported: pass"):
        SpatialShift(shift)


def test_too_large_a_shift_of_a_dynamic_image_is_refused_at_run_time():
    layer = SpatialShift(3)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4))])
    def call(images):
        return layer(images)

    np.testing.assert_array_equal(call(tf.ones((1, 4, 4, 4))), np.ones((1, 4, 4, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="shift=3 is not smaller"):
        call(tf.ones((1, 3, 4, 4)))


def test_channels_that_do_not_divide_by_four_are_refused():
    with pytest.raises(ValueError, match=r"6 channels.*use 4 or 8 channels"):
        SpatialShift()(np.zeros((1, 4, 4, 6), np.float32))


def test_nchw_is_refused():
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        SpatialShift(data_format="channels_first")
