import dataclasses
import functools

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from hypothesis import given, settings
from hypothesis import strategies as st
from larq_compute_engine.tflite.python.interpreter import Interpreter

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.convert.builtin import PASSES_OF_WORDS, with_builtin_operators
from larq_bcd.convert.errors import CheckError
from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import PASSES, optimize
from larq_bcd.convert.profile import profile
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.layers import QuantConv2D, QuantShiftMLP
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.signs import pack_signs

layers = tf.keras.layers
SCALED = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}


def _chain(x):
    x = binary_conv(48, 3)(x)
    x = layers.BatchNormalization()(x)
    return binary_conv(40, 3, padding="valid")(x)  # packed signs between the two


def _pooled(x):
    x = layers.MaxPool2D(2)(layers.BatchNormalization()(x))
    return binary_conv(33, 1)(x)


def _signs_for_others(x):
    """Signs that a float operator takes too, as in the products of an attention."""
    signs = lq.quantizers.SteSign()(x)
    halves = tf.split(signs, 2, axis=-1)
    product = binary_conv(32, 1, input_quantizer=None)(signs)
    return product + halves[0] * tf.reverse(halves[1], [1])


def _of_five_dimensions(x):
    x = layers.Reshape((3, 3, 9, 64))(x)
    quantized = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    return lq.layers.QuantConv3D(8, 2, kernel_constraint="weight_clip", **quantized)(x)


NETWORKS = {
    "same, +1": lambda x: binary_conv(40, 3, strides=2)(x),
    "same, 0": lambda x: binary_conv(40, 3, pad_values=0.0)(x),
    "dilated": lambda x: binary_conv(8, 3, dilation_rate=2)(x),
    "symmetric": lambda x: QuantConv2D(16, 3, 2, "symmetric", pad_values=0.0, **SCALED)(x),
    "batch norm": lambda x: layers.BatchNormalization()(binary_conv(40, 3)(x)),
    "relu": lambda x: layers.BatchNormalization()(layers.ReLU()(binary_conv(40, 3)(x))),
    "packed between": _chain,
    "max-pool": _pooled,
    "signs split": _signs_for_others,
    "five dimensions": _of_five_dimensions,
    "shifted MLP": lambda x: layers.BatchNormalization()(QuantShiftMLP(64)(x)) + x,
}


def same_bits(actual, expected):
    np.testing.assert_array_equal(actual.view(np.int32), expected.view(np.int32))


def stock_interpreter(content):
    """TensorFlow Lite's reference kernels."""
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()

    def predict(x):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return predict


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_of_builtin_operators_gives_the_same_bits(name):
    image = tf.keras.Input((9, 9, 64))
    model = randomize(tf.keras.Model(image, NETWORKS[name](image)))
    names = [one for one in PASSES if one not in PASSES_OF_WORDS]
    graph = Graph(convert_model(model)[0])
    optimize(graph, names)
    packed = graph.write()
    assert any(node.type.startswith("Lce") for node in graph.nodes)
    with_builtin_operators(graph)
    assert not any(node.type.startswith("Lce") for node in graph.nodes)
    builtin = graph.write()
    stock = stock_interpreter(builtin)
    engine, replaced = Interpreter(packed), Interpreter(builtin)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.normal(size=(1, 9, 9, 64)).astype("f")
        x[..., rng.integers(64, size=8)] = 0  # whose sign is +1
        expected = engine.predict(x)
        same_bits(replaced.predict(x), expected)
        same_bits(stock(x), expected)


@pytest.fixture(scope="module")
def template():
    """A sign and a binary convolution with a gain and a bias."""
    image = tf.keras.Input((9, 9, 64))
    output = layers.BatchNormalization()(binary_conv(40, 3)(image))
    return convert_model(randomize(tf.keras.Model(image, output)))[0]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Of a convolution; `(rows, columns)` each."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    channels: tuple[int, int]  # in and out
    padding: str  # "valid", "one" or "zero"

    @property
    def windows(self):
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]

    @property
    def output(self):
        valid = self.padding == "valid"
        sizes = zip(self.image, self.windows, self.strides, strict=True)
        return tuple(-(-(n - w + 1 if valid else n) // s) for n, w, s in sizes)

    def file(self, template, rng):
        """The template with this geometry and random constants."""
        graph = Graph(template)
        (node,) = graph.nodes_of("LceBconv2d")
        inwards, outwards = self.channels
        graph.inputs[0].shape = (1, *self.image, inwards)
        node.data.shape = (1, *self.image, -(-inwards // 32))
        node.output.shape = (1, *self.output, outwards)
        filters = rng.normal(size=(outwards, *self.kernel, inwards))
        constants = [pack_signs(filters), *rng.normal(size=(2, outwards)).astype("f")]
        for position, values in enumerate(constants, start=1):
            node.set_input(position, Value.of(values, "constant"))
        node.options |= {
            "channels_in": inwards,
            "padding": int(self.padding == "valid"),
            "pad_values": int(self.padding == "one"),
        }
        for name, stride, dilation in zip(
            ("height", "width"), self.strides, self.dilations, strict=True
        ):
            node.options |= {f"stride_{name}": stride, f"dilation_{name}_factor": dilation}
        return graph.write()


pairs = functools.partial(st.tuples, *2 * [st.integers(1, 3)])
geometries = st.builds(
    Geometry,
    image=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=pairs(),
    dilations=pairs(),
    channels=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    padding=st.sampled_from(["valid", "one", "zero", "zero"]),
    # The engine's kernels err where a window is larger than the image; the check refuses it.
).filter(lambda g: all(w <= n for w, n in zip(g.windows, g.image, strict=True)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(geometry=geometries, seed=st.integers(0, 99))
def test_any_convolution_and_border_gives_the_same_bits(template, geometry, seed):
    rng = np.random.default_rng(seed)
    packed = geometry.file(template, rng)
    graph = Graph(packed)
    with_builtin_operators(graph)
    builtin = graph.write()
    x = rng.normal(size=(1, *geometry.image, geometry.channels[0])).astype("f")
    expected = Interpreter(packed).predict(x)
    assert expected.shape[1:3] == geometry.output
    same_bits(Interpreter(builtin).predict(x), expected)
    same_bits(stock_interpreter(builtin)(x), expected)


def test_packed_words_that_are_moved_are_an_error():
    image = tf.keras.Input((9, 9, 128))
    model = randomize(tf.keras.Model(image, QuantShiftMLP(32)(image)))
    moved = Graph(convert_model(model)[0])
    optimize(moved)
    with pytest.raises(ConversionError, match="movement"):
        with_builtin_operators(moved)


def test_the_report_compares_both_files(small):
    description = Description(Preprocessing((12, 12), resize=None))
    options = FileOptions(
        ops="builtin", input_type="uint8", head="int8", description=description
    )
    result = convert(small, options=options)
    result.require_equal()
    found = result.report.replacement
    page = html_report(result.report, profile(result.content))
    assert f"built-in operators, by {found.timed_on[1]}" in page
    assert f"{found.milliseconds[1]:.2f} ms" in page
    assert found.max_difference == 0
    assert found.same_arg_max == 8
    assert 0 < found.bytes[0] < found.bytes[1] < len(result.content)
    assert not any(node.type.startswith("Lce") for node in Graph(result.content).nodes)


def test_a_file_that_does_not_give_the_same_bits_is_refused(small):
    result = convert(small, options=FileOptions(ops="builtin"))
    result.report.replacement.max_difference = 1e-7
    with pytest.raises(CheckError, match="the same bits"):
        result.require_equal()
