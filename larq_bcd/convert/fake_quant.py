"""The grid of values that a fake quantization leaves, in training and in a file of int8."""

from dataclasses import dataclass

import numpy as np

# With the range as operands, or as attributes.
WITH_VARIABLES, WITH_ATTRIBUTES = "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"


@dataclass(frozen=True)
class Grid:
    """The values `scale * n`, for integers n from `low` to `high`."""

    scale: float
    low: int
    high: int

    @classmethod
    def between(cls, least: float, largest: float, bits: int, narrow: bool) -> "Grid":
        """The grid of TensorFlow's fake quantization, which moves the range to hold 0.

        Args:
            least, largest: what the range is asked to be.
            bits: of the integers.
            narrow: whether the lowest integer is left out.
        """
        # In float32 and without signs, as TensorFlow does it, whose ties these are.
        first, last = int(narrow), 2**bits - 1
        scale = (np.float32(largest) - np.float32(least)) / np.float32(last - first)
        zero = np.clip(np.float32(first) - np.float32(least) / scale, first, last)
        nudged = int(np.floor(zero + np.float32(0.5)))
        return cls(float(scale), first - nudged, last - nudged)

    @property
    def step(self) -> float:
        """The scale, equal for grids that differ by rounding alone."""
        return float(f"{self.scale:.4g}")

    def within(self, other: "Grid") -> "Grid":
        """The values that are in another grid of the same scale too.

        The converter rounds zero points in double precision, so that its grid may begin and
        end one step from TensorFlow's.
        """
        return Grid(self.scale, max(self.low, other.low), min(self.high, other.high))

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The nearest values of the grid, in float32."""
        steps = np.floor(values.astype(np.float64) / self.scale + 0.5)
        return (np.clip(steps, self.low, self.high) * self.scale).astype(np.float32)
