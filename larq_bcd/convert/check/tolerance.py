"""What rounding explains, measured by perturbation.

Rounding is a small relative change of the operands (backward error analysis). So the Keras
graph runs an input again with the input, the parameters and the signs changed by one unit of
float32 at random, and the tolerance of a value is a multiple of what that changes it by: it
amounts to some 3e-5 of the operands.

How much rounding changes a value depends on the input, after a softmax most of all. It is
measured on the first input, and on any other whose values differ by more than that explains.
"""

from collections.abc import Sequence

import numpy as np

from larq_bcd.convert.check.forced import ForcedGraph
from larq_bcd.convert.check.score import distance

# Two float32 sums of n terms differ by about sqrt(n) units: n is 50,000 and more in the mean
# of a feature map and in the scale of a kernel.
_MARGIN = 256
# Two ways to round the same weights at random.
_MARGIN_OF_STEPS = 4
_TOGETHER = (False, True, True)  # one run of the graph for each
# A step that the flatbuffer cannot show may flip in a run: that is not rounding.
_LARGEST_WITH_STEPS = 1e-2
_UNIT = float(np.finfo(np.float32).eps)
# The result of an operation itself is rounded, and a function such as exp approximated: by
# units of the largest value of a channel, and of a whole output.
_OF_CHANNEL, _OF_WHOLE = 8 * _UNIT, 64 * _UNIT


class Rounding:
    """Tolerances of the values that a graph computes.

    Args:
        keras: the graph.
        units: for each sign that the graph is given, by how many units of float32 it may err
            in the same direction.
        outputs: how many of the graph's values, the first ones, are outputs. A tolerance of
            theirs has a floor from the scale of the whole, as a class has whose probability
            is 1e-10. So has that of a vector; a channel of a feature map has its own scale.
        is_continuous: whether every step of the graph is given from outside.
        factor: multiplies all tolerances.
        steps: of the graph's parameters, the first ones, between the values that the file can
            have of them.
        errors: what else explains a difference of each of the graph's values.
    """

    def __init__(
        self,
        keras: ForcedGraph,
        units: Sequence[float],
        outputs: int,
        is_continuous: bool = True,
        factor: float = 1.0,
        steps: Sequence[np.ndarray] = (),
        errors: Sequence[float] | None = None,
    ):
        self._keras = keras
        self._units = units
        self._outputs = outputs
        self._largest = None if is_continuous else _LARGEST_WITH_STEPS
        self._factor = factor
        self._rng = np.random.default_rng(0)
        self._parameters = [
            [_jittered(value, self._rng, together) for value in keras.parameters]
            for together in _TOGETHER
        ]
        self._rounded = (
            [_rounded(keras.parameters, steps, self._rng) for _ in _TOGETHER] if steps else []
        )
        self._errors = errors
        self._changes: list[np.ndarray] = []
        self._changes_of_steps: list[np.ndarray] = []
        self._sizes: list[float] = []

    def measure(
        self, x: Sequence[np.ndarray], signs: Sequence[np.ndarray], values: Sequence[np.ndarray]
    ) -> list[list[np.ndarray]]:
        """Learns how much rounding changes the values of an input.

        Args:
            x: one array for each input of the graph.
            signs: the signs that the graph is given.
            values: what it makes of them.

        Returns:
            The values of each run with changed operands.
        """
        probes = [
            self._keras.run(
                [_jittered(array, self._rng, together) for array in x],
                [
                    _jittered(sign, self._rng, together, units if together else 1.0)
                    for sign, units in zip(signs, self._units, strict=True)
                ],
                parameters,
            )
            for together, parameters in zip(_TOGETHER, self._parameters, strict=True)
        ]
        self._measure_steps(x, signs, values)
        changes, sizes = [], []
        for index, value in enumerate(values):
            differences = [_finite(distance(probe[index], value)) for probe in probes]
            change = np.max([_channel_max(d) for d in differences], axis=0)
            size = _whole(value)
            if self._changes:
                change = np.maximum(change, self._changes[index])
                size = max(size, self._sizes[index])
            changes.append(change)
            sizes.append(size)
        self._changes, self._sizes = changes, sizes
        return probes

    def difference_from_itself(self, x: Sequence[np.ndarray]) -> float:
        """By how much the outputs of Keras on its own differ where rounding changes operands.

        Where a sign falls otherwise, that is what follows from it, and may be much.

        Args:
            x: one array for each input of the graph.
        """
        ours = self._keras.outputs(x)
        largest = 0.0
        for together, parameters in zip(_TOGETHER, self._parameters, strict=True):
            changed = [_jittered(array, self._rng, together) for array in x]
            for a, b in zip(
                self._keras.rounded_outputs(changed, parameters), ours, strict=True
            ):
                largest = max(largest, _whole(distance(a, b)))
        return largest

    def _measure_steps(
        self,
        x: Sequence[np.ndarray],
        signs: Sequence[np.ndarray],
        values: Sequence[np.ndarray],
    ) -> None:
        runs = [self._keras.run(x, signs, parameters) for parameters in self._rounded]
        if not runs:
            return
        found = [
            np.max([_channel_max(_finite(distance(run[n], value))) for run in runs], axis=0)
            for n, value in enumerate(values)
        ]
        before = self._changes_of_steps or found
        self._changes_of_steps = [np.maximum(a, b) for a, b in zip(before, found, strict=True)]

    def tolerances(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What rounding explains for each channel of values; all of it is finite."""
        return [self._tolerance(index, value) for index, value in enumerate(values)]

    def _tolerance(self, index: int, value: np.ndarray) -> np.ndarray:
        whole, measured = _whole(value), self._sizes[index]
        change = self._changes[index]
        if measured:
            change = change * max(1.0, whole / measured)
        size: float | np.ndarray = max(whole, measured)
        floor = _OF_WHOLE
        if index >= self._outputs and value.ndim > 2:
            size = _channel_max(_finite(np.abs(value)))
            floor = _OF_CHANNEL
        explained = _MARGIN * change
        if self._largest is not None:
            explained = np.minimum(explained, self._largest * size)
        tolerance = explained + floor * size
        if self._changes_of_steps:
            tolerance = tolerance + _MARGIN_OF_STEPS * self._changes_of_steps[index]
        if self._errors is not None:
            tolerance = tolerance + self._errors[index]
        # Chance may have changed the few values of a channel by little. Nothing changes those
        # that an activation clips.
        moved = tolerance[change > 0] if np.any(change > 0) else tolerance
        return self._factor * np.maximum(tolerance, np.median(moved))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def _whole(value: np.ndarray) -> float:
    return float(_finite(np.abs(value)).max(initial=0.0))


def _channel_max(values: np.ndarray) -> np.ndarray:
    return values.max(axis=tuple(range(values.ndim - 1)), initial=0.0, keepdims=True)


def _rounded(
    parameters: Sequence[np.ndarray], steps: Sequence[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Parameters of which the first ones are changed as rounding to steps may change them."""
    changed = [
        (value + step * rng.uniform(-0.5, 0.5, value.shape)).astype(value.dtype)
        for value, step in zip(parameters, steps, strict=False)
    ]
    return [*changed, *parameters[len(steps) :]]


def _jittered(
    values: np.ndarray, rng: np.random.Generator, together: bool, units: float = 1.0
) -> np.ndarray:
    """Changes values by some units in the last place of 1, relative, up or down.

    Each at random, as rounding does on average, or all of a tensor together, as it does in
    a long sum of one sign.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return values
    shape = (1,) * values.ndim if together else values.shape
    unit = np.float32(units * _UNIT) * rng.choice(np.array([-1, 1], np.float32), shape)
    return (values * (1 + unit)).astype(values.dtype)
