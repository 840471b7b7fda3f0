"""Convolutions of floats over images: bit by bit in the order of summation that is defined."""

import numpy as np
import pytest
from equations import CLAMPS, NONE, RELU, SAME, VALID, convolve_image
from files import same_bits
from hypothesis import assume, given
from hypothesis import strategies as st
from stems import StemGraph, padded_stem
from test_embedding import all_give, claimed

from larq_bcd_runtime import Interpreter
from larq_bcd_runtime.delegate import runtime


@given(
    samples=st.integers(1, 3), height=st.integers(1, 12), width=st.integers(1, 12),
    channels_in=st.integers(1, 3), channels_out=st.integers(1, 100),
    window=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from([SAME, VALID]), has_bias=st.booleans(),
    activation=st.sampled_from(list(CLAMPS)), seed=st.integers(0, 999),
)  # fmt: skip
def test_any_convolution_of_an_image(
    kernels, samples, height, width, channels_in, channels_out, window, strides, padding,
    has_bias, activation, seed,
):  # fmt: skip
    assume(channels_in > 1 or channels_out > 1)
    if padding == VALID:
        window = (min(window[0], height), min(window[1], width))
    graph = StemGraph(seed, height, width)
    filters = graph.random_filters(channels_out, window, channels_in)
    bias = graph.rng.normal(size=channels_out).astype(np.float32) if has_bias else None
    how = {"strides": strides, "padding": padding, "activation": activation}
    x = graph.floats(channels_in)
    y = graph.convolve_image(x, filters, bias, **how)
    file = graph.file.build([x], [y, graph.signs(y)])
    assert claimed(file) == ["CONV_2D", "LceQuantize"]
    images = graph.rng.normal(size=(samples, height, width, channels_in)).astype(np.float32)
    all_give(file, images, convolve_image(images, filters, bias, **how), kernels)


@pytest.mark.parametrize(
    ("size", "window", "strides", "channels"),
    [(224, 3, 2, 32), (112, 7, 2, 64), (32, 3, 1, 130), (40, 11, 4, 96)],
)
def test_stems_of_networks_and_what_the_runtime_gives(kernels, size, window, strides, channels):
    graph = StemGraph(0, size, size)
    filters = graph.random_filters(channels, (window, window), 3)
    bias = graph.rng.normal(size=channels).astype(np.float32)
    how = {"strides": (strides, strides), "activation": RELU}
    x = graph.floats(3)
    y = graph.convolve_image(x, filters, bias, **how)
    image = graph.rng.normal(size=(1, size, size, 3)).astype(np.float32)
    alone = runtime().Interpreter(model_content=graph.file.build([x], [y]))
    alone.allocate_tensors()
    alone.set_tensor(alone.get_input_details()[0]["index"], image)
    alone.invoke()
    expected = alone.get_tensor(alone.get_output_details()[0]["index"])
    all_give(graph.file.build([x], [y, graph.signs(y)]), image, expected, kernels)
    same_bits(expected, convolve_image(image, filters, bias, **how))


@given(
    height=st.integers(1, 9), width=st.integers(1, 9), samples=st.integers(1, 2),
    margins=st.tuples(*[st.integers(0, 4)] * 4), padding=st.sampled_from([SAME, VALID]),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)), seed=st.integers(0, 999),
)  # fmt: skip
def test_zeros_around_an_image_are_not_written(
    kernels, height, width, samples, margins, padding, strides, seed
):
    top, bottom, left, right = margins
    around = [[0, 0], [top, bottom], [left, right], [0, 0]]
    graph = StemGraph(seed, height, width)
    padded = (height + top + bottom, width + left + right)
    filters = graph.random_filters(20, [min(3, size) for size in padded], 2)
    x = graph.floats(2)
    y = graph.convolve_image(graph.pad(x, around), filters, None, strides, padding)
    file = graph.file.build([x], [y, graph.signs(y)])
    assert claimed(file) == ["CONV_2D", "LceQuantize"]
    assert claimed(file, fuse=False) == ["CONV_2D", "LceQuantize"]
    images = graph.rng.normal(size=(samples, height, width, 2)).astype(np.float32)
    expected = convolve_image(np.pad(images, around), filters, None, strides, padding)
    all_give(file, images, expected, kernels)


def test_a_padded_image_that_others_want(kernels):
    """It is a result too, or two convolutions read it."""
    graph = StemGraph(0, 6, 5)
    x = graph.floats(3)
    padded = graph.pad(x, [[0, 0], [2, 1], [0, 3], [0, 0]])
    filters = [graph.random_filters(20, (3, 3), 3), graph.random_filters(40, (5, 1), 3)]
    results = [graph.convolve_image(padded, each) for each in filters]
    signs = [graph.signs(y) for y in results]
    images = graph.rng.normal(size=(2, 6, 5, 3)).astype(np.float32)
    image = np.pad(images, [[0, 0], [2, 1], [0, 3], [0, 0]])
    expected = [image, *(convolve_image(image, each) for each in filters)]
    for first in (0, 1):
        file = graph.file.build([x], [*[padded, *results][first:], *signs])
        assert ("PAD" in claimed(file)) == (first == 0)
        got = Interpreter(file, kernels=kernels).predict(images, batch_size=2)
        for mine, right in zip(got, expected[first:]):
            same_bits(mine, right)


def test_what_is_not_ordinary(kernels):
    graph = StemGraph(0, 8, 8)
    x = graph.floats(1)
    filters = graph.random_filters(40, (3, 3), 1)
    y = graph.convolve_image(x, filters)
    file = graph.file.build([x], [y, graph.signs(y)])
    images = np.ones((1, 8, 8, 1), np.float32)
    images[0, 1, 1], images[0, 1, 6], images[0, 6, 1] = np.inf, np.nan, -0.0
    images[0, 6, 6] = 1e-45  # zero, as in the whole graph
    with np.errstate(invalid="ignore", over="ignore"):
        expected = convolve_image(np.where(images == np.float32(1e-45), 0, images), filters)
    got, _ = Interpreter(file, kernels=kernels).predict(images)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    same_bits(got[~np.isnan(got)], expected[~np.isnan(got)])


@pytest.mark.parametrize("activation", [a for a in CLAMPS if a != NONE])
def test_an_activation_lets_what_is_not_a_number_pass(kernels, activation):
    graph = StemGraph(0, 2, 2)
    x = graph.floats(1)
    y = graph.convolve_image(x, np.ones((17, 1, 1, 1), np.float32), activation=activation)
    file = graph.file.build([x], [y, graph.signs(y)])
    got, _ = Interpreter(file, kernels=kernels).predict(
        np.full((1, 2, 2, 1), np.nan, np.float32)
    )
    assert np.isnan(got).all()


def convolution_of(
    channels_in=3, channels_out=20, window=(3, 3), computes_filters=False, **how
):
    def make(graph):
        x = graph.floats(channels_in)
        filters = graph.random_filters(channels_out, window, channels_in)
        y = graph.convolve_image(x, filters, np.zeros(channels_out, np.float32), **how)
        if computes_filters:
            constant = graph.file.operators[-1].inputs[1]
            computed = graph.file.tensor(filters.shape)
            graph.file.builtin("ABS", [constant], [computed])
            graph.file.operators[-2].inputs[1] = computed
            graph.file.operators.reverse()
        return x, y

    return make


@pytest.mark.parametrize(
    "make",
    [convolution_of(channels_in=4), convolution_of(dilation=2),
     convolution_of(computes_filters=True), convolution_of(window=(19, 9)),
     convolution_of(channels_in=1, channels_out=1), convolution_of(strides=(40000, 40000))],
    ids=["four channels", "dilation", "filters that are computed", "a large window",
         "from one channel to one", "a large stride"],
)  # fmt: skip
def test_what_is_another_case_is_left_to_litert(make):
    graph = StemGraph(0, 6, 6)
    x, y = make(graph)
    file = graph.file.build([x], [y, graph.signs(y)])
    assert "CONV_2D" not in claimed(file)
    shape = (1, 6, 6, graph.shape(x)[-1])
    assert np.isfinite(Interpreter(file).predict(np.ones(shape, np.float32))[0]).all()


@pytest.mark.parametrize(
    "margins", [[[0, 0], [1, 1], [1, 1], [0, 1]], [[0, 0], [0, 0], [0, 0], [1, 1]]]
)
def test_channels_of_zeros_are_left_to_litert(margins):
    graph = StemGraph(0, 6, 6)
    x = graph.floats(1)
    padded = graph.pad(x, margins)
    filters = graph.random_filters(20, (3, 3), graph.shape(padded)[-1])
    y = graph.convolve_image(padded, filters, np.zeros(20, np.float32))
    file = graph.file.build([x], [y, graph.signs(y)])
    assert claimed(file) == ["CONV_2D", "LceQuantize"]
    image = graph.rng.normal(size=(1, 6, 6, 1)).astype(np.float32)
    all_give(file, image, convolve_image(np.pad(image, margins), filters), "auto")


def test_the_runtime_may_stand_between_a_stem_and_its_signs(kernels):
    graph = StemGraph(0, 12, 12)
    x = graph.floats(3)
    filters = graph.random_filters(40, (5, 5), 3)
    y = graph.convolve_image(x, filters)
    images = graph.rng.normal(size=(2, 12, 12, 3)).astype(np.float32)
    expected = np.abs(convolve_image(images, filters))
    z = graph.abs(y, 40)
    file = graph.file.build([x], [z, graph.signs(z)])
    assert sorted(claimed(file)) == ["CONV_2D", "LceQuantize"]
    assert len(Interpreter(file).describe()) == 2
    all_give(file, images, expected, kernels)


def test_a_file_without_binary_operators_is_left_to_litert():
    graph = StemGraph(0, 6, 6)
    x, (y, _) = padded_stem(graph)
    graph.file.operators.pop()
    assert claimed(graph.file.build([x], [y])) == []
