import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, corrupted, randomize, transferred
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.convert import convert
from larq_bcd.convert.check import check
from larq_bcd.convert.fake_quant import Grid
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.match import match_layers
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def quantized(x, least=-3.0, largest=3.0):
    return tf.quantization.fake_quant_with_min_max_vars(x, least, largest)


def kernel_quantized(kernel):
    return tf.quantization.fake_quant_with_min_max_vars(kernel, -1.0, 1.0, narrow_range=True)


def _toy(image):
    """A network as those by which Larq Compute Engine shows int8."""
    x = layers.Conv2D(32, 3, name="stem")(quantized(image))
    x = quantized(layers.BatchNormalization()(x))
    x = quantized(layers.BatchNormalization()(binary_conv(name="first")(x)))
    x = quantized(layers.BatchNormalization()(binary_conv(name="second")(x)), -4.0, 4.0)
    x = quantized(layers.GlobalAveragePooling2D()(x))
    return quantized(layers.Dense(5, name="head")(x))


def _quantized_in_part(image):
    """Binary convolutions that give float, and one that gives int8."""
    x = quantized(layers.Conv2D(32, 3, name="stem")(quantized(image)))
    x = layers.PReLU(shared_axes=[1, 2])(binary_conv(name="first")(x))
    x = quantized(x)
    y = quantized(layers.BatchNormalization()(binary_conv(name="second")(x)))
    x = layers.MaxPool2D()(quantized(x + y))
    return layers.Dense(4)(layers.Flatten()(binary_conv(name="third")(x)))


def _over_zeros_and_beyond_the_range(image):
    """int8 after a padding with zeros, and sums beyond the range, which ends a step later."""
    x = layers.Conv2D(32, 3, name="stem")(image)
    x = quantized(binary_conv(name="first", pad_values=0.0)(x), -4.0, 4.0)
    return layers.Flatten()(binary_conv(name="second")(x))


def _by_quantizers_of_larq(image):
    options = {"input_quantizer": quantized, "kernel_quantizer": kernel_quantized}
    x = lq.layers.QuantConv2D(32, 3, **options)(image)
    x = binary_conv(name="first")(layers.BatchNormalization()(x))
    return lq.layers.QuantDense(4, **options)(layers.GlobalAveragePooling2D()(x))


def _without_signs(image):
    x = layers.DepthwiseConv2D(3)(quantized(image))
    x = quantized(layers.ReLU(6.0)(layers.BatchNormalization()(x)), 0.0, 6.0)
    x = quantized(layers.Conv2DTranspose(8, 3)(x), -5.0, 5.0)
    x = layers.Flatten()(layers.AveragePooling2D()(x))
    return layers.Softmax()(quantized(layers.Dense(5)(x), -8.0, 8.0))


@pytest.mark.parametrize(
    "build",
    [
        _toy,
        _quantized_in_part,
        _over_zeros_and_beyond_the_range,
        _by_quantizers_of_larq,
        _without_signs,
    ],
)
def test_networks_of_fake_quantization_are_right(build):
    image = tf.keras.Input((8, 8, 3))
    result = convert(randomize(tf.keras.Model(image, build(image))))
    result.require_binary()
    result.require_equal()
    assert result.report.check.unseen == []
    assert all(layer.operator for layer in result.report.layers)


@pytest.fixture(scope="module")
def toy():
    image = tf.keras.Input((8, 8, 3))
    model = randomize(tf.keras.Model(image, _toy(image)))
    graph, file = InferenceGraph(model), Graph(convert_model(model)[0])
    return graph, file, match_layers(graph, file), noise(model, 3)


def _turned(values):
    values[:27] = -values[:27]


def _raised(values):
    values += np.abs(values).max() // 4


def _scaled(values):
    values[3] *= 1.1


def _flip_bits(values):
    values[7] ^= 0x0FF0


@pytest.mark.parametrize(
    ("kind", "position", "change"),
    [
        ("CONV_2D", 1, _turned),
        ("CONV_2D", 2, _raised),
        ("LceBconv2d", 1, _flip_bits),
        ("LceBconv2d", 2, _scaled),
        ("LceBconv2d", 3, lambda values: np.add(values, 8, out=values)),
        ("FULLY_CONNECTED", 1, _turned),
        ("FULLY_CONNECTED", 2, _raised),
    ],
)
def test_a_fault_in_int8_is_found(toy, kind, position, change):
    graph, file, matches, x = toy
    broken = corrupted(file, file.nodes_of(kind)[0], position, change)
    report = check(graph, broken, transferred(matches, broken), x, "noise")
    assert report.verdict == "fault"
    assert "that it rounds are wrong" in report.faults[0]


@given(
    st.floats(-9, 0), st.floats(0.01, 9), st.booleans(), st.booleans(), st.sampled_from([4, 8])
)
def test_a_grid_holds_what_fake_quantization_leaves(least, largest, narrow, symmetric, bits):
    least = -largest if symmetric else least
    values = np.linspace(-10, 10, 501, dtype=np.float32)
    expected = tf.quantization.fake_quant_with_min_max_vars(
        values, least, largest, bits, narrow
    )
    grid = Grid.between(least, largest, bits, narrow)
    # On a tie the last digit of a quotient decides.
    near = np.abs((values / grid.scale) % 1 - 0.5) < 1e-3
    np.testing.assert_allclose(grid.rounded(values)[~near], expected[~near], atol=1e-5)
