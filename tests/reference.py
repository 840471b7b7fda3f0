"""The papers' equations in NumPy, by index arithmetic, in float64."""

import numpy as np


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def scaled_sign(kernel):
    """alpha_o * sign(W_o), alpha_o the mean magnitude (BCDNet, equation 1)."""
    return sign(kernel) * np.abs(kernel).mean(axis=tuple(range(kernel.ndim - 1)))


def conv2d(x, kernel, stride=1, margins=(0, 0), pad_value=0.0, dilation=1):
    """NHWC correlation with HWIO kernel, `margins` rows and columns added on every side."""
    n, height, width, _ = x.shape
    kh, kw, _, filters = kernel.shape
    mh, mw = margins
    padded = np.full((n, height + 2 * mh, width + 2 * mw, x.shape[3]), pad_value, np.float64)
    padded[:, mh : mh + height, mw : mw + width] = x
    rows = (padded.shape[1] - dilation * (kh - 1) - 1) // stride + 1
    columns = (padded.shape[2] - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((n, rows, columns, filters))
    for i in range(rows):
        for j in range(columns):
            for a in range(kh):
                for b in range(kw):
                    pixel = padded[:, i * stride + a * dilation, j * stride + b * dilation]
                    out[:, i, j] += pixel @ kernel[a, b]
    return out


def shift(x, distance):
    """Circular shift of four channel groups: +H, -H, +W, -W (BCDNet, equations 11 to 13)."""
    _, height, width, channels = x.shape
    rows = height // 2 if distance == "half" else distance
    columns = width // 2 if distance == "half" else distance
    out = np.empty_like(x)
    for c in range(channels):
        group = 4 * c // channels
        for i in range(height):
            for j in range(width):
                source = [
                    ((i - rows) % height, j),
                    ((i + rows) % height, j),
                    (i, (j - columns) % width),
                    (i, (j + columns) % width),
                ][group]
                out[:, i, j, c] = x[:, source[0], source[1], c]
    return out


def shift_mlp(x, kernels, ranges):
    """P(a) + S(shift_s(a)) + L(shift_l(a)), a = sign(x) (BCDNet, equation 15)."""
    signs = sign(x)
    pointwise, short_range, long_range = (scaled_sign(kernel) for kernel in kernels)
    return (
        conv2d(signs, pointwise)
        + conv2d(shift(signs, ranges[0]), short_range)
        + conv2d(shift(signs, ranges[1]), long_range)
    )


def rprelu(x, bias_before, slope, bias_after):
    """PReLU(x + b1) + b2 (ReActNet, equation 3)."""
    x = x + bias_before
    return np.where(x > 0, x, slope * x) + bias_after


def approx_sign_gradient(x):
    """Derivative of the piecewise polynomial (BCDNet, equation 9)."""
    return np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0.0)
