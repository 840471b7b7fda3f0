"""A file that cannot be served is refused with the operator and the reason; nothing crashes."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from embedding import EmbeddingGraph
from equations import SAME, VALID, Convolution, convolve, random_data
from files import convolution_file, same_bits
from flatbuffers import flexbuffers
from flatfile import FlatFile, flexbuffer, schema
from moving import MovingGraph

import larq_bcd_runtime
from larq_bcd_runtime import Interpreter, ModelError
from larq_bcd_runtime.delegate import runtime

SMALL = Convolution(height=4, width=4, channels_in=64, channels_out=8)
HUGE = 2**31 - 1


def without_file_check(file: bytes, shape=None) -> None:
    """Loads a file as a program does that uses LiteRT itself: the delegate has to cope."""
    interpreter = runtime().Interpreter(
        model_content=file, experimental_delegates=[larq_bcd_runtime.load()]
    )
    if shape is not None:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()


def refusal(file: bytes) -> str:
    """Returns the message, after making sure that it names the operator."""
    with pytest.raises(ModelError) as error:
        Interpreter(file)
    message = str(error.value)
    assert message.startswith("larq-bcd-runtime: Lce")
    assert "(operator " in message
    return message


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("stride_height", 0, "stride_height is 0"),
        ("stride_width", -1, "stride_width is -1"),
        ("stride_width", 2**40, "stride_width is 1099511627776"),
        ("dilation_height_factor", 0, "dilation_height_factor is 0"),
        ("dilation_width_factor", HUGE, f"dilation_width_factor is {HUGE}"),
        ("padding", 2, "padding is 2"),
        ("pad_values", 2, "pad_values is 2"),
        ("pad_values", -1, "pad_values is -1"),
        ("fused_activation_function", 4, "fused_activation_function is 4"),
        ("channels_in", 0, "channels_in is 0"),
        ("channels_in", HUGE, f"channels_in is {HUGE}"),
        ("channels_in", 65, "channels_in is 65, which is 3 words"),
        ("channels_in", "many", "channels_in is not an integer"),
        ("padding", "SAME", "padding is not an integer"),
        ("stride_width", 1.0, "stride_width is not an integer"),
        ("stride_height", None, "stride_height is missing"),
    ],
)
def test_do_not_accept_an_option(option, value, reason):
    assert reason in refusal(convolution_file(SMALL, random_data(SMALL), **{option: value}))


def test_do_not_slide_a_window_larger_than_the_image():
    # Built as SAME, then declared VALID: the file's own shapes are right for neither.
    c = replace(SMALL, window=(5, 3))
    assert "5 pixels high" in refusal(convolution_file(c, random_data(c), padding=VALID))
    c = replace(SMALL, dilations=(1, 2))
    assert "5 pixels wide" in refusal(convolution_file(c, random_data(c), padding=VALID))


def operator_file(name, tensors, inputs, output, options=None) -> bytes:
    """Writes a file with one operator; tensor 0 is the file's input."""
    file = FlatFile()
    for tensor in tensors:
        file.tensor(*tensor) if isinstance(tensor, tuple) else file.constant(tensor)
    file.custom(name, inputs, output, options)
    return file.build([0], output)


PACKED, FILTER, VECTOR = np.int32, np.zeros((8, 3, 3, 2), np.int32), np.ones(8, np.float32)
GOOD = [((1, 4, 4, 2), PACKED), FILTER, VECTOR, VECTOR, ((1, 4, 4, 8),)]


def bconv2d(changes=(), inputs=(0, 1, 2, 3, -1), outputs=(4,), **options) -> bytes:
    tensors = list(GOOD)
    for index, tensor in dict(changes).items():
        tensors[index] = tensor
    options = {**SMALL.options, **options}
    return operator_file("LceBconv2d", tensors, inputs, outputs, options)


def test_the_unchanged_operator_is_accepted():
    # Without this, the tests below could pass for another reason than the one they name.
    zeros = np.zeros((1, 4, 4, 2), np.int32)
    assert (Interpreter(bconv2d()).predict(zeros) == 9 * 64 + 1).all()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (lambda: bconv2d({0: ((1, 4, 4, 2), np.float32)}), "input is float32"),
        (lambda: bconv2d({0: ((4, 4, 2), PACKED)}), "input has 3 dimensions"),
        (lambda: bconv2d({0: ((1, 4, 4, 3), PACKED)}), "its input has 3"),
        (lambda: bconv2d({1: FILTER.astype(np.float32)}), "filter is float32"),
        (lambda: bconv2d({1: FILTER[0]}), "filter has 3 dimensions"),
        (lambda: bconv2d({1: ((8, 3, 3, 2), PACKED)}, ()), "inputs"),
        (lambda: bconv2d({2: VECTOR[:7]}), "multiplier has 7 values"),
        (lambda: bconv2d({3: VECTOR[:, None]}), "bias has 2 dimensions"),
        (lambda: bconv2d({3: np.ones(8, np.int32)}), "bias is int32"),
        (lambda: bconv2d(inputs=(0, 1, 2, -1, -1)), "no post_activation_bias"),
        (lambda: bconv2d(inputs=(0, -1, 2, 3, -1)), "no filter"),
        (lambda: bconv2d(inputs=(-1, 1, 2, 3, -1)), "no input"),
        (lambda: bconv2d(inputs=(0, 1, 2, 3)), "4 inputs"),
        (lambda: bconv2d(inputs=(0, 1, 2, 3, -1, -1)), "6 inputs"),
        (lambda: bconv2d({4: ((1, 4, 4, 1), PACKED)}), "no output_threshold"),
        (lambda: bconv2d({4: ((1, 4, 4, 8), np.bool_)}), "output is bool"),
        (lambda: bconv2d({4: ((1, 4, 4, 8), np.int8)}), "int8 output has the scale 0"),
        (lambda: bconv2d({0: ((1, 0, 4, 2), PACKED)}), "dimension 1 of tensor 0 is 0"),
        (lambda: bconv2d({0: ((1, HUGE, 1, 2), PACKED)}), f"dimension 1 of tensor 0 is {HUGE}"),
    ],
)
def test_do_not_accept_a_tensor(file, reason):
    assert reason in refusal(file())


@pytest.mark.parametrize("output", [0, 3])
def test_do_not_write_into_the_input_or_a_constant(output):
    with pytest.raises(ModelError, match="which has a value already"):
        Interpreter(bconv2d(outputs=(output,)))
    with pytest.raises((RuntimeError, ValueError)):
        without_file_check(bconv2d(outputs=(output,)))


def test_an_operator_without_outputs_does_no_harm():
    file = FlatFile()
    entry, result = file.tensor((1, 64)), file.tensor((1, 2), np.int32)
    file.custom("LceQuantize", [entry], [result])
    file.custom("LceQuantize", [entry], [])
    without_file_check(file.build([entry], [result]))


def test_do_not_write_a_tensor_twice():
    file = FlatFile()
    entry, result = file.tensor((1, 64)), file.tensor((1, 2), np.int32)
    other = file.tensor((1, 200))
    file.custom("LceQuantize", [entry], [result])
    file.custom("LceQuantize", [other], [result])
    content = file.build([entry, other], [result])
    with pytest.raises(ModelError, match="which has a value already"):
        Interpreter(content)
    with pytest.raises(RuntimeError, match="also written"):
        without_file_check(content)


def test_do_not_read_what_is_written_later():
    file = FlatFile()
    entry, packed = file.tensor((1, 64)), file.tensor((1, 2), np.int32)
    result = file.tensor((1, 64))
    file.custom("LceDequantize", [packed], [result])
    file.custom("LceQuantize", [entry], [packed])
    with pytest.raises(ModelError, match="operator 0 reads tensor 1, which nobody has written"):
        Interpreter(file.build([entry], [result]))


def test_do_not_read_a_filter_that_is_computed():
    file = FlatFile()
    entry, filters = file.tensor((1, 4, 4, 2), np.int32), file.tensor((8, 3, 3, 2), np.int32)
    vector, result = file.constant(VECTOR), file.tensor((1, 4, 4, 8))
    file.custom("LceBconv2d", [entry, filters, vector, vector, -1], [result], SMALL.options)
    assert "filter is not a constant" in refusal(file.build([entry, filters], [result]))


def test_do_not_split_channels_into_uneven_groups():
    c = Convolution(channels_in=96, channels_out=6, groups=3)
    data = random_data(c)
    assert "3 groups share 95" in refusal(convolution_file(c, data, channels_in=95))
    c = replace(c, channels_in=128, groups=2, channels_out=6)
    uneven = replace(data, filters=random_data(c).filters[:5])
    c = replace(c, channels_out=5)
    uneven = replace(uneven, multiplier=np.ones(5, np.float32), bias=np.ones(5, np.float32))
    assert "2 groups share 5 output" in refusal(convolution_file(c, uneven))


@pytest.mark.parametrize(
    ("name", "tensors", "reason"),
    [
        ("LceQuantize", [((1, 8), np.int32), ((1, 1), np.int32)], "input is int32"),
        ("LceQuantize", [((1, 8),), ((1, 8),)], "output is float32"),
        ("LceQuantize", [((1,) * 9,), ((1,) * 9, np.int32)], "9 dimensions"),
        ("LceQuantize", [((1, 8), np.int8, None, 1.0, 500), ((1, 1), np.int32)], "zero point"),
        ("LceDequantize", [((1, 8),), ((1, 8),)], "input is float32"),
        ("LceDequantize", [((1, 1), np.int32), ((1, 8), np.int32)], "output is int32"),
        ("LceDequantize", [((1, 1), np.int32), ((1, 33),)], "33 channels, and its input 1"),
        ("LceDequantize", [((1, 1), np.int32), ((1, 1, 8),)], "output has 3 dimensions"),
        ("LceDequantize", [((1, 1), np.int32), ((1, 8), np.int8)], "scale 0"),
    ],
)
def test_do_not_quantize(name, tensors, reason):
    assert reason in refusal(operator_file(name, tensors, [0], [1]))


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("padding", 3, "padding is 3"),
        ("filter_height", 0, "filter_height is 0"),
        ("filter_width", HUGE, "filter_width is"),
        ("stride_width", 0, "stride_width is 0"),
        ("filter_height", 5, "5 pixels high"),
    ],
)
def test_do_not_pool(option, value, reason):
    options = {"padding": VALID, "filter_height": 2, "filter_width": 2, "stride_height": 2,
               "stride_width": 2}  # fmt: skip
    tensors = [((1, 4, 4, 2), np.int32), ((1, 2, 2, 2), np.int32)]
    options[option] = value
    file = operator_file("LceBMaxPool2d", tensors, [0], [1], options)
    assert reason in refusal(file)


def test_a_pooling_window_may_be_larger_than_the_image():
    options = {"padding": SAME, "filter_height": 30000, "filter_width": 30000,
               "stride_height": 1, "stride_width": 1}  # fmt: skip
    tensors = [((1, 4, 4, 1), np.int32), ((1, 4, 4, 1), np.int32)]
    file = operator_file("LceBMaxPool2d", tensors, [0], [1], options)
    words = np.random.default_rng(0).integers(0, 2**31, (1, 4, 4, 1), dtype=np.int32)
    everything = np.bitwise_and.reduce(words, axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(Interpreter(file).predict(words), everything + 0 * words)


# ---- Options that are not what they claim to be ----


def with_options(raw: bytes) -> bytes:
    return operator_file("LceBconv2d", GOOD, (0, 1, 2, 3, -1), (4,), raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00", b"\x00" * 64, b"\xff" * 64, b"\x01\x24\x01", b"\x00\x24\x08",
        bytes(flexbuffers.Dumps([1, 2, 3])), bytes(flexbuffers.Dumps("text")),
    ],
)  # fmt: skip
def test_do_not_read_options_that_are_not_a_map(raw):
    assert "not a FlexBuffer map" in refusal(with_options(raw))


def test_do_not_run_without_options():
    file = FlatFile()
    for tensor in GOOD:
        file.tensor(*tensor) if isinstance(tensor, tuple) else file.constant(tensor)
    file.custom("LceBconv2d", (0, 1, 2, 3, -1), (4,))
    assert "options are damaged" in refusal(file.build([0], (4,)))


def outcome(file: bytes):
    try:
        return Interpreter(file).predict(np.zeros((1, 4, 4, 2), np.int32))
    except ModelError:
        return None


def test_every_damaged_byte_of_the_options_is_an_error_or_another_option():
    raw = flexbuffer(SMALL.options)
    served = 0
    for at in range(len(raw)):
        for value in (0x00, 0x01, 0x7F, 0x80, 0xFF, raw[at] ^ 0x04):
            served += (
                outcome(with_options(raw[:at] + bytes([value]) + raw[at + 1 :])) is not None
            )
    # Some bytes change nothing or another valid option; most must not pass.
    assert 0 < served < 6 * len(raw) / 2


def test_every_cut_of_the_options_is_an_error():
    raw = flexbuffer(SMALL.options)
    for length in range(1, len(raw)):
        refusal(with_options(raw[:length]))
        refusal(with_options(raw[-length:])) if length < len(raw) // 2 else None


@pytest.mark.parametrize("value", [1, 200, 2**15])
def test_options_of_every_width_are_read(value):
    c = Convolution(height=1, width=1, channels_in=32, window=(1, 1), strides=(value, 1))
    data = random_data(c)
    got = Interpreter(convolution_file(c, data)).predict(np.zeros((1, 1, 1, 1), np.int32))
    ones = replace(data, inputs=np.ones_like(data.inputs))
    same_bits(got, convolve(c, ones))


def test_unused_bits_of_a_filter_do_no_harm():
    # The file sets bits above the last channel; the sum may leave [-K, K], and is clamped.
    c = Convolution(channels_in=3, channels_out=5)
    file = operator_file(
        "LceBconv2d",
        [((1, 8, 8, 1), np.int32), np.full((5, 3, 3, 1), -1, np.int32), VECTOR[:5], VECTOR[:5],
         ((1, 8, 8, 5),)],
        (0, 1, 2, 3, -1), (4,), c.options,
    )  # fmt: skip
    out = Interpreter(file).predict(np.zeros((1, 8, 8, 1), np.int32))
    np.testing.assert_array_equal(out, np.full((1, 8, 8, 5), -27 + 1, np.float32))


# ---- LiteRT's own operators ----


def split_file(parts: int, channels: int = 6, axis: int = 3) -> bytes:
    """Splits the channels of an image in two, and says that it were so many parts."""
    file = FlatFile()
    entry, dimension = file.tensor((1, 2, 2, channels)), file.constant(np.int32(axis))
    halves = [file.tensor((1, 2, 2, channels // 2)) for _ in range(2)]
    options = schema.SplitOptionsT()
    options.numSplits = parts
    kind = schema.BuiltinOptions.SplitOptions
    file.builtin("SPLIT", [dimension, entry], halves, kind, options if parts else None)
    return file.build([entry], halves)


def pool_file(**changes) -> bytes:
    file = FlatFile()
    entry, result = file.tensor((1, 4, 4, 3)), file.tensor((1, 2, 2, 3))
    options = schema.Pool2DOptionsT()
    values = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    for name, value in {**values, **changes}.items():
        setattr(options, name, value)
    kind = schema.BuiltinOptions.Pool2DOptions
    file.builtin("AVERAGE_POOL_2D", [entry], [result], kind, options)
    return file.build([entry], [result])


def builtin_file(name, *tensors) -> bytes:
    """An operator without options from all tensors but the last to that."""
    file = FlatFile()
    indices = [
        file.tensor(*tensor) if isinstance(tensor, tuple) else file.constant(tensor)
        for tensor in tensors
    ]
    file.builtin(name, indices[:-1], indices[-1:])
    given = [i for i, tensor in zip(indices[:-1], tensors) if isinstance(tensor, tuple)]
    return file.build(given, indices[-1:])


def scales_file(name, dtype, largest, lowest) -> bytes:
    """An operator on two quantized vectors."""
    vectors = [((1, 8), dtype, None, scale) for scale in (largest, largest / 2, lowest)]
    return builtin_file(name, *vectors)


def added_zeros() -> bytes:
    """Adds zeros whose scale is 0, as the converter writes them in int16."""
    file = FlatFile()
    entry, result = (file.tensor((1, 8), np.int16, scale=1) for _ in range(2))
    zeros = file.tensor((8,), np.int16, np.zeros(8, np.int16), scale=0)
    file.builtin("ADD", [entry, zeros], [result])
    return file.build([entry], [result])


IMAGE, INT8_IMAGE = ((1, 4, 4, 3),), ((1, 4, 4, 3), np.int8, None, 0.5)


def test_do_not_average_over_an_image_that_has_become_odd():
    graph = MovingGraph(0, 4, 4)
    x = graph.floats(32)
    entry = graph.abs(x, 32)
    words = graph.quantize(entry, 32)
    y = graph.on(graph.average(entry)).convolve(words, 32, 32, strides=2)
    pool = graph.file.operators[-2]
    pool.builtinOptions.padding = schema.Padding.SAME
    y = graph.binary("ADD", y, pool.outputs[0], 32)
    file = graph.file.build([x], [y])
    without_file_check(file)
    with pytest.raises(RuntimeError, match="5 pixels high and 4 wide, which is not even"):
        without_file_check(file, (1, 5, 4, 32))


# What a move or an average counts with 32 bits fits in the file, and no longer after a resize.
# The preparation refuses before anybody asks for the memory.
def test_do_not_average_over_more_values_than_can_be_placed():
    graph = MovingGraph(0, 64, 64)
    x = graph.floats(32)
    words = graph.quantize(x, 32)
    y = graph.on(graph.average(x)).convolve(words, 32, 32, strides=2)
    y = graph.binary("ADD", y, graph.file.operators[-2].outputs[0], 32)
    file = graph.file.build([x], [y])
    with pytest.raises(RuntimeError, match=r"AVERAGE_POOL_2D .* input has 4294967296 values"):
        without_file_check(file, (2**15, 64, 64, 32))


def test_do_not_move_more_values_than_can_be_counted():
    graph = MovingGraph(0, 8, 8)
    words = graph.file.tensor((1, 8, 8, 1), np.int32)
    y = graph.on(graph.slice(words, [0] * 4, [1, 2, 2, 1]))
    cut = y.file.operators[-1].outputs[0]
    result = graph.convolve(cut, 32, 32)
    file = graph.file.build([words], [result])
    with pytest.raises(RuntimeError, match=r"SLICE .* input has 4294967296 values"):
        without_file_check(file, (1, 2**16, 2**16, 1))


def test_do_not_fill_more_than_a_network_has():
    # Nine megabytes of ones, twice.
    file = FlatFile()
    x = y = file.tensor((1, 1, 1, 256), np.int32)
    ones = file.constant(np.ones(256 * 32, np.float32))
    options = {**SMALL.options, "channels_in": 256 * 32}
    for _ in range(2):
        weights = file.filled((256 * 32, 3, 3, 32), np.int32(1))
        floats, words = file.tensor((1, 1, 1, 256 * 32)), file.tensor((1, 1, 1, 256), np.int32)
        file.custom("LceBconv2d", [y, weights, ones, ones, -1], [floats], options)
        file.custom("LceQuantize", [floats], [words])
        y = words
    assert "is a FILL of 9437184 bytes, and all of them may have 16777216" in refusal(
        file.build([x], [y])
    )


@pytest.mark.parametrize("place", ["weights", "output"])
def test_do_not_read_a_sparse_tensor(place):
    graph = EmbeddingGraph(0, 1, 1)
    x = graph.file.tensor((1, 4000))
    y = graph.fully_connected(x, np.ones((2, 4000), np.float32))
    weights = graph.file.tensors[graph.file.operators[0].inputs[1]]
    weights.sparsity = schema.SparsityParametersT()
    graph.file.buffers[weights.buffer] = bytes(16)
    result = y if place == "weights" else graph.file.operators[0].inputs[1]
    if place == "output":
        graph.file.operators.clear()
    with pytest.raises(ModelError, match="is sparse"):
        Interpreter(graph.file.build([x], [result]))


@pytest.mark.parametrize(
    "file",
    [split_file(2), pool_file(), builtin_file("ADD", IMAGE, np.ones(3, np.float32), IMAGE),
     builtin_file("ADD", INT8_IMAGE, INT8_IMAGE, INT8_IMAGE),
     builtin_file("TRANSPOSE", IMAGE, np.array([0, 1, 3, 2], np.int32), ((1, 4, 3, 4),)),
     scales_file("ADD", np.int8, 2.0**18, 1), scales_file("SUB", np.int8, 2.0**18, 1),
     scales_file("ADD", np.int16, 2.0**13, 1), scales_file("SUB", np.int16, 2.0**13, 1)],
)  # fmt: skip
def test_a_sound_operator_of_litert_is_accepted(file):
    interpreter = Interpreter(file)
    interpreter.predict([np.zeros(d.shape, d.dtype) for d in interpreter.input_details])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (split_file(3), "SPLIT: num_splits is 3, and has to be 2, the number of outputs"),
        (split_file(0), "SPLIT: num_splits is 0, and has to be 2"),
        (split_file(2, channels=7), "SPLIT: the size to split is 7, .* a multiple of 2"),
        (split_file(2, axis=4), "SPLIT: axis is 4, and has to be one of 4 dimensions"),
        (pool_file(strideW=0), "AVERAGE_POOL_2D: stride_width is 0, and has to be from 1 to"),
        (pool_file(filterWidth=HUGE), "AVERAGE_POOL_2D: filter_width is 2147483647, and has"),
        (pool_file(filterWidth=5), "AVERAGE_POOL_2D: filter_width is 5, .* at most 4, the"),
        (pool_file(padding=7), r"AVERAGE_POOL_2D: padding is 7, .* 0 \(SAME\) or 1 \(VALID\)"),
        (
            builtin_file("ADD", IMAGE, IMAGE, INT8_IMAGE),
            "ADD: the type of a tensor is int8, and has to be float32 as that of the first",
        ),
        (
            builtin_file("ADD", IMAGE, np.ones(4, np.float32), IMAGE),
            r"ADD: the list of shapes is \(1, 4, 4, 3\) and \(4,\), and has to be equal",
        ),
        (builtin_file("ADD", IMAGE, IMAGE), "ADD: the number of inputs is 1, and has to be 2"),
        (
            builtin_file("ADD", INT8_IMAGE, INT8_IMAGE, ((1, 4, 4, 3), np.int8)),
            r"ADD: the scale of a quantized tensor is \(\), and has to be finite",
        ),
        (
            builtin_file("TRANSPOSE", IMAGE, np.array([0, 1, 3, 3], np.int32), IMAGE),
            r"TRANSPOSE: perm is \(0, 1, 3, 3\), and has to be an order of 4 dimensions",
        ),
        (
            builtin_file("ADD_N", IMAGE, ((1, 4, 4, 5),), IMAGE),
            r"ADD_N: the shape of an input is \(1, 4, 4, 5\), and has to be \(1, 4, 4, 3\)",
        ),
        (
            builtin_file("RESHAPE", IMAGE, np.full(31, 7, np.int32), IMAGE),
            r"RESHAPE: the new shape is \(7, 7, .* of up to 8 sizes",
        ),
        (
            builtin_file("RESHAPE", IMAGE, np.full(2, -1, np.int32), IMAGE),
            r"RESHAPE: the new shape is \(-1, -1\), .* one of them -1 at the most",
        ),
        *(
            (
                scales_file(name, dtype, 2.0**bits, 1),
                rf"{name}: the list of scales is .* 2\*\*19",
            )
            for name in ("ADD", "SUB")
            for dtype, bits in ((np.int8, 19), (np.int16, 14))
        ),
        (scales_file("ADD", np.int8, 2.0**20, 1), "ADD: the list of scales is"),
        (added_zeros(), r"ADD: the list of scales is \[1.0, 0.0, 1.0\], .* without 0"),
    ],
)
def test_do_not_hand_a_damaged_operator_to_litert(file, reason):
    with pytest.raises(ModelError, match=reason):
        Interpreter(file)


def rare_file(channels: int = 3) -> bytes:
    """An operator whose rules are not known here, of a file that is sound."""
    options = schema.LocalResponseNormalizationOptionsT()
    options.radius, options.bias, options.alpha, options.beta = 1, 1.0, 1.0, 0.5
    file = FlatFile()
    x, y = file.tensor((1, 4, 4, channels)), file.tensor((1, 4, 4, channels))
    kind = schema.BuiltinOptions.LocalResponseNormalizationOptions
    file.builtin("LOCAL_RESPONSE_NORMALIZATION", [x], [y], kind, options)
    return file.build([x], [y])


def test_a_file_with_a_rare_operator_is_tried_first(monkeypatch):
    asked = []
    run = subprocess.run

    def watch(command, **how):
        asked.append(command)
        return run(command, **how)

    monkeypatch.setattr(subprocess, "run", watch)
    images = np.ones((2, 4, 4, 3), np.float32)
    assert Interpreter(rare_file()).predict(images).shape == (2, 4, 4, 3)
    assert len(asked) == 1
    Interpreter(rare_file(), trial=False)
    Interpreter(pool_file())
    assert len(asked) == 1
    killed = subprocess.CompletedProcess([], -signal.SIGSEGV)
    monkeypatch.setattr(subprocess, "run", lambda *command, **how: killed)
    with pytest.raises(ModelError, match=r"LiteRT crashes on the file \(SIGSEGV\)"):
        Interpreter(rare_file())


def test_a_frozen_program_does_not_start_itself(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(subprocess, "run", None)
    Interpreter(rare_file())


@pytest.mark.parametrize(
    ("sizes", "value", "reason"),
    [
        ([2, -1], np.int32(1), r"FILL: dims is \(2, -1\), and has to be from 0 to"),
        ([2, 2], np.float32(1), "FILL: the type of the output is int32, and has to be float32"),
        ([2, 2], np.int32([1, 2]), r"FILL: the shape of the value is \(2,\)"),
    ],
)
def test_do_not_fill_what_cannot_be(sizes, value, reason):
    file = FlatFile()
    result = file.tensor((2, 2), np.int32)
    inputs = [file.constant(np.array(sizes, np.int32)), file.constant(value)]
    file.builtin("FILL", inputs, [result])
    with pytest.raises(ModelError, match=reason):
        Interpreter(file.build([], [result]))
