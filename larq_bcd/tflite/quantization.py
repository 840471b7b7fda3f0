"""How the integers of a tensor stand for real values: scale * (value - zero point)."""

from typing import Any

import numpy as np

from larq_bcd.tflite.schema import schema


def quantization(scales: np.ndarray, zero_point: int = 0, axis: int = 0) -> Any:
    """The schema's object.

    Args:
        scales: float32 of shape (1,), or one for each index of an axis.
        zero_point: the integer that stands for 0.
        axis: to which several scales belong.
    """
    packed = schema.QuantizationParametersT()
    packed.scale = scales
    packed.zeroPoint = np.full(len(scales), zero_point, np.int64)
    packed.quantizedDimension = axis
    return packed
