"""How the integers of a tensor stand for real values: scale * (value - zero point)."""

from typing import Any

import numpy as np

from larq_bcd.tflite.schema import schema

_LARGEST_WEIGHT = 127
_LEAST, _STEPS = -128, 255  # of int8 activations


def quantization(scales: np.ndarray, zero_point: int = 0, axis: int = 0) -> Any:
    """The schema's object.

    Args:
        scales: float32 of shape (1,), or one for each index of an axis.
        zero_point: the integer that stands for 0.
        axis: the axis.
    """
    packed = schema.QuantizationParametersT()
    packed.scale = scales
    packed.zeroPoint = np.full(len(scales), zero_point, np.int64)
    packed.quantizedDimension = axis
    return packed


def quantization_of_range(least: float, largest: float) -> Any:
    """The schema's object of int8 values that reach from one real value to another.

    Args:
        least, largest: finite; the range is widened to hold 0, which an integer stands for.
    """
    least, largest = min(least, 0.0), max(largest, 0.0)
    scale = np.float32((largest - least) / _STEPS) or np.float32(1)
    return quantization(np.array([scale]), _LEAST - round(least / float(scale)))


def per_channel_int8(
    weights: np.ndarray, least_scales: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Rounds weights to int8 with one scale for each output channel.

    Args:
        weights: float of shape (outputs, inputs).
        least_scales: of shape (outputs,), no scale is less.

    Returns:
        int8 of the same shape in -127 to 127, and float32 scales of shape (outputs,):
        `weights` is `scales[:, None] * int8`, to half a scale.
    """
    largest = np.maximum(np.abs(weights).max(axis=1) / _LARGEST_WEIGHT, least_scales)
    scales = np.where(largest > 0, largest, 1.0).astype(np.float32)
    rounded = np.rint(weights.astype(np.float64) / scales[:, None])
    clipped = np.clip(rounded, -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    return clipped.astype(np.int8), scales


def scales_of(value: Any) -> np.ndarray:
    """The scales of the integers of a `graph.Value`: float64 of shape (1,) or (channels,)."""
    packed = value.quantization
    scales = () if packed is None or packed.scale is None else packed.scale
    return np.asarray(scales, np.float64)


def real_values(value: Any) -> np.ndarray | None:
    """What the values of a constant stand for; None for what is computed, or not quantized.

    Args:
        value: a `graph.Value` of float32, or of integers with scales.
    """
    stored, scales = value.constant, scales_of(value)
    if stored is None or stored.dtype == np.float32:
        return stored
    return dequantized(stored, value.quantization) if scales.size else None


def dequantized(stored: np.ndarray, packed: Any) -> np.ndarray:
    """What integers stand for, in float64.

    Args:
        stored: the integers.
        packed: the schema's object, with one scale or one for each index of its axis.
    """
    scales, zeros = np.asarray(packed.scale, np.float64), np.asarray(packed.zeroPoint)
    shape = [1] * stored.ndim
    if scales.size > 1:
        shape[packed.quantizedDimension] = scales.size
    return (stored.astype(np.int64) - zeros.reshape(shape)) * scales.reshape(shape)
