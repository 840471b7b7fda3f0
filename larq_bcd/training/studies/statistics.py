"""Means of a few trainings, and how sure they are."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: of the values.
        margin: half of the width of the interval; None if one value is all there is.
        count: number of the values.
    """

    mean: float
    margin: float | None
    count: int

    @property
    def low(self) -> float | None:
        """Lower end."""
        return None if self.margin is None else self.mean - self.margin

    @property
    def high(self) -> float | None:
        """Upper end."""
        return None if self.margin is None else self.mean + self.margin


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Returns the mean and its 95 % interval by Student's t; None without any value."""
    if not values:
        return None
    mean, count = statistics.fmean(values), len(values)
    if count == 1:
        return Interval(mean, None, 1)
    error = statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, t_quantile(count - 1) * error, count)


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float]
) -> Interval | None:
    """Returns the mean of `first - second` over the seeds that both have, and its interval."""
    seeds = [seed for seed in first if seed in second]
    return mean_interval([first[seed] - second[seed] for seed in seeds])


def t_quantile(degrees: int) -> float:
    """Returns the value that |t| exceeds with a probability of 5 %.

    Args:
        degrees: of freedom, at least 1.
    """
    low, high = 0.0, 13.0  # it is 12.7 at one degree, and falls
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, degrees) < LEVEL else (low, middle)
    return high


def _central(t: float, degrees: int) -> float:
    """The probability that |t| is not exceeded.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.sin(angle) * math.cos(angle) ** odd
    total = 0.0
    for k in range(1, degrees // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * k - 1 + odd) / (2 * k + odd)
    return 2 / math.pi * (angle + total) if odd else total
