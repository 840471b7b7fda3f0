"""What only moves values is not executed: convolutions read through it."""

import numpy as np
import pytest
from equations import SAME
from hypothesis import example, given
from hypothesis import strategies as st
from moving import MovingGraph
from test_fusion import assert_fusing_changes_nothing, operators_left, react_block

from larq_bcd_runtime import Interpreter


def assert_all_is_taken_over(file: bytes) -> None:
    """Asserts that the delegate executes the whole graph, and moves nothing."""
    moves = {"SLICE", "STRIDED_SLICE", "SPLIT", "PAD", "RESHAPE", "GATHER"}
    left = [name for name in operators_left(file) if name not in moves]
    assert set(left) <= {"DELEGATE", "ADD_N", "AVERAGE_POOL_2D"}
    # A move that is the runtime's would stand between two stretches.
    (stretch,) = Interpreter(file).describe()
    executed = {name for stage in stretch["stages"] for _, name in stage["operators"]}
    assert not executed & moves


def shift_mlp(graph: MovingGraph, x: int, channels: int, how: str) -> int:
    """The three branches of a QuantShiftMLP, added up with the shortcut."""
    t = graph.binary("ADD", x, graph.constant(channels), channels)
    if how == "floats":
        moved = [t, graph.shift(t, 1), graph.shift(t, 3)]
        signs = [graph.quantize(value, channels) for value in moved]
    else:
        words = graph.quantize(t, channels)
        move = graph.shift if how == "slices" else graph.shift_by_gather
        signs = [words, move(words, 1), move(words, 3)]
    branches = [graph.convolve(sign, channels, channels, window=1) for sign in signs]
    if how == "gather":
        y = graph.add_n([*branches, x])
    else:
        y = graph.binary("ADD", branches[0], branches[1], channels)
        y = graph.binary("ADD", y, branches[2], channels)
        y = graph.binary("ADD", y, x, channels)
    y = graph.prelu(graph.binary("ADD", y, graph.constant(channels), channels), channels)
    return graph.binary("ADD", y, graph.constant(channels), channels)


@pytest.mark.parametrize("how", ["floats", "slices", "gather"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", [128, 256])
def test_shifts_of_floats_and_of_words(kernels, how, threads, channels):
    graph = MovingGraph(channels, 7, 7)
    x = graph.floats(channels)
    y = shift_mlp(graph, shift_mlp(graph, x, channels, how), channels, how)
    file = graph.file.build([x], [y])
    assert_fusing_changes_nothing(file, kernels, threads)
    assert_all_is_taken_over(file)


@pytest.mark.parametrize("words_are_padded", [False, True])
@pytest.mark.parametrize("channels", [32, 64, 96])
def test_a_padded_convolution_with_a_stride_and_its_cut(kernels, words_are_padded, channels):
    graph = MovingGraph(channels, 8, 10)
    x = graph.floats(channels)
    margins = [(0, 0), (0, 1), (0, 1), (0, 0)]
    if words_are_padded:
        words = graph.pad(graph.quantize(x, channels), margins)
    else:
        padded = graph.pad(x, margins)
        words = graph.on(padded).quantize(padded, channels)
    graph.size = (1, 5, 6)
    y = graph.convolve(words, channels, channels, strides=2)
    y = graph.strided_slice(y, [0, 1, 1, 0], [0, 5, 6, 0], [1, 1, 1, 1], end_mask=0b1001,
                            begin_mask=0b1001)  # fmt: skip
    graph.on(y)
    y = graph.binary("MUL", y, graph.constant(channels), channels)
    y = graph.binary("ADD", y, graph.average(x), channels)
    y = graph.prelu(y, channels)
    file = graph.file.build([x], [y])
    assert_fusing_changes_nothing(file, kernels, 2)
    assert_all_is_taken_over(file)


@given(
    height=st.integers(1, 7), width=st.integers(1, 7),
    channels=st.sampled_from([20, 32, 64, 96]),
    margins=st.tuples(*[st.sampled_from([0, 0, 1, 3])] * 4), window=st.sampled_from([1, 2, 3]),
    strides=st.integers(1, 2), pad_values=st.integers(0, 1), cuts=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
# A convolution that pads with zeros, and has none, behind a +1 on one side.
@example(6, 6, 32, (0, 2, 0, 0), 2, 2, 0, False, 0)
@example(6, 6, 32, (0, 0, 0, 2), 2, 2, 0, False, 0)
def test_zeros_around_packed_images_are_not_written(
    kernels, height, width, channels, margins, window, strides, pad_values, cuts, seed
):
    top, bottom, left, right = margins
    graph = MovingGraph(seed, height, width)
    x = graph.floats(channels)
    words = graph.pad(
        graph.quantize(x, channels), [(0, 0), (top, bottom), (left, right), (0, 0)]
    )
    size = [-(-(height + top + bottom) // strides), -(-(width + left + right) // strides)]
    graph.size = (1, *size)
    y = graph.convolve(words, channels, 40, window, pad_values, strides)
    if cuts:  # the last ones, which alone may read the margins behind the image
        ends = [max(1, size[0] - bottom), max(1, size[1] - right)]
        y = graph.slice(y, [0] * 4, [1, *ends, 40])
    y = graph.on(y).prelu(y, 40)
    assert_fusing_changes_nothing(graph.file.build([x], [y]), kernels, 2)


@pytest.mark.parametrize("channels", [16, 32, 48, 64, 128])
def test_a_repeated_shortcut(kernels, channels):
    graph = MovingGraph(channels, 5, 7)
    x = graph.floats(channels)
    y = graph.convolve(graph.quantize(x, channels), channels, 2 * channels, window=1)
    y = graph.binary("ADD", y, graph.join([x, x], axis=3), 2 * channels)
    file = graph.file.build([x], [graph.prelu(y, 2 * channels)])
    assert_fusing_changes_nothing(file, kernels, 2)
    assert_all_is_taken_over(file)


@pytest.mark.parametrize("channels", [20, 64, 160])
@pytest.mark.parametrize("threads", [1, 2])
def test_thresholds_and_biases_that_each_sample_has_its_own_of(kernels, channels, threads):
    graph = MovingGraph(channels, 9, 9)
    x = graph.floats(channels)
    alpha, beta = (graph.file.tensor((1, 1, 1, channels)) for _ in range(2))
    words = graph.quantize(graph.binary("ADD", x, alpha, channels), channels)
    y = graph.binary("ADD", graph.convolve(words, channels, channels), beta, channels)
    y = graph.binary("ADD", graph.binary("MUL", y, alpha, channels), x, channels)
    file = graph.file.build([x, alpha, beta], [y])
    assert_fusing_changes_nothing(file, kernels, threads)
    assert_all_is_taken_over(file)


@pytest.mark.parametrize("reader", ["output", "pool", "two roots"])
def test_moved_words_that_others_read_are_moved(kernels, reader):
    graph = MovingGraph(0, 4, 4)
    x = graph.floats(64)
    words = graph.quantize(x, 64)
    moved = graph.roll(words, 1, axis=1)
    results = []
    if reader == "output":
        results.append(moved)
    elif reader == "pool":
        results.append(graph.file.tensor((1, 2, 2, 2), np.int32))
        options = {"padding": SAME, "filter_height": 2, "filter_width": 2, "stride_height": 2,
                   "stride_width": 2}  # fmt: skip
        graph.file.custom("LceBMaxPool2d", [moved], results, options)
    else:
        others = graph.quantize(graph.prelu(x, 64), 64)
        moved = graph.join([moved, others], axis=3)
    channels = 128 if reader == "two roots" else 64
    y = graph.convolve(graph.roll(moved, 1, axis=2), channels, 32)
    assert_fusing_changes_nothing(graph.file.build([x], [y, *results]), kernels, 2)


@pytest.mark.parametrize("how", ["words are reshaped", "floats are joined", "slice"])
def test_moves_that_make_other_samples(kernels, how):
    graph = MovingGraph(0, 4, 4)
    if how == "slice":
        graph.size = (2, 4, 4)
    x = graph.floats(64)
    if how == "words are reshaped":
        words = graph.reshape(graph.quantize(x, 64), (2, 2, 4, 2))
    elif how == "floats are joined":
        joined = graph.join([x, x], axis=0)
        words = graph.on(joined).quantize(joined, 64)
    else:
        words = graph.slice(graph.quantize(x, 64), [1, 0, 0, 0], [1, 4, 4, 2])
    y = graph.on(words).convolve(words, 64, 32)
    samples = 2 if how == "slice" else 1
    assert_fusing_changes_nothing(graph.file.build([x], [y]), kernels, 2, samples)


def test_a_half_that_is_read_through_moves_keeps_its_own_place(kernels):
    graph = MovingGraph(0, 4, 4)
    x = graph.floats(64)
    words = graph.quantize(x, 64)
    halves = [graph.prelu(graph.convolve(words, 64, 64), 64) for _ in range(2)]
    both = graph.prelu(graph.concatenate(*halves, 128), 128)
    part = graph.slice(halves[0], [0, 0, 0, 0], [1, 4, 4, 32])
    part = graph.slice(part, [0, 1, 0, 0], [1, 3, 4, 32])
    signs = graph.on(part).quantize(part, 32)
    assert_fusing_changes_nothing(graph.file.build([x], [both, signs]), kernels, 1, samples=1)


def test_a_repeated_value_of_each_sample(kernels):
    graph = MovingGraph(0, 5, 7)
    x, vector = graph.floats(64), graph.file.tensor((1, 1, 1, 32))
    y = graph.convolve(graph.quantize(x, 64), 64, 64)
    y = graph.binary("ADD", y, graph.join([vector, vector], axis=3), 64)
    assert_fusing_changes_nothing(graph.file.build([x, vector], [y]), kernels, 2)


@st.composite
def moved_convolutions(draw):
    """Words, or the floats before them, moved in any way before convolutions read them."""
    graph = MovingGraph(
        draw(st.integers(0, 99)), draw(st.integers(2, 6)), draw(st.integers(2, 6))
    )
    x = graph.floats(64)
    on_words = draw(st.booleans())
    unit = 1 if on_words else 32
    values = [graph.quantize(x, 64) if on_words else graph.prelu(x, 64)]
    for _ in range(draw(st.integers(1, 6))):
        a = draw(st.sampled_from(values[-3:]))
        shape = graph.shape(a)
        axis = draw(st.integers(1, 3))
        length = shape[axis] // (unit if axis == 3 else 1)
        step = unit if axis == 3 else 1
        kind = draw(st.sampled_from(["slice", "stride", "pad", "join", "roll", "gather"]))
        if kind == "slice":
            begin = draw(st.integers(0, length - 1))
            size = draw(st.integers(1, length - begin))
            at, sizes = [0] * 4, list(shape)
            at[axis], sizes[axis] = begin * step, size * step
            values.append(graph.slice(a, at, sizes))
        elif kind == "stride":
            strides = [1] * 4
            strides[axis] = draw(st.integers(1, 3)) if unit == 1 or axis < 3 else 1
            values.append(graph.strided_slice(a, [0] * 4, shape, strides))
        elif kind == "pad":
            margins = [(0, 0)] * 4
            before, after = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
            margins[axis] = before * step, after * step
            values.append(graph.pad(a, margins))
        elif kind == "join" and shape[axis] < 8 * step:
            b = draw(st.sampled_from(values))
            other = graph.shape(b)
            if [*shape[:axis], *shape[axis + 1 :]] == [*other[:axis], *other[axis + 1 :]]:
                values.append(graph.join([a, b], axis))
        elif kind == "roll":
            shift = draw(st.integers(0, 5)) * step
            values.append(graph.roll(a, shift, axis))
        elif kind == "gather" and on_words:
            indices = draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=5))
            values.append(graph.gather(a, np.array(indices), axis))
    results = []
    for value in draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)):
        words = graph.shape(value)[3] // unit
        if not on_words:
            value = graph.on(value).quantize(value, words * 32)
        window = draw(st.sampled_from([1, 3]))
        y = graph.on(value).convolve(value, words * 32, draw(st.sampled_from([8, 64])), window)
        results.append(y)
    return graph.file.build([x], results)


@given(file=moved_convolutions(), threads=st.sampled_from([1, 2]))
def test_any_move(kernels, file, threads):
    assert_fusing_changes_nothing(file, kernels, threads)


def test_a_plan_moves_and_keeps_little_memory():
    graph = MovingGraph(0, 14, 14)
    x = graph.floats(256)
    y = react_block(graph, shift_mlp(graph, x, 256, "floats"), 256, doubles=False)
    y = shift_mlp(graph, react_block(graph, y, 256, doubles=False), 256, "slices")
    (plan,) = Interpreter(graph.file.build([x], [y])).describe()
    moved = sum(stage["bytes_read"] + stage["bytes_written"] for stage in plan["stages"])
    assert moved <= 0.35 * plan["operator_bytes"]
    assert plan["memory"] <= 1.5 * plan["largest_live"]


def test_one_quantization_serves_all_shifts_of_the_same_floats():
    graph = MovingGraph(0, 7, 7)
    x = graph.floats(128)
    (plan,) = Interpreter(
        graph.file.build([x], [shift_mlp(graph, x, 128, "floats")])
    ).describe()
    names = [name for stage in plan["stages"] for _, name in stage["operators"]]
    assert names.count("LceQuantize") == 1
    assert names.count("LceBconv2d") == 3
