"""One-operator files, and how the tests run them."""

import numpy as np
from equations import Convolution, Data, axis_layout, pack
from flatfile import FlatFile

from larq_bcd_runtime import Interpreter


def convolution_file(
    c: Convolution, data: Data, quantize: bool = False, fills: bool = False, **changes
) -> bytes:
    """Writes a file with one LceBconv2d.

    Args:
        c: the convolution.
        data: its constants.
        quantize: begin with an LceQuantize, which LCE's interpreter needs: it takes no words.
        fills: write the constants as FILLs of their first value.
        changes: options to change or to add, or to leave out if None.
    """
    file = FlatFile()

    def constant(array: np.ndarray) -> int:
        return file.filled(array.shape, array.ravel()[0]) if fills else file.constant(array)

    words = (c.batch, c.height, c.width, -(-c.channels_in // 32))
    if quantize:
        entry = file.tensor((*words[:3], c.channels_in))
        packed = file.tensor(words, np.int32)
        file.custom("LceQuantize", [entry], [packed])
    else:
        entry = packed = file.tensor(words, np.int32)
    constants = [-1, -1, -1]
    if c.output is np.int32:
        constants[2] = constant(data.threshold)
    else:
        constants[:2] = [constant(data.multiplier), constant(data.bias)]
    filters = constant(pack(data.filters < 0).view(np.int32))
    out_h, _ = axis_layout(c.height, c.window[0], c.strides[0], c.dilations[0], c.padding)
    out_w, _ = axis_layout(c.width, c.window[1], c.strides[1], c.dilations[1], c.padding)
    channels = -(-c.channels_out // 32) if c.output is np.int32 else c.channels_out
    scale = data.scale if c.output is np.int8 else None
    shape = (c.batch, out_h, out_w, channels)
    result = file.tensor(shape, c.output, scale=scale, zero_point=data.zero_point)
    options = {**c.options, **changes}
    options = {key: value for key, value in options.items() if value is not None}
    file.custom("LceBconv2d", [packed, filters, *constants], [result], options)
    return file.build([entry], [result])


def run_convolution(c: Convolution, data: Data, kernels: str, threads: int = 1) -> np.ndarray:
    """Runs a convolution on packed inputs."""
    interpreter = Interpreter(convolution_file(c, data), num_threads=threads, kernels=kernels)
    return interpreter.predict(pack(data.inputs < 0), batch_size=c.batch)


def same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Asserts equality of shape, dtype and every bit."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    integers = f"i{actual.dtype.itemsize}"
    np.testing.assert_array_equal(actual.view(integers), expected.view(integers))
