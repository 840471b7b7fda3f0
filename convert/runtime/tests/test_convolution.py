"""LceBconv2d: the reference is what the equations say, the other kernels what it is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from equations import (
    NONE,
    RELU,
    RELU6,
    RELU_N1_TO_1,
    SAME,
    VALID,
    Convolution,
    convolve,
    pack,
    random_data,
)
from files import convolution_file, run_convolution, same_bits
from hypothesis import given
from strategies import convolutions

from larq_bcd_runtime import Interpreter


@given(convolutions(max_channels=70))
def test_reference_follows_the_equations(c):
    data = random_data(c)
    same_bits(run_convolution(c, data, "reference"), convolve(c, data))


@given(convolutions())
def test_kernels_give_the_bits_of_the_reference(kernels, c):
    data = random_data(c)
    same_bits(run_convolution(c, data, kernels), run_convolution(c, data, "reference"))


@given(convolutions())
def test_threads_do_not_change_a_bit(kernels, c):
    data = random_data(c)
    expected = run_convolution(c, data, kernels)
    same_bits(run_convolution(c, data, kernels, threads=3), expected)


@pytest.mark.parametrize("output", [np.float32, np.int8, np.int32])
@pytest.mark.parametrize("sign", [-1, 1])
def test_constants_that_a_file_fills(kernels, output, sign):
    c = Convolution(height=9, channels_in=64, channels_out=96, output=output, batch=2)
    data = random_data(c)
    data.filters[:] = sign
    for parameter in (data.multiplier, data.bias, data.threshold):
        parameter[:] = parameter[0]
    file = convolution_file(c, data, fills=True)
    for fuse in (False, True):
        interpreter = Interpreter(file, kernels=kernels, fuse=fuse)
        for _ in range(2):
            same_bits(
                interpreter.predict(pack(data.inputs < 0), batch_size=2), convolve(c, data)
            )


# A byte-wise sum of counts overflows after 31 words of ones: all bits of a deep window differ.
# The patch of the last one is larger than the cache.
@pytest.mark.parametrize("depth", [30, 31, 32, 33, 62, 63, 93, 94, 200, 8193])
def test_no_count_overflows(kernels, depth):
    c = Convolution(height=1, width=5, channels_in=32 * depth, channels_out=82, window=(1, 1))
    data = random_data(c)
    data.inputs[:] = 1
    data.filters[:] = -1
    same_bits(run_convolution(c, data, kernels), convolve(c, data))


# Words that are counted in pairs are filled up with zeros if they are odd; 48 channels are two
# blocks and one alone. Counts of all and of no bits are among them.
@pytest.mark.parametrize("pixels", range(1, 8))
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, 9, 16, 17])
def test_pairs_of_odd_and_even_depth(kernels, pixels, depth):
    c = Convolution(
        height=1, width=pixels, channels_in=32 * depth, channels_out=48, window=(1, 1)
    )
    data = random_data(c)
    data.inputs[..., -1, :] = 1
    data.filters[0] = -1
    data.filters[-1] = 1
    same_bits(run_convolution(c, data, kernels), convolve(c, data))


@pytest.mark.parametrize("output", [np.float32, np.int8, np.int32])
@pytest.mark.parametrize("channels_out", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130])
def test_every_width_of_a_tile(kernels, output, channels_out):
    c = Convolution(height=3, width=5, channels_out=channels_out, output=output, pad_values=0)
    data = random_data(c)
    same_bits(run_convolution(c, data, kernels), convolve(c, data))


def test_a_group_may_end_within_an_output_word(kernels):
    c = Convolution(channels_in=96, channels_out=3 * 19, groups=3, output=np.int32)
    data = random_data(c)
    same_bits(run_convolution(c, data, kernels), convolve(c, data))


def test_int8_rounds_halves_away_from_zero(kernels):
    # Every sum from -160 to 160 in steps of 2, times a quarter: all ties, and saturation.
    c = Convolution(
        height=1, width=161, channels_in=160, channels_out=3, window=(1, 1), output=np.int8
    )
    data = random_data(c)
    ones = np.arange(161)[:, None] > np.arange(160)
    quarter = np.full(3, 0.25, np.float32)
    data = replace(
        data,
        inputs=np.where(ones, 1, -1)[None, None],
        filters=np.ones((3, 1, 1, 160), np.int32),
        multiplier=quarter,
        bias=np.array([0, 0.5, 110], np.float32),
        scale=1.0,
        zero_point=0,
    )
    got = run_convolution(c, data, kernels)
    same_bits(got, convolve(c, data))
    same_bits(got, run_convolution(c, data, "reference"))
    assert got[0, 0, 81, 0] == 1  # (2 * 81 - 160) / 4 = 0.5
    assert got[0, 0, 79, 0] == -1
    assert got[0, 0, 160, 2] == 127


@pytest.mark.slow
@pytest.mark.parametrize("output", [np.float32, np.int8, np.int32])
@pytest.mark.parametrize("activation", [NONE, RELU, RELU_N1_TO_1, RELU6])
@pytest.mark.parametrize(("padding", "pad_values"), [(SAME, 0), (SAME, 1), (VALID, 1)])
def test_grid(kernels, output, activation, padding, pad_values):
    axes = itertools.product(
        [1, 3, 4], [1, 2], [1, 2], [1, 31, 32, 33, 64, 100, 256], [1, 32, 65]
    )
    for window, stride, dilation, channels_in, channels_out in axes:
        c = Convolution(
            batch=2, height=9, width=7, channels_in=channels_in, channels_out=channels_out,
            window=(window, min(window, 3)), strides=(stride, 1), dilations=(dilation, 1),
            padding=padding, pad_values=pad_values, activation=activation, output=output,
        )  # fmt: skip
        data = random_data(c)
        expected = convolve(c, data)
        for threads in (1, 2):
            same_bits(run_convolution(c, data, kernels, threads), expected)
