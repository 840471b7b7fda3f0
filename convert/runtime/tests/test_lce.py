"""The same file in LCE's own interpreter: the same bits, for one operator and for networks."""

from dataclasses import replace

import larq
import larq_compute_engine as lce
import numpy as np
import pytest
import tensorflow as tf
from equations import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Convolution, random_data
from files import convolution_file, same_bits
from flatfile import FlatFile
from hypothesis import assume, given
from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter
from strategies import convolutions

from larq_bcd_runtime import Interpreter


def lce_predict(file: bytes, inputs: np.ndarray, **options) -> np.ndarray:
    return np.concatenate([LceInterpreter(file, **options).predict(x[None]) for x in inputs])


def assert_like_lce(file: bytes, inputs: np.ndarray, kernels: str, **options) -> None:
    expected = lce_predict(file, inputs, **options)
    same_bits(Interpreter(file, kernels=kernels).predict(inputs), expected)


def lce_serves(c: Convolution) -> bool:
    """Whether LCE's default kernel computes this, and correctly."""
    if c.output is np.int32 and c.channels_out % 32:
        # Its interpreter has no packed outputs; its int32 buffers are compared whole.
        return False
    if c.padding != SAME or c.pad_values == 1:
        return True
    # Zero padding: float only, and it skips the correction where a window leaves the image on
    # two opposite sides.
    reach = [(w - 1) * d + 1 for w, d in zip(c.window, c.dilations)]
    fits = reach[0] < c.height and reach[1] < c.width
    return c.output is np.float32 and c.activation == NONE and fits


@given(convolutions(max_channels=100))
def test_any_convolution(kernels, c):
    assume(lce_serves(c))
    data = random_data(c)
    file = convolution_file(replace(c, batch=1), data, quantize=True)
    # LCE's default kernel refuses groups; its indirect kernel gives the same bits.
    assert_like_lce(
        file, data.inputs.astype(np.float32), kernels, use_indirect_bgemm=c.groups > 1
    )


@pytest.mark.parametrize("output", [np.float32, np.int8, np.int32])
@pytest.mark.parametrize("activation", [NONE, RELU, RELU_N1_TO_1, RELU6])
@pytest.mark.parametrize("padding", [SAME, VALID])
def test_every_transform(kernels, output, activation, padding):
    c = Convolution(activation=activation, output=output, padding=padding, channels_out=64)
    data = random_data(c)
    file = convolution_file(c, data, quantize=True)
    assert_like_lce(file, data.inputs.astype(np.float32), kernels)


def quantizer_file(shape, dtype, scale=None, zero_point=0) -> bytes:
    """Quantizes and dequantizes again."""
    file = FlatFile()
    entry = file.tensor(shape, dtype, scale=scale, zero_point=zero_point)
    packed = file.tensor((*shape[:-1], -(-shape[-1] // 32)), np.int32)
    result = file.tensor(shape, dtype, scale=scale, zero_point=zero_point)
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [result])
    return file.build([entry], [result])


@pytest.mark.parametrize("shape", [(1, 7), (1, 3, 5, 33), (1, 2, 2, 2, 64), (1, 4, 4, 96)])
def test_signs_of_floats(kernels, shape):
    values = np.random.default_rng(0).choice(
        np.array([-np.inf, -1, -0.0, 0, 1, np.inf, np.nan], np.float32), shape
    )
    # No denormal numbers: LCE's build for x86 takes them for zero.
    assert_like_lce(quantizer_file(shape, np.float32), values, kernels)


@pytest.mark.parametrize("channels", [7, 16, 32, 45, 96])
@pytest.mark.parametrize(
    ("scale", "zero_point"), [(0.01, 0), (0.3, -128), (0.02, 127), (2.1, 5)]
)
def test_signs_of_int8(kernels, channels, scale, zero_point):
    values = np.random.default_rng(0).integers(-128, 128, (3, 5, 5, channels), dtype=np.int8)
    file = quantizer_file((1, 5, 5, channels), np.int8, scale, zero_point)
    assert_like_lce(file, values, kernels)


@pytest.mark.parametrize("channels", [7, 64])
def test_signs_of_bools(kernels, channels):
    values = np.random.default_rng(0).choice([False, True], (3, 2, 2, channels))
    assert_like_lce(quantizer_file((1, 2, 2, channels), np.bool_), values, kernels)


@pytest.mark.parametrize("size", [(3, 4), (7, 7), (13, 40)])
@pytest.mark.parametrize("channels", [7, 32, 100])
def test_means(kernels, size, channels):
    from embedding import EmbeddingGraph

    graph = EmbeddingGraph(0, *size)
    entry = graph.floats(channels)
    words = graph.quantize(entry, channels)
    convolved = graph.convolve(words, channels, channels, pad_values=1)
    y = graph.mean(convolved)
    values = np.random.default_rng(0).normal(size=(2, *size, channels)).astype(np.float32)
    file = graph.file.build([entry], [y])
    assert Interpreter(file).describe()[0]["stages"][-1]["operators"][0][1] == "MEAN"
    if size[0] * size[1] <= 12:  # one sum, in LCE's order
        assert_like_lce(file, values, kernels)
        return
    # Of n numbers added up one by one the error is at most n roundings of what they come to.
    images = Interpreter(graph.file.build([entry], [convolved]), kernels=kernels).predict(
        values
    )
    rounding = np.finfo(np.float32).eps / 2 * np.abs(images).astype(np.float64).mean((1, 2))
    exact = images.astype(np.float64).mean((1, 2))
    pixels = size[0] * size[1]
    assert (abs(lce_predict(file, values) - exact) <= (pixels + 1) * rounding).all()
    ours = Interpreter(file, kernels=kernels).predict(values)
    assert (abs(ours - exact) <= (12 + pixels / 12 + 2) * rounding).all()


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("window", [(1, 1), (2, 2), (3, 2), (5, 5)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1)])
def test_max_pool(kernels, padding, window, strides):
    from equations import axis_layout

    size = [axis_layout(n, w, s, 1, padding)[0] for n, w, s in zip((7, 9), window, strides)]
    file = FlatFile()
    entry = file.tensor((1, 7, 9, 40))
    packed, pooled = file.tensor((1, 7, 9, 2), np.int32), file.tensor((1, *size, 2), np.int32)
    result = file.tensor((1, *size, 40))
    options = {"padding": padding, "filter_height": window[0], "filter_width": window[1],
               "stride_height": strides[0], "stride_width": strides[1]}  # fmt: skip
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceBMaxPool2d", [packed], [pooled], options)
    file.custom("LceDequantize", [pooled], [result])
    values = np.random.default_rng(0).normal(-0.7, 1, (2, 7, 9, 40)).astype(np.float32)
    assert_like_lce(file.build([entry], [result]), values, kernels)


# ---- Networks, through the converter ----

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def conv(filters, size=3, **arguments):
    return larq.layers.QuantConv2D(filters, size, **{"padding": "same", **BINARY, **arguments})


def chain(*layers):
    return lambda x: tf.keras.Sequential(layers)(x)


def batch_norm():
    """A batch norm as it is after training."""
    return tf.keras.layers.BatchNormalization(
        momentum=0.9,
        beta_initializer=tf.keras.initializers.RandomNormal(seed=1),
        gamma_initializer=tf.keras.initializers.RandomUniform(-1, 2, seed=2),
        moving_mean_initializer=tf.keras.initializers.RandomNormal(0, 5, seed=3),
        moving_variance_initializer=tf.keras.initializers.RandomUniform(10, 50, seed=4),
    )


# Binary operators, and single float ones between them, which no runtime rounds differently.
NETWORKS = {
    "packed activations": lambda: chain(
        conv(64, pad_values=1), batch_norm(), conv(40, pad_values=1), batch_norm()
    ),
    "zero padding": lambda: chain(conv(33), batch_norm(), conv(64, strides=2)),
    "valid, dilated": lambda: chain(conv(64, padding="valid", dilation_rate=2), conv(32, 1)),
    "max pool before the sign": lambda: chain(
        batch_norm(), tf.keras.layers.MaxPool2D(2), conv(32, pad_values=1)
    ),
    "fused relu": lambda: chain(conv(32, 5, pad_values=1, activation="relu"), batch_norm()),
    "scaled kernels": lambda: chain(
        conv(64, kernel_quantizer="magnitude_aware_sign", pad_values=1), batch_norm()
    ),
    "groups": lambda: chain(conv(64, pad_values=1, groups=2), batch_norm()),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_converted_network(kernels, network):
    tf.keras.utils.set_random_seed(0)
    entry = tf.keras.Input((12, 12, 64))
    model = tf.keras.Model(entry, NETWORKS[network]()(entry))
    file = lce.convert_keras_model(model)
    inputs = np.random.default_rng(1).normal(size=(3, 12, 12, 64)).astype(np.float32)
    assert_like_lce(file, inputs, kernels, use_indirect_bgemm=network == "groups")


def test_converted_int8_network(kernels):
    tf.keras.utils.set_random_seed(0)
    entry = tf.keras.Input((12, 12, 32))
    model = tf.keras.Model(entry, chain(conv(64, pad_values=1), batch_norm(), conv(32))(entry))
    file = lce.convert_keras_model(
        model, inference_input_type=tf.int8, inference_output_type=tf.int8,
        experimental_default_int8_range=(-3, 3),
    )  # fmt: skip
    inputs = np.random.default_rng(1).integers(-128, 128, (3, 12, 12, 32), dtype=np.int8)
    assert_like_lce(file, inputs, kernels)
