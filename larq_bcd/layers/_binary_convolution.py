"""Convolutions of signs in a training step on a CPU, in 8-bit integers."""

import functools

import numpy as np
import tensorflow as tf

from larq_bcd._fused import compiled_by_xla, fused, traced_for_this_cpu
from larq_bcd.layers import _winograd

_Pads = tuple[tuple[int, int], ...]


def supported(inputs: tf.Tensor) -> bool:
    """Whether `binary_convolution` takes this input, where it is called."""
    static = inputs.shape[1:].is_fully_defined()
    return static and traced_for_this_cpu() and not compiled_by_xla()


def binary_convolution(
    signs: tf.Tensor,
    kernel: tf.Tensor,
    strides: tuple[int, int],
    pads: _Pads,
    pad_value: float,
) -> tf.Tensor:
    """Convolves signs with signs times one scale per filter.

    The sums are exact, because they are of integers, whichever way they are computed; the
    scale is multiplied in last. Backward both operands are real and in their own precision,
    and the matrices of a kernel that is 1x1 or strided are multiplied as such.

    Args:
        signs: `(batch, height, width, channels)`, of values 1, -1 or 0.
        kernel: `(kernel_height, kernel_width, channels, filters)`, where those of a filter
            have one magnitude.
        strides: of rows and columns.
        pads: rows before and after, columns before and after.
        pad_value: 0, 1 or -1.

    Returns:
        `(batch, new_height, new_width, filters)`, of the dtype of the input.
    """
    size = tuple(kernel.shape[:2])
    dense = size == strides == (1, 1) and not any(sum(pads, ()))
    same = (
        strides == (1, 1) and pad_value == 0 and pads == tuple((k // 2, k // 2) for k in size)
    )
    strided = {"strides": [1, *strides, 1], "padding": "SAME" if same else "VALID"}

    @tf.custom_gradient
    def convolved(signs, kernel):
        integers = tf.cast(signs, tf.int8)
        # XLA's concatenation is the faster one where a row is not consecutive in memory.
        patches = _patches if strides == (1, 1) else _fused_patches
        seen = integers if dense else patches(integers, size, strides, pads, pad_value)
        rows, columns = seen.shape[1:3]
        sums = _product(_matrix(seen), _matrix(_integers_of_kernel(kernel)))
        outputs = _scaled(sums, kernel[0, 0, 0])

        def gradient(upstream):
            if same and not dense and _winograd.suits(upstream, kernel):
                of_signs = _winograd.input_gradient(kernel, upstream)
                return of_signs, _winograd.kernel_gradient(integers, upstream)
            if same and not dense:
                of_signs = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(signs), filter=kernel, out_backprop=upstream, **strided
                )
                of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=tf.cast(integers, upstream.dtype),
                    filter_sizes=kernel.shape,
                    out_backprop=upstream,
                    **strided,
                )
                return of_signs, of_kernel
            if dense:
                of_signs = tf.matmul(_matrix(upstream), _matrix(kernel), transpose_b=True)
                of_signs = tf.reshape(of_signs, tf.shape(signs))
            else:
                margins = [[0, 0], *pads, [0, 0]]
                (top, _), (left, _) = pads
                height, width = signs.shape[1:3]
                of_padded = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(signs) + tf.reduce_sum(margins, 1),
                    filter=kernel,
                    out_backprop=upstream,
                    **strided,
                )
                of_signs = of_padded[:, top : top + height, left : left + width]
            of_kernel = tf.matmul(
                tf.cast(_matrix(seen), upstream.dtype), _matrix(upstream), transpose_a=True
            )
            return of_signs, tf.reshape(of_kernel, kernel.shape)

        shape = (tf.shape(signs)[0], rows, columns, kernel.shape[-1])
        return tf.reshape(outputs, shape), gradient

    return convolved(signs, kernel)


def _matrix(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, (-1, x.shape[-1]))


@fused
def _integers_of_kernel(kernel):
    return tf.cast(tf.sign(kernel), tf.int8)


@fused
def _scaled(sums, kernel_row):
    scale = tf.cast(tf.abs(kernel_row), tf.float32)
    return tf.cast(sums * scale, kernel_row.dtype)


def _patches(x, size, strides, pads, pad_value):
    """What the kernel sees at each position, `(batch, rows, columns, height * width * c)`."""
    x = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=tf.cast(pad_value, x.dtype))
    rows, columns = (
        (length - k) // stride * stride + 1
        for length, k, stride in zip(x.shape[1:3], size, strides, strict=True)
    )
    taps = [
        x[:, i : i + rows : strides[0], j : j + columns : strides[1]]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return tf.concat(taps, -1)


_fused_patches = fused(_patches)


def _product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The matrix product of integers of one byte, exact in float32."""
    if _has_integer_product():
        return _integer_product(x, kernel)
    return tf.matmul(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32))


@functools.cache
def _has_integer_product() -> bool:
    """Whether this TensorFlow has oneDNN's product of integers, and it is exact here."""
    rng = np.random.default_rng(0)
    x, kernel = (rng.integers(-1, 2, shape, np.int8) for shape in ((64, 300), (300, 32)))
    with tf.init_scope():
        try:
            product = tf.function(_integer_product)(tf.constant(x), tf.constant(kernel))
        except (tf.errors.OpError, ValueError, RuntimeError):
            return False
        return bool(np.all(product == x.astype(np.float32) @ kernel.astype(np.float32)))


def _integer_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    # TensorFlow's graph optimizer makes this operation of quantized graphs, and there is no
    # function for it. Unlike `tf.raw_ops.QuantizedConv2D` it takes a kernel that changes.
    value = tf.compat.v1.AttrValue
    attributes = {
        "Tdevice_inputs": value(list=_types(tf.qint8, tf.qint8, tf.float32)),
        "Thost_inputs": value(list=_types(*[tf.float32] * 4)),
        "Tdevice_outputs": value(list=_types(tf.float32)),
        "T1": value(type=tf.qint8.as_datatype_enum),
        "T2": value(type=tf.qint8.as_datatype_enum),
        "is_weight_const": value(b=False),
        "is_bias_const": value(b=False),
        "fused_ops": value(list=value.ListValue(s=[b"BiasAdd", b"Dequantize"])),
    }
    # These ranges make an integer the number that it is.
    ranges = [tf.constant(limit) for limit in (-127.0, 127.0, -127.0, 127.0)]
    matrices = [tf.bitcast(matrix, tf.qint8) for matrix in (x, kernel)]
    operation = tf.compat.v1.get_default_graph().create_op(
        "_QuantizedMatMul",
        [*matrices, tf.zeros(kernel.shape[-1:]), *ranges],
        [tf.float32],
        name="integer_product",
        attrs=attributes,
    )
    product = operation.outputs[0]
    product.set_shape((x.shape[0], kernel.shape[-1]))
    return product


def _types(*kinds: tf.DType):
    return tf.compat.v1.AttrValue.ListValue(type=[kind.as_datatype_enum for kind in kinds])
