import math

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.errors import UserError
from larq_bcd.layers import QuantConv2D
from larq_bcd.models.packed import latent_kernel, pack, round_kernels, unpack
from larq_bcd.quantizers import ScaledSign

SCALED = [ScaledSign(), lq.quantizers.MagnitudeAwareSign()]
SIZES = st.tuples(
    st.sampled_from([1, 2, 3, 5, 7]), st.integers(1, 1024), st.sampled_from([1, 3, 16])
)


def kernel_of(size, channels, filters, rng):
    """A kernel whose filters are of very different magnitudes."""
    values = rng.normal(size=(size, size, channels, filters))
    return (values * 10 ** rng.uniform(-4, 1, filters)).astype(np.float32)


def means_of(kernel):
    return tf.reduce_mean(tf.abs(kernel), axis=[0, 1, 2]).numpy()


@given(SIZES, st.integers(0, 2**32 - 1))
def test_signs_and_a_mean_are_the_same_to_a_quantizer_of_scaled_signs(sizes, seed):
    kernel = kernel_of(*sizes, np.random.default_rng(seed))
    latent = latent_kernel(kernel < 0, means_of(kernel))
    for quantizer in SCALED:
        np.testing.assert_array_equal(quantizer(latent), quantizer(kernel))


@given(SIZES, st.integers(0, 2**32 - 1))
def test_the_mean_is_exact_in_whatever_order_it_is_taken(sizes, seed):
    rng = np.random.default_rng(seed)
    kernel = kernel_of(*sizes, rng)
    scale = means_of(kernel)
    magnitudes = np.abs(latent_kernel(kernel < 0, scale)).reshape(-1, sizes[-1])
    magnitudes = rng.permuted(magnitudes, axis=0)
    count = np.float32(len(magnitudes))
    one_by_one = np.cumsum(magnitudes, axis=0, dtype=np.float32)[-1]
    np.testing.assert_array_equal(one_by_one / count, scale)
    exact = [math.fsum(column) for column in magnitudes.T.astype(np.float64)]
    np.testing.assert_array_equal(one_by_one, exact)
    # And they are next to equal: as latent weights, they are of the one scale.
    np.testing.assert_allclose(magnitudes, np.tile(scale, (len(magnitudes), 1)), rtol=1e-2)


def test_equal_magnitudes_would_not_do():
    """What `latent_kernel` is for: the mean of equal numbers is another number."""
    kernel = kernel_of(3, 64, 16, np.random.default_rng(0))
    equal = np.where(kernel < 0, -1, 1).astype(np.float32) * means_of(kernel)
    assert np.any(means_of(equal) != means_of(kernel))


def network(kernel_quantizer="scaled_sign", filters=4, **arguments):
    image = tf.keras.Input((5, 5, 3))
    x = QuantConv2D(filters, 3, kernel_quantizer=kernel_quantizer, name="conv", **arguments)(
        image
    )
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(2, name="fc")(x), name="net")


@pytest.mark.parametrize(
    "quantizer", ["wide_sign", "ste_sign", "approx_sign", "swish_sign", "magnitude_aware_sign"]
)
def test_kernels_of_other_sign_quantizers_take_one_bit(quantizer, rng):
    model = network(quantizer)
    randomize(model, rng)
    arrays = pack(model)
    assert arrays["conv/kernel.signs"].shape == (-(-3 * 3 * 3 * 4 // 8),)
    assert arrays["conv/kernel.scale"].shape == (4,)
    other = network(quantizer)
    unpack(arrays, other)
    image = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(other(image), model(image))
    # Packed again, it is the same.
    for key, value in pack(other).items():
        np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize("quantizer", ["dorefa_quantizer", None])
def test_a_kernel_that_is_not_binary_is_stored_as_it_is(quantizer, rng):
    model = network(quantizer)
    randomize(model, rng)
    arrays = pack(model)
    np.testing.assert_array_equal(arrays["conv/kernel"], model.get_layer("conv").kernel)


@tf.keras.utils.register_keras_serializable("tests")
def sign_times_largest(kernel):
    return tf.reduce_max(tf.abs(kernel)) * lq.math.sign(kernel)


@pytest.mark.parametrize(
    ("quantizer", "name"), [(sign_times_largest, "sign_times_largest"), ("ste_tern", "SteTern")]
)
def test_a_quantizer_of_more_than_signs_and_means_is_refused(quantizer, name, rng):
    model = network(quantizer)
    randomize(model, rng)
    with pytest.raises(UserError, match=f"{name} makes more of the kernel conv/kernel than"):
        pack(model)


def test_variables_without_names_of_their_own_are_refused(tmp_path):
    network().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="kernel:0 of conv is not named by its l"):
        pack(tf.keras.models.load_model(tmp_path / "model.keras"))


def test_nothing_is_rounded_without_being_asked(rng):
    model = network()
    randomize(model, rng)
    assert pack(model)["fc/kernel"].dtype == np.float32
    before = model.get_layer("conv").kernel.numpy()
    round_kernels(model)
    arrays = pack(model)
    assert arrays["fc/kernel"].dtype == np.float16
    assert arrays["conv/bias"].dtype == np.float32
    np.testing.assert_array_equal(model.get_layer("conv").kernel, before)
    other = network()
    unpack(arrays, other)
    np.testing.assert_array_equal(other.get_layer("fc").kernel, model.get_layer("fc").kernel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("conv/bias"), "conv/bias is missing"),
        (lambda arrays: arrays.pop("conv/kernel.scale"), "conv/kernel is missing"),
        (lambda arrays: arrays.update(more=arrays["fc/bias"]), "the network has no more"),
        (lambda arrays: arrays.update({"fc/bias": np.zeros(3)}), r"fc/bias is of shape \(3,\)"),
        (
            lambda arrays: arrays.update({"conv/kernel.signs": np.zeros(3, np.uint8)}),
            r"conv/kernel is of another shape than \(3, 3, 3, 4\)",
        ),
    ],
)
def test_arrays_of_another_network_change_nothing(change, message):
    model = network()
    arrays = pack(model)
    change(arrays)
    other = network()
    before = other.get_weights()
    with pytest.raises(ValueError, match=message):
        unpack(arrays, other)
    for one, value in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, value)
