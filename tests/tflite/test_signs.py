import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.tflite.signs import pack_signs, unpack_signs


@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_unpacking_is_the_inverse_of_packing(channels, seed):
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (2, 3, channels)).astype("f")
    packed = pack_signs(signs)
    assert packed.shape == (2, 3, -(-channels // 32))
    np.testing.assert_array_equal(unpack_signs(packed, channels), signs)


def test_channel_c_is_bit_c_mod_32_of_word_c_div_32_and_zero_is_plus_one():
    values = np.zeros((1, 40))
    values[0, [1, 31, 33]] = -1
    assert pack_signs(values).tolist() == [[2 - 2**31, 2]]


def test_the_unused_bits_are_0():
    assert pack_signs(np.full((1, 3), -1.0)).tolist() == [[0b111]]
