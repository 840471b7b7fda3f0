"""Zeros around images that are smaller than the window, with which the engine errs."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.convert import convert
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import correct_zeros
from larq_bcd.tflite.engines import LCE, LCE_INDIRECT, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.signs import pack_signs
from larq_bcd.tflite.windows import axes

layers = tf.keras.layers
CHANNELS, FILTERS = 40, 4


@pytest.fixture(scope="module")
def plain():
    """A file of one convolution, of which tests change the sizes."""
    image = tf.keras.Input((6, 6, CHANNELS))
    sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "magnitude_aware_sign"}
    conv = lq.layers.QuantConv2D(FILTERS, 3, padding="same", pad_values=0.0, **sign)
    return convert_model(randomize(tf.keras.Model(image, conv(image))))[0]


def _resized(plain, size, window, stride, dilation, rng):
    """The file for another image and another kernel, and what it is to compute of an image."""
    file = Graph(plain)
    (conv,) = file.nodes_of("LceBconv2d")
    kernel = rng.choice([-1.0, 1.0], (FILTERS, *window, CHANNELS))
    conv.set_input(1, Value.of(pack_signs(kernel), "filters"))
    conv.options = {
        **conv.options,
        "stride_height": stride,
        "stride_width": stride,
        "dilation_height_factor": dilation,
        "dilation_width_factor": dilation,
    }
    file.inputs[0].shape = (1, *size, CHANNELS)
    conv.data.shape = (1, *size, 2)
    conv.output.shape = (1, *(-(-n // stride) for n in size), FILTERS)
    multiplier, bias = conv.constant(2), conv.constant(3)

    def expected(image):
        signs = np.where(image < 0, -1.0, 1.0)
        weights = np.moveaxis(kernel, 0, -1)
        sums = tf.nn.conv2d(signs, weights, stride, "SAME", dilations=dilation).numpy()
        return sums * multiplier + bias

    return file, conv, expected


@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    window=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    step=st.sampled_from([(1, 1), (2, 1), (1, 2)]),
    engine=st.sampled_from([LCE, LCE_INDIRECT]),
)
def test_what_is_padded_with_zeros_is_right_for_every_size(plain, size, window, step, engine):
    rng = np.random.default_rng(0)
    file, conv, expected = _resized(plain, size, window, *step, rng)
    image = rng.normal(size=(1, *size, CHANNELS)).astype(np.float32)
    before = open_engine(file.write(), 1, [engine]).predict(image)[0]
    is_small = any(axis.window > axis.size for axis in axes(conv))
    np.testing.assert_equal(len(correct_zeros(file).changed), int(is_small))
    after = open_engine(file.write(), 1, [engine]).predict(image)[0]
    np.testing.assert_allclose(after, expected(image), rtol=1e-5, atol=1e-4)
    if not is_small:
        np.testing.assert_array_equal(after, before)


def test_the_engine_itself_errs_there(plain):
    rng = np.random.default_rng(0)
    file, _, expected = _resized(plain, (2, 2), (3, 3), 1, 1, rng)
    image = rng.normal(size=(1, 2, 2, CHANNELS)).astype(np.float32)
    (found,) = open_engine(file.write(), 1, [LCE]).predict(image)
    assert np.abs(found - expected(image)).max() > 0.1


def test_a_network_of_small_images_converts_and_says_so():
    image = tf.keras.Input((4, 4, 3))
    x = layers.MaxPool2D()(layers.Conv2D(64, 1)(image))
    x = binary_conv(64, pad_values=0.0, name="two_by_two")(x)
    x = binary_conv(64, 2, pad_values=0.0, name="fits")(layers.BatchNormalization()(x))
    x = binary_conv(64, pad_values=0.0, groups=2, strides=2, name="groups")(x)
    model = randomize(tf.keras.Model(image, layers.Flatten()(x)))
    result = convert(model)
    result.require_binary()
    result.require_equal()
    (change,) = result.report.changes
    assert change.startswith("the windows of two_by_two, groups are larger")
