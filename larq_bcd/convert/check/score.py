"""The score: two arrays, what rounding explains, and how far they are apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larq_bcd._binary import ORDERS
from larq_bcd.convert.errors import CheckError
from larq_bcd.convert.fake_quant import Grid

STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Sign": np.sign,
    "Round": np.rint,
    "Rint": np.rint,
    "Floor": np.floor,
    # Of the difference of what is compared.
    "Greater": lambda difference: difference > 0,
    "GreaterEqual": lambda difference: difference >= 0,
    "Less": lambda difference: difference < 0,
    "LessEqual": lambda difference: difference <= 0,
}


@dataclass
class OutputDifferences:
    """How the outputs of two programs differ on the same inputs.

    Attributes:
        inputs: the number of inputs.
        max_difference, mean_difference: of the outputs.
        output_range: the largest absolute value of the first program's.
        same_arg_max: on how many inputs the largest output is the same one.
    """

    inputs: int
    max_difference: float = 0.0
    mean_difference: float = 0.0
    output_range: float = 0.0
    same_arg_max: int = 0

    def add(self, first: list[np.ndarray], second: list[np.ndarray]) -> None:
        """Adds the outputs of both for one input."""
        pairs = list(zip(first, second, strict=True))
        distances = [distance(a, b) for a, b in pairs]
        largest = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in first]
        self.max_difference = max(
            self.max_difference, *(float(d.max(initial=0)) for d in distances)
        )
        self.mean_difference += float(np.mean([d.mean() for d in distances])) / self.inputs
        self.output_range = max(self.output_range, *map(float, largest))
        self.same_arg_max += all(
            a.ndim < 2 or np.array_equal(a.argmax(-1), b.argmax(-1)) for a, b in pairs
        )

    def in_words(self, first: str = "") -> str:
        """A sentence for people, with what the outputs of the first program are called."""
        return (
            f"outputs differ{first} by at most {self.max_difference:.3g}, on average "
            f"{self.mean_difference:.3g}, of up to {self.output_range:.3g}; same arg-max on "
            f"{self.same_arg_max} of {self.inputs}"
        )


@dataclass(frozen=True)
class Difference:
    """Where two arrays differ the most, measured by what rounding explains.

    Attributes:
        index: where, in each dimension.
        keras, file: the two values there.
        distance: between them, infinite if one of them is and where only one is NaN.
        tolerance: what rounding explains there.
    """

    index: tuple[int, ...]
    keras: float
    file: float
    distance: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """The distance as a multiple of the tolerance; above 1 is a fault."""
        if self.distance == 0:
            return 0.0
        return self.distance / self.tolerance if self.tolerance else np.inf


@dataclass
class LayerCheck:
    """What the check found at the sign, or the rounding, before a layer.

    Attributes:
        name: the layer or layers.
        compared: how many values were compared, over all inputs.
        flips: how many differ where the value before is the threshold to rounding.
        largest_flip: the largest distance of such a value from the threshold.
        wrong: how many values differ for no such reason.
        undefined: how many values before the sign are NaN in Keras, which has no sign.
        largest_error: the largest difference of values before the sign, as a multiple of
            what rounding explains; None if the flatbuffer does not hold these values.
        worst: where that is.
        is_rounding: whether it is a rounding, and not a sign.
    """

    name: str
    compared: int = 0
    flips: int = 0
    largest_flip: float = 0.0
    wrong: int = 0
    undefined: int = 0
    largest_error: float | None = None
    worst: Difference | None = None
    is_rounding: bool = False


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The absolute difference; 0 where both are the same infinity or both NaN.

    Raises:
        CheckError: if their shapes differ.
    """
    if a.shape != b.shape:
        raise CheckError(
            f"a tensor has the shape {a.shape} in Keras and {b.shape} elsewhere: shapes that "
            "depend on values cannot be compared"
        )
    with np.errstate(invalid="ignore"):
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))


def worst_difference(keras: np.ndarray, file: np.ndarray, tolerance: np.ndarray) -> Difference:
    """The place where two arrays differ the most, as a multiple of a tolerance."""
    apart = distance(keras, file)
    allowed = np.broadcast_to(tolerance, apart.shape)
    with np.errstate(divide="ignore"):
        ratio = np.divide(apart, allowed, out=np.zeros_like(apart), where=apart > 0)
    if not ratio.size:
        return Difference((), 0.0, 0.0, 0.0, 0.0)
    index = np.unravel_index(int(ratio.argmax()), ratio.shape)
    return Difference(
        tuple(int(i) for i in index),
        float(keras[index]),
        float(file[index]),
        float(apart[index]),
        float(allowed[index]),
    )


def score_step(
    kind: str | Grid, before: np.ndarray, after: np.ndarray, tolerance: np.ndarray
) -> LayerCheck:
    """Compares the results of a sign or rounding with the values that it was taken of.

    Args:
        kind: `""` for a plain sign, the operation, of `STEPS`, or the values that are left.
        before: the values, as Keras has them.
        after: the results, as the file has them, of the same shape.
        tolerance: what rounding explains before.
    """
    if kind:
        step = kind.rounded if isinstance(kind, Grid) else STEPS[kind]
        if isinstance(kind, Grid):
            after = kind.rounded(after)  # what is beyond its end is at its end
        with np.errstate(invalid="ignore"):
            differs = distance(after, step(before)) > 0
            ends = step(before - tolerance), step(before + tolerance)
            near = (np.minimum(*ends) <= after) & (after <= np.maximum(*ends))
        undefined = np.zeros(after.shape, bool)
        flipped = np.abs(before) if kind in ORDERS else np.zeros(after.shape)
    else:
        undefined = np.isnan(before)
        differs = ((after < 0) != (before < 0)) | undefined
        near = np.abs(before) <= tolerance
        flipped = np.abs(before)
    flips = differs & near
    return LayerCheck(
        "",
        compared=after.size,
        flips=int(flips.sum()),
        largest_flip=float(flipped.max(initial=0.0, where=flips)),
        wrong=int(np.sum(differs & ~near)),
        undefined=int(undefined.sum()),
        is_rounding=bool(kind) and kind not in ORDERS,
    )


def score_supposed(
    expected: np.ndarray, signs: np.ndarray | None, probes: list[np.ndarray]
) -> LayerCheck:
    """Compares what Keras gives to a binary convolution with the signs that the file takes.

    Keras's values are not forced onto the file's: they may differ where rounding changes them.

    Args:
        expected: the values of Keras.
        signs: those of the file, of the same shape; None if its shape is another.
        probes: the values of Keras with operands changed by rounding.
    """
    if signs is None:
        return LayerCheck("", compared=expected.size, wrong=expected.size)
    stable = np.isnan(expected) | np.all([probe == expected for probe in probes], axis=0)
    differs = signs != expected
    return LayerCheck(
        "",
        compared=expected.size,
        flips=int(np.sum(differs & ~stable)),
        wrong=int(np.sum(differs & stable)),
        undefined=int(np.isnan(expected).sum()),
    )
