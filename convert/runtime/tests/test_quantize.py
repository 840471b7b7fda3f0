"""LceQuantize and LceDequantize against their definition."""

import numpy as np
from equations import pack, unpack
from files import same_bits
from flatfile import FlatFile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from larq_bcd_runtime import Interpreter

shapes = nps.array_shapes(min_dims=1, max_dims=6, min_side=1, max_side=70).filter(
    lambda shape: np.prod(shape) < 4000
)


def quantizer(shape, dtype, zero_point=0) -> bytes:
    file = FlatFile()
    scale = 0.5 if dtype is np.int8 else None
    entry = file.tensor(shape, dtype, scale=scale, zero_point=zero_point)
    result = file.tensor((*shape[:-1], -(-shape[-1] // 32)), np.int32)
    file.custom("LceQuantize", [entry], [result])
    return file.build([entry], [result])


@given(data=st.data(), shape=shapes)
def test_a_bit_is_the_sign_of_a_float(kernels, data, shape):
    # All floats: infinities, NaN, both zeros and denormal numbers.
    values = data.draw(nps.arrays(np.float32, shape, elements=st.floats(width=32)))
    interpreter = Interpreter(quantizer(shape, np.float32), kernels=kernels)
    same_bits(interpreter.predict(values, batch_size=len(values)), pack(values < 0))


@given(data=st.data(), shape=shapes, zero_point=st.integers(-128, 127))
def test_an_int8_is_compared_with_its_zero_point(kernels, data, shape, zero_point):
    values = data.draw(nps.arrays(np.int8, shape))
    interpreter = Interpreter(quantizer(shape, np.int8, zero_point), kernels=kernels)
    same_bits(interpreter.predict(values, batch_size=len(values)), pack(values < zero_point))


@given(shape=shapes, seed=st.integers(0, 1000))
def test_dequantize_unpacks_what_quantize_packs(shape, seed):
    signs = np.random.default_rng(seed).choice([-1, 1], shape)
    words = pack(signs < 0)
    file = FlatFile()
    entry, result = file.tensor(words.shape, np.int32), file.tensor(shape)
    file.custom("LceDequantize", [entry], [result])
    got = Interpreter(file.build([entry], [result])).predict(words, batch_size=len(words))
    same_bits(got, signs.astype(np.float32))
    np.testing.assert_array_equal(unpack(words, shape[-1]), signs)
