"""The stem of int8 against its definition in NumPy, and what is said where there is none."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.convert import ConversionError, FileOptions, convert, pipeline
from larq_bcd.convert.calibration import ranges
from larq_bcd.convert.input_type import set_input_type
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.stem import quantize_stem, stems
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.tflite.engines import REFERENCE, TFLITE, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.metadata import read_metadata
from larq_bcd.tflite.operators import SAME, VALID
from larq_bcd.tflite.quantization import quantization_of_range

layers = tf.keras.layers
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ACTIVATIONS = {0: (-np.inf, np.inf), 1: (0, np.inf), 3: (0, 6)}  # none, RELU, RELU6


@pytest.fixture(scope="module")
def binary():
    """A file of a sign and a binary convolution."""
    image = tf.keras.Input((4, 4, 3), name="image")
    content, _ = convert_model(randomize(tf.keras.Model(image, binary_conv(4)(image))))
    return lambda: Graph(content)


@dataclass(frozen=True)
class Case:
    """A convolution, and the image before it."""

    kind: str = "CONV_2D"
    encoding: str = "float32"
    size: tuple[int, int] = (9, 8)
    channels: int = 3
    outputs: int = 5  # of each channel, of a depthwise convolution
    window: tuple[int, int] = (3, 3)
    stride: int = 1
    dilation: int = 1
    padding: int = SAME
    margins: tuple[int, int, int, int] | None = None  # of a PAD
    activation: int = 0
    seed: int = 0

    @property
    def preprocessing(self):
        mean, std = MEAN[: self.channels], STD[: self.channels]
        return Preprocessing(self.size, mean, std, None, encoding=self.encoding)


@st.composite
def cases(draw):
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.integers(1, 3))
    side = st.integers(5, 14)
    return Case(
        draw(st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D"])),
        draw(st.sampled_from(["float32", "uint8", "int8"])),
        (draw(side), draw(side)),
        draw(st.sampled_from([1, 3])),
        draw(st.integers(1, 9)),
        window,
        stride,
        draw(st.integers(1, 2)) if stride == 1 and max(window) <= 3 else 1,
        draw(st.sampled_from([SAME, VALID])),
        draw(st.none() | st.tuples(*[st.integers(0, 3)] * 4)),
        draw(st.sampled_from([0, 1, 3])),
        draw(st.integers(0, 2**32 - 1)),
    )


class Convolution:
    """A file that begins with a convolution, and the same by its definition."""

    def __init__(self, graph, case):
        self.case, rng = case, np.random.default_rng(case.seed)
        self.preprocessing = case.preprocessing
        shape = (case.outputs, *case.window, case.channels)
        if case.kind == "DEPTHWISE_CONV_2D":
            shape = (1, *case.window, case.channels * case.outputs)
        self.weights = rng.normal(0, 0.3, shape).astype(np.float32)
        outputs = shape[0] if case.kind == "CONV_2D" else shape[3]
        self.bias = rng.normal(0, 1, outputs).astype(np.float32)
        self.pixels = rng.integers(0, 256, (3, *case.size, case.channels)).astype(np.uint8)
        self.given = self.preprocessing.encoded(self.pixels)
        self.file = self._file(graph)

    def _file(self, graph):
        case = self.case
        (image,) = graph.inputs
        image.shape = (1, *case.size, case.channels)
        data, (top, bottom, left, right) = image, case.margins or (0, 0, 0, 0)
        if case.margins is not None:
            around = np.array([(0, 0), (top, bottom), (left, right), (0, 0)], np.int32)
            height, width = np.add(case.size, (top + bottom, left + right))
            data = Value.new((1, height, width, case.channels), np.float32, "padded")
            graph.add_node("PAD", [image, Value.of(around, "margins")], [data])
        self.height, self.width = (
            -(-(side - (self.reach(axis) if case.padding == VALID else 0)) // case.stride)
            for axis, side in enumerate(data.shape[1:3])
        )
        result = Value.new((1, self.height, self.width, len(self.bias)), np.float32, "result")
        options = {"depthMultiplier": case.outputs} if case.kind != "CONV_2D" else {}
        graph.add_node(
            case.kind,
            [data, Value.of(self.weights, "weights"), Value.of(self.bias, "bias")],
            [result],
            padding=case.padding,
            strideH=case.stride,
            strideW=case.stride,
            dilationHFactor=case.dilation,
            dilationWFactor=case.dilation,
            fusedActivationFunction=case.activation,
            **options,
        )
        (sign,) = graph.nodes_of("LceQuantize")
        sign.set_input(0, result)  # in words alone: what comes after the result never runs
        graph.outputs.insert(0, result)
        graph.tidy()
        set_input_type(graph, self.preprocessing)
        return graph

    def reach(self, axis):
        return (self.case.window[axis] - 1) * self.case.dilation

    def sums(self, image, weights, border):
        """What a convolution sums: of (samples, *size, channels), with a border of its own."""
        case = self.case
        top, bottom, left, right = case.margins or (0, 0, 0, 0)
        sides = [[top, bottom], [left, right]]
        for axis in range(2 if case.padding == SAME else 0):
            size = case.size[axis] + sum(sides[axis])
            outputs = (self.height, self.width)[axis]
            total = max(0, (outputs - 1) * case.stride + self.reach(axis) + 1 - size)
            sides[axis][0] += total // 2
            sides[axis][1] += total - total // 2
        (top, bottom), (left, right) = sides
        samples, height, width, channels = image.shape
        shape = (samples, height + top + bottom, width + left + right, channels)
        padded = np.broadcast_to(border, shape).copy()
        padded[:, top : top + height, left : left + width] = image
        total = np.zeros((samples, self.height, self.width, len(self.bias)))
        for y, x in np.ndindex(*case.window):
            rows = y * case.dilation + case.stride * np.arange(self.height)
            columns = x * case.dilation + case.stride * np.arange(self.width)
            seen = padded[:, rows][:, :, columns]
            if case.kind == "CONV_2D":
                total += seen @ weights[:, y, x].T
            else:
                total += np.repeat(seen, case.outputs, axis=-1) * weights[0, y, x]
        return total

    def quantized(self, limits):
        """What the convolution is of integers, by the definition of int8 in TensorFlow Lite.

        Not rounded yet, and by what its sums are multiplied in the end.
        """
        case, axis = self.case, 0 if self.case.kind == "CONV_2D" else 3
        weights, bias = self.weights.astype(np.float64), self.bias.astype(np.float64)
        if case.encoding == "float32":
            packed = quantization_of_range(*self.image_limits())
            (scale,), (zero,) = np.asarray(packed.scale, np.float64), packed.zeroPoint
            image = np.clip(np.rint(self.given / np.float32(scale)) + zero, -128, 127)
            border = np.full(case.channels, zero)
        else:
            scale, zero = 1 / 255, -128
            repeats = case.outputs if axis == 3 else 1
            mean, std = (np.repeat(x[: case.channels], repeats) for x in (MEAN, STD))
            other = tuple(n for n in range(4) if n != axis)
            bias = bias - (weights * mean / std).sum(axis=other)
            weights = weights / std
            image = self.pixels.astype(float) - 128
            border = np.rint(255 * np.array(MEAN[: case.channels])) - 128
        kept = (-1, 1, 1, 1) if axis == 0 else (1, 1, 1, -1)
        other = tuple(n for n in range(4) if n != axis)
        scales = (np.abs(weights).max(axis=other) / 127).astype(np.float32).astype(float)
        integers = np.rint(weights / scales.reshape(kept))
        sums = self.sums(image - zero, integers, border - zero)
        sums += np.rint(bias / (scale * scales))
        packed = quantization_of_range(*limits)
        (step,), (zero,) = np.asarray(packed.scale, np.float64), packed.zeroPoint
        low, high = (np.rint(x / step) for x in ACTIVATIONS[case.activation])
        multipliers = scale * scales / step
        exact = np.clip(sums * multipliers, low, high) + zero
        return np.clip(exact, -128, 127), multipliers

    def image_limits(self):
        shown = self.given if self.case.margins is None else np.append(self.given, 0)
        return float(shown.min()), float(shown.max())


@given(cases())
def test_a_stem_of_int8_computes_what_int8_is_defined_by(binary, case):
    convolution = Convolution(binary(), case)
    file, (result, _) = convolution.file, convolution.file.outputs
    limits = ranges(file, [result], [convolution.given])[result]
    assert quantize_stem(file, [convolution.given]).changed == ["result"]
    assert result.producer.type == "DEQUANTIZE"
    integers = result.producer.data
    nodes = file.nodes[: file.nodes.index(integers.producer) + 1]
    assert integers.producer.type == case.kind
    assert {value.dtype.name for value in (*nodes[-1].inputs, integers)} == {"int8", "int32"}
    shown = file.part(nodes, file.inputs, [integers])
    exact, multipliers = convolution.quantized(limits)
    engines = [REFERENCE, (TFLITE,)]
    if case.stride > min(case.window):
        del engines[1:]  # XNNPACK in TensorFlow 2.21 gives the bias alone, if padding is SAME
    for engine in engines:
        (found,) = open_engine(shown, 1, engine).predict(convolution.given)
        # The kernels of fixed point round twice, to 2^-n before they round to steps, where
        # the multiplier is at least half of 2^-n.
        assert np.all(np.abs(found - exact) <= 0.5 + multipliers)


def network(*stem, size=(12, 12), name="image"):
    """Layers, and what is binary after them."""
    image = x = tf.keras.Input((*size, 3), name=name)
    for layer in stem:
        x = layer(x)
    x = binary_conv(8)(layers.BatchNormalization()(x))
    x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    return randomize(tf.keras.Model(image, x))


def pixels(count):
    return np.random.default_rng(5).integers(0, 256, (count, 12, 12, 3)).astype(np.uint8)


def images(count, preprocessing=None):
    return (preprocessing or IMAGES).normalized(pixels(count))


IMAGES = Preprocessing((12, 12), MEAN, STD, None)
STEM_AND_HEAD = FileOptions(stem="int8", head="int8")


@pytest.mark.parametrize("encoding", ["float32", "uint8", "int8"])
def test_the_file_is_checked_in_float32_and_what_int8_changes_is_reported(small, encoding):
    options = replace(STEM_AND_HEAD, input_type=encoding, description=Description(IMAGES))
    result = convert(small, options=options, calibration=images(20))
    result.require_equal()
    rounding = result.report.rounding
    assert rounding.change == "int8 stem and int8 head, on the inputs of the calibration"
    assert rounding.inputs == 20
    assert rounding.max_difference > 0
    assert read_metadata(result.content).origin["stem"] == "int8"
    file = Graph(result.content)
    assert [str(image.dtype) for image in file.inputs] == [encoding]
    (convolution,) = file.nodes_of("CONV_2D")
    assert convolution.output.dtype == np.int8
    kinds = [node.type for node in file.nodes[: file.nodes.index(convolution)]]
    assert kinds == (["QUANTIZE"] if encoding != "int8" else [])


@pytest.mark.parametrize("encoding", ["float32", "uint8", "int8"])
def test_what_is_reported_is_the_difference_of_both_files(small, encoding):
    options = FileOptions(input_type=encoding, description=Description(IMAGES))
    quantized = replace(options, stem="int8", head="int8")
    result = convert(small, options=quantized, calibration=images(20))
    rounding = result.report.rounding
    given = {"float32": images(20), "uint8": pixels(20), "int8": pixels(20).astype(int) - 128}
    after, before = (
        open_engine(content, prefer=rounding.timed_on[:1]).predict(
            given[encoding].astype(encoding)
        )[0]
        for content in (result.content, convert(small, options=options).content)
    )
    rounded = partial(pytest.approx, abs=1e-5)  # of outputs of about 1 in float32
    assert rounding.max_difference == rounded(np.abs(after - before).max())
    assert rounding.output_range == rounded(np.abs(before).max())


def test_images_of_bytes_get_a_border_of_the_mean_and_nothing_else():
    options = FileOptions(stem="int8", input_type="uint8", description=Description(IMAGES))
    model = network(layers.ZeroPadding2D(2), layers.Conv2D(8, 3))
    file = Graph(convert(model, options=options, calibration=images(2)).content)
    *before, convolution = file.nodes[: 1 + file.nodes.index(*file.nodes_of("CONV_2D"))]
    assert [node.type for node in before] == ["QUANTIZE", "CONCATENATION", "CONCATENATION"]
    assert convolution.options.padding == VALID
    border = before[1].operands[0].constant
    np.testing.assert_array_equal(border[0, 0, 0], np.rint(255 * np.array(MEAN)) - 128)


def test_a_mean_that_is_no_byte_leaves_the_normalization_to_the_file():
    white = Preprocessing((12, 12), (-0.5,) * 3, (0.5,) * 3, None)
    options = FileOptions(stem="int8", input_type="uint8", description=Description(white))
    model = network(layers.Conv2D(8, 3, padding="same"))
    result = convert(model, options=options, calibration=images(4, white))
    kinds = [node.type for node in Graph(result.content).nodes]
    assert kinds[:5] == ["DEQUANTIZE", "MUL", "ADD", "QUANTIZE", "CONV_2D"]
    assert result.report.rounding.max_difference < 0.1 * result.report.rounding.output_range


def test_convolutions_that_follow_each_other_stay_in_int8():
    stem = (
        layers.Conv2D(8, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.ZeroPadding2D(2),
        layers.Conv2D(16, 3),
    )
    result = convert(network(*stem), options=STEM_AND_HEAD, calibration=images(9))
    kinds = [node.type for node in Graph(result.content).nodes]
    first = kinds.index("QUANTIZE"), kinds.index("DEQUANTIZE")
    assert kinds[slice(*first)] == [
        "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "CONCATENATION", "CONV_2D",
    ]  # fmt: skip
    assert result.report.rounding.max_difference < 0.1 * result.report.rounding.output_range


@pytest.mark.parametrize("pads", [True, False])
def test_a_max_pooling_of_int8_is_that_of_what_int8_stands_for(pads):
    def lowest(x):
        return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=x.dtype.min)

    stem = [layers.Conv2D(8, 3), *[layers.Lambda(lowest)] * pads, layers.MaxPool2D(3, 2)]
    content, _ = convert_model(network(*stem))
    file, given = Graph(content), images(6)
    (real,) = (node.output for node in file.nodes_of("MAX_POOL_2D"))
    name = file.nodes_of("CONV_2D")[0].output.name
    quantize_stem(file, [given])
    (pooling,) = file.nodes_of("MAX_POOL_2D")
    assert pooling.output.dtype == np.int8
    assert real.producer.type == "DEQUANTIZE"
    before = file.nodes_of("CONV_2D")[0].output
    assert before.name == f"{name}/int8"
    nodes = file.nodes[: 1 + file.nodes.index(pooling)]
    part = file.part(nodes, file.inputs, [before, pooling.output])
    integers, pooled = open_engine(part, 1, REFERENCE).predict(given)
    padded = np.pad(integers, [(0, 0), *[(int(pads),) * 2] * 2, (0, 0)], constant_values=-128)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    np.testing.assert_array_equal(pooled, windows.max((-2, -1))[:, ::2, ::2])


def test_weights_that_are_zero_or_next_to_it_keep_their_bias(binary):
    convolution = Convolution(binary(), Case(outputs=4, encoding="uint8"))
    convolution.weights[1:3] = np.zeros((3, 3, 3)), 1e-20 * convolution.weights[1]
    convolution.bias[:] = 1, 2, -3, 1e-20
    (node,) = convolution.file.nodes_of("CONV_2D")
    node.set_input(1, Value.of(convolution.weights, "weights"))
    node.set_input(2, Value.of(convolution.bias, "bias"))
    result = node.output
    quantize_stem(convolution.file, [convolution.given])
    file = convolution.file
    nodes = file.nodes[: 1 + file.nodes.index(result.producer)]
    shown = file.part(nodes, file.inputs, [result])
    step = result.producer.data.quantization.scale[0]
    for engine in (REFERENCE, (TFLITE,)):
        (found,) = open_engine(shown, 1, engine).predict(convolution.given)
        np.testing.assert_allclose(found[..., 1], 2, atol=step / 2 + 1e-6)
        np.testing.assert_allclose(found[..., 2], -3, atol=step / 2 + 1e-6)


def test_built_in_operators_give_the_same_bits_after_a_stem_of_int8():
    model = network(layers.Conv2D(8, 3))
    options = replace(STEM_AND_HEAD, ops="builtin")
    result = convert(model, options=options, calibration=images(4))
    result.require_equal()
    assert result.report.replacement.max_difference == 0


def test_two_images_have_a_stem_each():
    first, second = (network(layers.Conv2D(8, 3), name=name) for name in ("a", "b"))
    outputs = layers.Concatenate()([first.output, second.output])
    model = tf.keras.Model([*first.inputs, *second.inputs], outputs)
    given = {"a": images(3), "b": images(3)}
    result = convert(model, options=STEM_AND_HEAD, calibration=given)
    found = [node.output.dtype for node in Graph(result.content).nodes_of("CONV_2D")]
    assert found == ["int8", "int8"]


def _binary_first():
    return network(binary_conv(8))


def _dense_first():
    return network(layers.Flatten(), layers.Dense(12), layers.Reshape((2, 2, 3)))


def _branches_first():
    image = tf.keras.Input((12, 12, 3), name="image")
    x = layers.Add()([layers.Conv2D(8, 1)(image), layers.Conv2D(8, 1)(image)])
    return randomize(tf.keras.Model(image, binary_conv(8)(x)))


def _float_alone():
    image = tf.keras.Input((12, 12, 3), name="image")
    return tf.keras.Model(image, layers.Conv2D(8, 1)(image))


def _vector_first():
    vector = tf.keras.Input((3,), name="vector")
    return randomize(tf.keras.Model(vector, binary_conv(8)(layers.Reshape((1, 1, 3))(vector))))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_binary_first, "'image' goes first into a .*not a float convolution"),
        (_dense_first, "goes first into a .*not a float convolution"),
        (_branches_first, "'image' goes into no convolution, or not into one alone"),
        (lambda: network(layers.Conv2D(6, 3, groups=3)), "which has groups"),
        (_float_alone, "no convolution of the file is binary"),
        (_vector_first, "no input is an image"),
    ],
)
def test_a_file_without_such_a_stem_is_refused_with_the_reason(make, reason):
    with pytest.raises(ConversionError, match=rf"stem='int8': .*{reason}.*: leave it out"):
        stems(Graph(convert_model(make())[0]))


def test_a_file_without_a_stem_is_refused_before_the_check(monkeypatch):
    monkeypatch.setattr(pipeline, "check", None)
    with pytest.raises(ConversionError, match="leave it out"):
        convert(_float_alone(), options=STEM_AND_HEAD, calibration=images(1))


@pytest.mark.parametrize(
    ("options", "calibration", "message"),
    [
        (FileOptions(stem="int8"), None, "give images, --calibrate FOLDER, or .*`calibration`"),
        (FileOptions(head="int8"), images(1), "give --stem int8 too, or leave it out"),
        (
            FileOptions(stem="int4"),
            None,
            "stem='int4' is not supported: give one of",
        ),
        (STEM_AND_HEAD, images(1)[:, :5], r"calibration: the array for 'image' has shape"),
        (STEM_AND_HEAD, [images(1)] * 2, "calibration has 2 arrays"),
        (STEM_AND_HEAD, images(1) + np.nan, "calibrate: .*reaches from nan.*look for the samp"),
        (
            replace(STEM_AND_HEAD, default_int8_range=(-1.0, 1.0)),
            images(1),
            "leave stem, head and ops out",
        ),
    ],
)
def test_what_is_asked_for_has_to_fit(small, options, calibration, message):
    with pytest.raises(ConversionError, match=message):
        convert(small, options=options, calibration=calibration, tolerance_factor=None)


def test_what_is_not_finite_is_found_behind_the_first_sample_too():
    model = network(layers.ZeroPadding2D(2), layers.Conv2D(8, 3))
    given = images(3)
    given[1] = np.nan
    with pytest.raises(ConversionError, match=r"calibrate: .*look for the sample"):
        convert(model, options=STEM_AND_HEAD, calibration=given)
