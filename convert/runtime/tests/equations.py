"""The operators in NumPy, from the equations, on unpacked values."""

from dataclasses import dataclass

import numpy as np

SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)
CLAMPS = {NONE: (-np.inf, np.inf), RELU: (0, np.inf), RELU_N1_TO_1: (-1, 1), RELU6: (0, 6)}


def pack(negative: np.ndarray) -> np.ndarray:
    """Packs booleans along the last axis into int32 words, the first channel lowest."""
    channels = negative.shape[-1]
    words = -(-channels // 32)
    padded = np.zeros((*negative.shape[:-1], words * 32), np.uint64)
    padded[..., :channels] = negative
    shifted = padded.reshape(*negative.shape[:-1], words, 32) << np.arange(32, dtype=np.uint64)
    return shifted.sum(-1).astype(np.uint32).view(np.int32)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """Returns the values, +1 and -1, of packed words."""
    bits = words.view(np.uint32)[..., None] >> np.arange(32, dtype=np.uint32) & 1
    return 1 - 2 * bits.reshape(*words.shape[:-1], -1)[..., :channels].astype(np.int32)


@dataclass(frozen=True)
class Convolution:
    """A binary convolution and the shape of its input."""

    batch: int = 1
    height: int = 8
    width: int = 8
    channels_in: int = 32
    channels_out: int = 32
    window: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    padding: int = SAME
    pad_values: int = 1
    activation: int = NONE
    output: type = np.float32
    seed: int = 0

    @property
    def options(self) -> dict[str, int]:
        """The operator's options, as the converter names them."""
        return {
            "channels_in": self.channels_in,
            "dilation_height_factor": self.dilations[0],
            "dilation_width_factor": self.dilations[1],
            "fused_activation_function": self.activation,
            "pad_values": self.pad_values,
            "padding": self.padding,
            "stride_height": self.strides[0],
            "stride_width": self.strides[1],
        }


@dataclass(frozen=True)
class Data:
    """Random values for a convolution: +-1 as int32, scales as float32."""

    inputs: np.ndarray  # N, H, W, C
    filters: np.ndarray  # O, H, W, C of one group
    multiplier: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray
    scale: float
    zero_point: int


def random_data(c: Convolution) -> Data:
    """Draws the values of a convolution from its seed."""
    rng = np.random.default_rng(c.seed)
    group_channels = c.channels_in // c.groups
    bits = c.window[0] * c.window[1] * group_channels
    return Data(
        inputs=rng.choice([-1, 1], (c.batch, c.height, c.width, c.channels_in)),
        filters=rng.choice([-1, 1], (c.channels_out, *c.window, group_channels)),
        multiplier=rng.normal(size=c.channels_out).astype(np.float32),
        bias=(rng.normal(size=c.channels_out) * np.sqrt(bits)).astype(np.float32),
        threshold=rng.integers(-2, bits + 2, c.channels_out, dtype=np.int32),
        scale=float(np.float32(rng.uniform(0.01, 0.2) * np.sqrt(bits))),
        zero_point=int(rng.integers(-128, 128)),
    )


def axis_layout(size: int, window: int, stride: int, dilation: int, padding: int):
    """Returns the size of the output and the padding before, as TensorFlow defines them."""
    reach = (window - 1) * dilation + 1
    if padding == VALID:
        return (size - reach) // stride + 1, 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + reach - size) // 2


def correlate(c: Convolution, inputs: np.ndarray, filters: np.ndarray, outside: int):
    """Returns the convolution as exact integers; `outside` is the value of the padding."""
    out_h, top = axis_layout(c.height, c.window[0], c.strides[0], c.dilations[0], c.padding)
    out_w, left = axis_layout(c.width, c.window[1], c.strides[1], c.dilations[1], c.padding)
    reach_h = (out_h - 1) * c.strides[0] + (c.window[0] - 1) * c.dilations[0] + 1
    reach_w = (out_w - 1) * c.strides[1] + (c.window[1] - 1) * c.dilations[1] + 1
    padded = np.full((c.batch, max(reach_h, top + c.height), max(reach_w, left + c.width),
                      c.channels_in), outside, np.int64)  # fmt: skip
    padded[:, top : top + c.height, left : left + c.width] = inputs
    total = np.zeros((c.batch, out_h, out_w, c.channels_out), np.int64)
    group_in, group_out = c.channels_in // c.groups, c.channels_out // c.groups
    for i in range(c.window[0]):
        for j in range(c.window[1]):
            y, x = i * c.dilations[0], j * c.dilations[1]
            tap = padded[:, y : y + (out_h - 1) * c.strides[0] + 1 : c.strides[0],
                         x : x + (out_w - 1) * c.strides[1] + 1 : c.strides[1]]  # fmt: skip
            for g in range(c.groups):
                outputs = slice(g * group_out, (g + 1) * group_out)
                total[..., outputs] += np.einsum(
                    "nhwc,oc->nhwo",
                    tap[..., g * group_in : (g + 1) * group_in],
                    filters[outputs, i, j],
                )
    return total


def round_to_int8(values: np.ndarray) -> np.ndarray:
    """Rounds halves away from zero, and saturates."""
    wide = np.clip(values.astype(np.float64), -200, 200)
    return np.clip(np.trunc(wide + np.copysign(0.5, wide)), -128, 127).astype(np.int8)


def mean(images: np.ndarray) -> np.ndarray:
    """Returns what MEAN gives over height and width: sums of twelve pixels, then of these."""

    def total(rows: np.ndarray) -> np.ndarray:
        result = np.zeros_like(rows[:, 0])
        for i in range(rows.shape[1]):
            result += rows[:, i]
        return result

    pixels = images.reshape(len(images), -1, images.shape[3])
    sums = [total(pixels[:, i : i + 12]) for i in range(0, pixels.shape[1], 12)]
    return total(np.stack(sums, axis=1)) / np.float32(pixels.shape[1])


def fused_multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Returns a * b + c of float32 arrays, rounded once.

    The product is exact in double, and the sum is rounded to odd there: a last bit that is 1
    wherever the sum is not exact keeps the second rounding from meeting a tie that is none.
    """
    product, addend = a.astype(np.float64) * b, c.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    is_even = total.view(np.int64) & 1 == 0
    towards = np.copysign(np.inf, error)
    odd = np.where((error != 0) & is_even, np.nextafter(total, towards), total)
    return odd.astype(np.float32)


def fully_connected(x, weights, bias=None, activation: int = NONE) -> np.ndarray:
    """Returns what FULLY_CONNECTED gives, in the order of LiteRT's XNNPACK."""
    total = np.zeros((len(x), len(weights)), np.float32)
    total += 0 if bias is None else bias
    for k in range(x.shape[1]):
        total = fused_multiply_add(x[:, k, None], weights[None, :, k], total)
    return np.clip(total, *(np.float32(bound) for bound in CLAMPS[activation]))


def convolve_image(
    images, filters, bias=None, strides=(1, 1), padding=SAME, activation=NONE
) -> np.ndarray:
    """Returns what CONV_2D of floats gives, in the order of LiteRT's XNNPACK."""
    (samples, *size, channels), (channels_out, *window, _) = images.shape, filters.shape
    layouts = [axis_layout(*axis, 1, padding) for axis in zip(size, window, strides)]
    reach = [(out - 1) * stride + extent for (out, _), stride, extent in
             zip(layouts, strides, window)]  # fmt: skip
    before = [pad for _, pad in layouts]
    after = [max(0, r - pad - s) for r, pad, s in zip(reach, before, size)]
    padded = np.pad(images, [(0, 0), *zip(before, after), (0, 0)])
    total = np.zeros((samples, layouts[0][0], layouts[1][0], channels_out), np.float32)
    total += 0 if bias is None else bias
    for i, j, k in np.ndindex(*window, channels):
        rows = slice(i, i + reach[0] - window[0] + 1, strides[0])
        columns = slice(j, j + reach[1] - window[1] + 1, strides[1])
        total = fused_multiply_add(
            padded[:, rows, columns, k, None], filters[:, i, j, k], total
        )
    return np.clip(total, *(np.float32(bound) for bound in CLAMPS[activation]))


def convolve(c: Convolution, data: Data) -> np.ndarray:
    """Returns what LceBconv2d gives, in the order of rounding that LCE defines."""
    bits = c.window[0] * c.window[1] * c.channels_in // c.groups
    zero_border = c.padding == SAME and c.pad_values == 0
    right = correlate(c, data.inputs, data.filters, outside=0 if zero_border else 1)
    if c.output is np.int32:
        # bit = count > threshold, where right = bits - 2 count.
        return pack(bits - right > 2 * data.threshold.astype(np.int64))
    scale, zero_point = (data.scale, data.zero_point) if c.output is np.int8 else (1.0, 0)
    m, b = data.multiplier.astype(np.float64), data.bias.astype(np.float64)
    multiplier = (-m / scale).astype(np.float32)
    bias = ((b + bits * m) / scale + zero_point).astype(np.float32)
    corrects_after = zero_border and c.output is np.float32 and c.activation == NONE
    padded = correlate(c, data.inputs, data.filters, outside=1)
    low, high = CLAMPS[c.activation]
    clamped = np.clip(padded if corrects_after else right, low, high)
    y = (bits - clamped).astype(np.float32) * multiplier + bias
    if corrects_after:
        y = y + -data.multiplier * (padded - right).astype(np.float32)
    return round_to_int8(y) if c.output is np.int8 else y
