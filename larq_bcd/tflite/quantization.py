"""How the integers of a tensor stand for real values: scale * (value - zero point)."""

from typing import Any

import numpy as np

from larq_bcd.tflite.schema import schema


def quantization(scales: np.ndarray, zero_point: int = 0) -> Any:
    """The schema's object.

    Args:
        scales: float32 of shape (1,), or one for each index of the first axis.
        zero_point: the integer that stands for 0.
    """
    packed = schema.QuantizationParametersT()
    packed.scale = scales
    packed.zeroPoint = np.full(len(scales), zero_point, np.int64)
    return packed


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
