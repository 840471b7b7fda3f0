"""The verdict: what was found, in numbers and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from larq_bcd._binary import quantizer_name
from larq_bcd.convert.check.score import Difference, LayerCheck, OutputDifferences
from larq_bcd.convert.check.shown import Compared
from larq_bcd.convert.match import Match


@dataclass
class CheckReport(OutputDifferences):
    """What running both on the same inputs has shown; the differences are of each on its own.

    Attributes:
        source: where the inputs come from.
        runs_on: what executed the flatbuffer.
        tolerance_factor: what multiplied the tolerances, by default 1.
        max_difference_on_same_signs: of the outputs, when Keras is given the signs of the
            flatbuffer.
        difference_from_itself: of Keras's outputs, where its operands are changed by rounding,
            on the input of the largest difference; None where no sign flipped. Roundings to
            integers flip by the rounding of their weights, which Keras has not.
        layers: one entry for each sign that was compared.
        unseen: signs, roundings and comparisons that could not be looked into.
        faults: what is wrong, in words; empty if nothing is.
        outputs: pairs of an output of Keras and of the flatbuffer, a sample of them.
    """

    source: str = ""
    runs_on: str = ""
    tolerance_factor: float = 1.0
    max_difference_on_same_signs: float = 0.0
    difference_from_itself: float | None = None
    layers: list[LayerCheck] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    outputs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def flips(self) -> int:
        """How many signs fell differently on a threshold."""
        return sum(layer.flips for layer in self.layers)

    @property
    def compared(self) -> int:
        """How many signs were compared."""
        return sum(layer.compared for layer in self.layers)

    @property
    def verdict(self) -> str:
        """`"fault"`, `"equal but for flips"` or `"equal"`."""
        if self.faults:
            return "fault"
        return "equal but for flips" if self.flips else "equal"


def output_fault(compared: Compared, worst: Difference) -> str:
    """What is wrong with an output, with the numbers by which it was judged."""
    name = f" '{compared.name}'" if compared.name else ""
    squashed = f", before their {compared.before.lower()}," if compared.before else ""
    return (
        f"the outputs{name}{squashed} differ by {worst.distance:.3g} where rounding explains "
        f"{worst.tolerance:.3g}: {_values(worst)}, although every sign before them is the same"
    )


def _values(worst: Difference) -> str:
    where = list(worst.index[1:])  # of a batch of one
    return f"{worst.keras:.6g} in Keras and {worst.file:.6g} in the file at {where}"


def layer_faults(scores: Sequence[LayerCheck]) -> Iterator[str]:
    """What is wrong at the signs and roundings, one sentence for each."""
    for score in scores:
        step = "rounding" if score.is_rounding else "sign"
        if score.undefined:
            yield (
                f"{score.name}: {score.undefined} of {score.compared} values before its sign "
                "are NaN in Keras, of which the file makes -1 or +1"
            )
        elif score.wrong and score.is_rounding:
            yield (
                f"{score.name}: {score.wrong} of {score.compared} values that it rounds are "
                "wrong, where what is rounded is not on the border to rounding"
            )
        elif score.wrong:
            yield (
                f"{score.name}: {score.wrong} of {score.compared} signs before it are "
                "wrong, at values that are not 0 to rounding"
            )
        elif score.worst is not None and score.worst.ratio > 1:
            yield (
                f"{score.name}: the values before its {step} differ by "
                f"{score.worst.distance:.3g} where rounding explains "
                f"{score.worst.tolerance:.3g}: {_values(score.worst)}"
            )


def quantizer_faults(matches: Sequence[Match], scores: Sequence[LayerCheck]) -> Iterator[str]:
    """What is wrong with binary convolutions whose input is not a plain sign in Keras."""
    for match, score in zip(matches, scores, strict=True):
        if score.wrong:
            quantizer = match.layer.input_quantizer
            subject = (
                "what is before it"
                if quantizer is None
                else f"its input quantizer ({quantizer_name(quantizer)})"
            )
            yield (
                f"{score.name}: the converter took {subject} for a plain sign, which it is "
                f"not: {score.wrong} of {score.compared} values are wrong"
            )


def nan_fault(model: tf.keras.Model) -> str:
    """What to say of a model all of whose outputs are NaN."""
    names = weights_that_are_not_finite(model)
    return "the model gives NaN alone, so that nothing can be compared: " + (
        f"its weights {', '.join(names)} are not finite; train it again, or take an earlier "
        "checkpoint"
        if names
        else "look at the inputs of the check, and for divisions and logarithms in the model"
    )


def weights_that_are_not_finite(model: tf.keras.Model) -> list[str]:
    """Names of the weights of a model that hold NaN or an infinity."""
    return [
        weight.name.split(":")[0]
        for weight in model.weights
        if weight.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(weight)))
    ]
