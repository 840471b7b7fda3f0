r"""The gradients of a 3x3 convolution with 16 multiplications for every 36.

Winograd's minimal filtering, \\(F(2 \times 2, 3 \times 3)\\), takes an image in tiles of 4x4
that overlap by two, and makes 2x2 positions of each of them:

\\[ y = A^T [(G k G^T) \odot (B^T x B)] A, \qquad
    dL/dk = G^T [(B^T x B) \odot (A \, dL/dy \, A^T)] G \\]

The second is the transpose of the first. Summed over channels or tiles, each of the 16
positions of \\(\odot\\) is one matrix product.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (arXiv 1509.09308).
"""

import tensorflow as tf

from larq_bcd._fused import fused

# Below, transforming takes as long as the multiplications that it saves (measured on AVX-512).
_CHANNELS = 128


def suits(x: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Whether it is the faster way, for stride 1 and one row and column of zeros around."""
    height, width, channels = x.shape[1:]
    return (
        tuple(kernel.shape[:2]) == (3, 3)
        and height % 2 == width % 2 == 0
        and min(channels, kernel.shape[-1]) >= _CHANNELS
        and x.dtype == tf.float32
    )


def input_gradient(kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Returns dL/dx, which is dL/dy convolved with the kernel turned by half a turn."""
    height, width = upstream.shape[1:3]
    positions = [
        tf.matmul(tile, weights, transpose_b=True)
        for tile, weights in zip(
            _transformed_image(upstream), _transformed_kernel(kernel), strict=True
        )
    ]
    return _image(positions, height // 2, width // 2)


def kernel_gradient(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Returns dL/dk; `x` may be of integers."""
    pairs = zip(_transformed_image(x), _transformed_upstream(upstream), strict=True)
    return _kernel([tf.matmul(tile, of, transpose_a=True) for tile, of in pairs])


def _of_rows_and_columns(matrix, grid):
    """M x M^T of a matrix M and a grid x of tensors."""
    columns = [matrix(column) for column in zip(*grid, strict=True)]
    return [matrix(row) for row in zip(*columns, strict=True)]


def _b_transposed(x):
    return x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]


def _g(k):
    return k[0], (k[0] + k[1] + k[2]) / 2, (k[0] - k[1] + k[2]) / 2, k[2]


def _g_transposed(m):
    return m[0] + (m[1] + m[2]) / 2, (m[1] - m[2]) / 2, (m[1] + m[2]) / 2 + m[3]


def _a(y):
    return y[0], y[0] + y[1], y[0] - y[1], -y[1]


def _a_transposed(m):
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def _tiles(x, size):
    """The pixels of the tiles, by their position in it."""
    rows, columns = (length - size + 2 for length in x.shape[1:3])
    return [
        [x[:, i : i + rows : 2, j : j + columns : 2] for j in range(size)] for i in range(size)
    ]


def _matrices(grid):
    return [tf.reshape(position, (-1, position.shape[-1])) for row in grid for position in row]


@fused
def _transformed_image(x):
    x = tf.pad(tf.cast(x, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]])
    return _matrices(_of_rows_and_columns(_b_transposed, _tiles(x, 4)))


@fused
def _transformed_upstream(upstream):
    return _matrices(_of_rows_and_columns(_a, _tiles(upstream, 2)))


@fused
def _transformed_kernel(kernel):
    turned = [[kernel[2 - i, 2 - j] for j in range(3)] for i in range(3)]
    return _matrices(_of_rows_and_columns(_g, turned))


@fused
def _image(positions, rows, columns):
    shape = (-1, rows, columns, positions[0].shape[-1])
    positions = [tf.reshape(position, shape) for position in positions]
    pixels = _of_rows_and_columns(_a_transposed, _four_by_four(positions))
    image = tf.stack([tf.stack(row, 3) for row in pixels], 2)
    return tf.reshape(image, (-1, 2 * rows, 2 * columns, shape[-1]))


@fused
def _kernel(positions):
    kernel = _of_rows_and_columns(_g_transposed, _four_by_four(positions))
    return tf.stack([tf.stack(row) for row in kernel])


def _four_by_four(positions):
    return [positions[i : i + 4] for i in range(0, 16, 4)]
