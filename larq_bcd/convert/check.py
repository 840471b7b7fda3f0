"""Compares a flatbuffer with the Keras model it was made of, sign by sign.

The sign is discontinuous. Two correct programs that round differently may give a value on its
threshold different signs; the flip spreads, and the logits differ by much more than rounding.
To tell that from a fault, the flatbuffer is made to show the result of every sign, and the
Keras graph is run *on the signs of the flatbuffer*: each sign of the graph is replaced by
what the flatbuffer has there. Between one sign and the next the model is continuous, so now

- every value before a sign must equal that of the flatbuffer to rounding,
- every sign must be the sign of that value, unless the value is 0 to rounding: a flip,
- the outputs must be equal to rounding.

Anything else is a fault. No flip can hide a fault behind it, since none spreads.

What "to rounding" means is measured. Rounding is a small relative change of the operands
(backward error analysis), so the Keras graph runs the first input again with the input, the
parameters and the signs changed by one unit of float32 at random, and the tolerance of a
channel is a multiple of what its values change by: it amounts to some 3e-5 of the operands. A
real fault, such as a flipped bit of a kernel or a threshold that is 1 % off, lies far above.

The first input runs on Larq Compute Engine's interpreter, with its default kernels where they
can, so that it is known to serve the file. The others run on larq_bcd_runtime where that is
installed: many times faster, and what a device will use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from larq_bcd.convert.errors import CheckError
from larq_bcd.convert.graph import InferenceGraph, source_of
from larq_bcd.convert.match import Match, StepMatch, match_steps
from larq_bcd.tflite.engines import REFERENCE, RUNTIME, Engine, EngineError, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.signs import unpack_signs

# Two float32 sums of n terms differ by about sqrt(n) units: n is 50,000 and more in the mean
# of a feature map and in the scale of a kernel.
_MARGIN = 256
_TOGETHER = (False, True, True)  # one run of the graph for each
_LARGEST = 1e-2
_SAMPLE = 100  # outputs of each input that the report keeps
_UNIT = float(np.finfo(np.float32).eps)

_STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Sign": np.sign,
    "Round": np.rint,
    "Rint": np.rint,
    "Floor": np.floor,
}


@dataclass
class LayerCheck:
    """What the check found at the sign, or the rounding, before a layer.

    Attributes:
        name: the layer or layers.
        compared: how many values were compared, over all inputs.
        flips: how many differ where the value before is the threshold to rounding.
        largest_flip: the largest distance of such a value from the threshold.
        wrong: how many values differ for no such reason.
        largest_error: the largest difference of values before the sign, as a multiple of
            what rounding explains; None if the flatbuffer does not hold these values.
    """

    name: str
    compared: int = 0
    flips: int = 0
    largest_flip: float = 0.0
    wrong: int = 0
    largest_error: float | None = None


@dataclass
class CheckReport:
    """What running both on the same inputs has shown.

    Attributes:
        inputs: the number of inputs.
        source: where they come from.
        runs_on: what executed the flatbuffer.
        max_difference, mean_difference: of the outputs, when each runs on its own.
        output_range: the largest absolute value of the Keras outputs.
        same_arg_max: on how many inputs the largest output is the same one.
        max_difference_on_same_signs: of the outputs, when Keras is given the signs of the
            flatbuffer.
        layers: one entry for each sign that was compared.
        unseen: signs, roundings and comparisons that could not be looked into.
        faults: what is wrong, in words; empty if nothing is.
        outputs: pairs of an output of Keras and of the flatbuffer, a sample of them.
    """

    inputs: int
    source: str
    runs_on: str = ""
    max_difference: float = 0.0
    mean_difference: float = 0.0
    output_range: float = 0.0
    same_arg_max: int = 0
    max_difference_on_same_signs: float = 0.0
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


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The absolute difference; 0 where both are the same infinity or both NaN."""
    if a.shape != b.shape:
        raise CheckError(
            f"a tensor has the shape {a.shape} in Keras and {b.shape} elsewhere: shapes that "
            "depend on values cannot be compared"
        )
    with np.errstate(invalid="ignore"):
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _channel_max(values: np.ndarray) -> np.ndarray:
    return values.max(axis=tuple(range(values.ndim - 1)), initial=0.0, keepdims=True)


def _tolerance(value: np.ndarray, change: np.ndarray) -> np.ndarray:
    """What rounding explains, for each channel, by the relative change of its largest value."""
    size = _channel_max(np.abs(value))
    # A step that the flatbuffer cannot show may flip in a probe: that is no rounding.
    tolerance = (np.minimum(_MARGIN * change, _LARGEST) + 8 * _UNIT) * size
    # Chance may have changed the few values of a channel by little.
    return np.maximum(tolerance, np.median(tolerance))


def _relative_change(value: np.ndarray, probes: list[np.ndarray]) -> np.ndarray:
    size = _channel_max(np.abs(value))
    change = np.max([_channel_max(_distance(probe, value)) for probe in probes], axis=0)
    return np.divide(change, size, out=np.zeros_like(change), where=size > 0)


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


class _Comparison:
    """Runs both programs and keeps score, input by input."""

    def __init__(self, graph: InferenceGraph, file: Graph, matches: list[Match]):
        self.file = file
        self.pairs = match_steps(graph, file, matches)
        self.scores = [LayerCheck(pair.name) for pair in self.pairs]
        # A binary convolution although the graph shows no plain sign before it: its input is
        # compared as it is.
        self.supposed = [
            match for match in matches if match.is_binary and not _is_signed(match.layer.data)
        ]
        self.supposed_scores = [LayerCheck(match.layer.name) for match in self.supposed]

        # A sign that several operators pack is compared with each, and fed from the first.
        fed: dict[str, StepMatch] = {}
        for pair in self.pairs:
            fed.setdefault(pair.step.after.op.name, pair)
        self.fed = list(fed.values())
        # Keras adds up a binary convolution in float32. If most terms have one sign, it errs
        # the same way again and again: this much, with _MARGIN, for the largest sum.
        terms = {
            step.after.op.name: match.layer.kernel[..., 0].size
            for match in sorted(matches, key=lambda match: match.layer.kernel[..., 0].size)
            for step in source_of(match.layer.data).signs
        }
        self.units = [1 + terms.get(name, 0) ** 0.5 / 8 for name in fed]
        after = [pair.step.after for pair in self.fed]
        before = [pair.step.before for pair in self.pairs]
        data = [match.layer.data for match in self.supposed]
        self.free = graph.function([graph.input], graph.outputs)
        self.parameter_values = [
            value.numpy() for value in graph.function([], graph.parameters)()
        ]
        self.forced = graph.function(
            [graph.input, *after, *graph.parameters], [*graph.outputs, *before, *data]
        )
        rng = np.random.default_rng(0)
        self.rng = rng
        self.jittered_parameters = [
            [_jittered(value, rng, together) for value in self.parameter_values]
            for together in _TOGETHER
        ]

        # How much rounding changes each value, as a part of the largest of its channel.
        self.changes: list[np.ndarray] | None = None

        self.outputs = file.outputs_like(graph.output_names)
        shown = [*self.outputs]
        for pair in self.pairs:
            shown += [value for value in (pair.after, pair.before) if value is not None]
        for match in self.supposed:
            assert match.node is not None
            shown.append(match.node.data)
        # The graph's own input can be looked at, but is no output an interpreter writes.
        self.shown = [value for value in dict.fromkeys(shown) if value not in file.inputs]
        self.showing = file.part(file.nodes, file.inputs, self.shown)

    def _keras(self, x: np.ndarray, signs: list[np.ndarray], parameters: list[np.ndarray]):
        return [value.numpy() for value in self.forced(x, *signs, *parameters)]

    def _probe(self, x: np.ndarray, signs: list[np.ndarray]) -> list[list[np.ndarray]]:
        """What the Keras graph gives when all that it starts from is changed by rounding."""
        return [
            self._keras(
                _jittered(x, self.rng, together),
                [
                    _jittered(sign, self.rng, together, units if together else 1.0)
                    for sign, units in zip(signs, self.units, strict=True)
                ],
                parameters,
            )
            for together, parameters in zip(_TOGETHER, self.jittered_parameters, strict=True)
        ]

    def _decoded(self, pair: StepMatch, values: np.ndarray) -> np.ndarray:
        if pair.step.is_plain_sign:
            return unpack_signs(values, int(pair.step.after.shape[-1]))
        return values.reshape(pair.step.after.shape)

    def compare(
        self,
        x: np.ndarray,
        given: np.ndarray,
        engines: tuple[Engine, Engine],
        report: CheckReport,
    ) -> None:
        """Adds what one input shows.

        Args:
            x: the input as Keras takes it, a batch of one.
            given: the input as the flatbuffer takes it.
            engines: execute the flatbuffer, and the one that shows every sign.
            report: is added to.
        """
        shipped, showing = (engine.predict for engine in engines)
        outputs = shipped(given)
        own = dict(zip(self.file.outputs, outputs, strict=True))
        values = dict(zip(self.shown, showing(given), strict=True))
        values |= dict.fromkeys(self.file.inputs, x)

        theirs = [own[value] for value in self.outputs]
        ours = [value.numpy() for value in self.free(x)]
        distances = [_distance(a, b) for a, b in zip(ours, theirs, strict=True)]
        report.max_difference = max(
            report.max_difference, *(float(d.max(initial=0)) for d in distances)
        )
        report.mean_difference += float(np.mean([d.mean() for d in distances])) / report.inputs
        report.output_range = max(report.output_range, *(float(np.abs(a).max()) for a in ours))
        for a, b in zip(ours, theirs, strict=True):
            some = slice(None, None, max(1, a.size // _SAMPLE))
            pairs = zip(a.reshape(-1)[some].tolist(), b.reshape(-1)[some].tolist(), strict=True)
            report.outputs += pairs
        report.same_arg_max += all(
            np.array_equal(a.argmax(-1), b.argmax(-1)) if a.ndim > 1 else True
            for a, b in zip(ours, theirs, strict=True)
        )

        signs = [self._decoded(pair, values[pair.after]) for pair in self.fed]
        forced = self._keras(x, signs, self.parameter_values)
        probes = self._probe(x, signs) if self.changes is None or self.supposed else []
        if self.changes is None:
            self.changes = [
                _relative_change(value, [probe[i] for probe in probes])
                for i, value in enumerate(forced)
            ]
        tolerances = [
            _tolerance(value, change)
            for value, change in zip(forced, self.changes, strict=True)
        ]

        count = len(theirs)
        for value, tolerance, other in zip(forced, tolerances, theirs, strict=False):
            distance = _distance(value, other)
            report.max_difference_on_same_signs = max(
                report.max_difference_on_same_signs, float(distance.max(initial=0))
            )
            if np.any(distance > tolerance):
                self._fault(
                    report,
                    "the outputs differ by up to "
                    f"{distance.max():.3g} although every sign before them is the same; "
                    f"rounding explains {tolerance.max():.3g}",
                )
        befores = zip(self.pairs, self.scores, forced[count:], tolerances[count:], strict=False)
        for pair, score, before, tolerance in befores:
            self._compare_step(pair, score, before, tolerance, values)
        position = count + len(self.pairs)
        # The input of a supposed sign is not fed: it may differ where a probe changes it.
        for i, (match, score) in enumerate(
            zip(self.supposed, self.supposed_scores, strict=True), start=position
        ):
            assert match.node is not None
            packed = values[match.node.data]
            expected = forced[i]
            score.compared += expected.size
            stable = np.all([probe[i] == expected for probe in probes], axis=0)
            if packed.shape[:-1] != expected.shape[:-1]:
                score.wrong += expected.size
                continue
            differs = unpack_signs(packed, expected.shape[-1]) != expected
            score.wrong += int(np.sum(differs & stable))
            score.flips += int(np.sum(differs & ~stable))

    def _compare_step(
        self,
        pair: StepMatch,
        score: LayerCheck,
        before: np.ndarray,
        tolerance: np.ndarray,
        values: dict[Value, np.ndarray],
    ) -> None:
        after = self._decoded(pair, values[pair.after])
        score.compared += after.size
        if pair.before is not None:
            theirs = values[pair.before].reshape(before.shape)
            distance = _distance(before, theirs)
            ratio = np.divide(
                distance, tolerance, out=np.zeros_like(distance), where=distance > 0
            )
            score.largest_error = max(score.largest_error or 0.0, float(ratio.max(initial=0)))
        if pair.step.is_plain_sign:
            differs = (after < 0) != (before < 0)
            near = np.abs(before) <= tolerance
        else:
            step = _STEPS[pair.step.kind]
            differs = after != step(before)
            near = (step(before - tolerance) <= after) & (after <= step(before + tolerance))
        score.flips += int(np.sum(differs & near))
        score.wrong += int(np.sum(differs & ~near))
        if np.any(differs & near):
            flipped = np.abs(before)[differs & near] if pair.step.is_plain_sign else [0.0]
            score.largest_flip = max(score.largest_flip, float(np.max(flipped)))

    def _fault(self, report: CheckReport, message: str) -> None:
        if not any(known.startswith(message[:20]) for known in report.faults):
            report.faults.append(message)

    def conclude(self, report: CheckReport) -> None:
        """Puts the faults of the layers into words, the first layer first."""
        found = []
        for match, score in zip(self.supposed, self.supposed_scores, strict=True):
            if score.wrong:
                quantizer = getattr(match.layer.layer, "input_quantizer", None)
                found.append(
                    f"{score.name}: the converter took its input quantizer "
                    f"({type(quantizer).__name__}) for a plain sign, which it is not: "
                    f"{score.wrong} of {score.compared} values are wrong"
                )
        for score in self.scores:
            if score.wrong:
                found.append(
                    f"{score.name}: {score.wrong} of {score.compared} signs before it are "
                    "wrong, at values that are not 0 to rounding"
                )
            elif score.largest_error is not None and score.largest_error > 1:
                found.append(
                    f"{score.name}: the values before its sign differ by "
                    f"{score.largest_error:.3g} times what rounding explains"
                )
        report.faults[:0] = found
        report.layers = [*self.scores, *self.supposed_scores]


def _opened(contents: tuple[bytes, bytes], prefer: Sequence[str]) -> tuple[Engine, Engine]:
    try:
        first, second = (open_engine(content, prefer=prefer) for content in contents)
    except EngineError as error:
        raise CheckError(str(error)) from error
    return first, second


def _is_signed(data) -> bool:
    source = source_of(data)
    return bool(source.signs) and not source.others


def _unseen(graph: InferenceGraph, pairs: list[StepMatch]) -> list[str]:
    """What may jump in the model and has no counterpart that the flatbuffer can show."""
    seen = {pair.step.after.op.name for pair in pairs}
    steps = [step.after.op for step in graph.steps if step.after.op.name not in seen]
    return [graph.describe(op) for op in (*steps, *graph.comparisons, *graph.hidden_calls)]


def check(
    graph: InferenceGraph,
    file: Graph,
    matches: list[Match],
    inputs: np.ndarray,
    source: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    decode: Callable[[np.ndarray], np.ndarray] = lambda given: given,
) -> CheckReport:
    """Runs a Keras model and its flatbuffer on the same inputs.

    Args:
        graph: the inference graph of the Keras model.
        file: what it was converted to.
        matches: the pairs of `match_layers`.
        inputs: array of shape (inputs, *input_shape) in the flatbuffer's input type; at least
            one.
        source: where the inputs come from, for the report.
        progress: called with the number of inputs done and of all inputs.
        decode: turns inputs of the flatbuffer into those of the model.

    Returns:
        The report; its `faults` are empty if the flatbuffer computes what the model does.

    Raises:
        CheckError: if nothing can run the flatbuffer.
    """
    report = CheckReport(inputs=len(inputs), source=source)
    comparison = _Comparison(graph, file, matches)
    report.unseen = _unseen(graph, comparison.pairs)
    contents = (file.write(), comparison.showing)
    engines = _opened(contents, REFERENCE)
    reference = report.runs_on = str(engines[0])
    for done, given in enumerate(inputs):
        progress(done, len(inputs))
        if done == 1:
            engines = _opened(contents, (RUNTIME, *REFERENCE))
            report.runs_on = str(engines[0])
            if engines[0].name == RUNTIME:
                report.runs_on += f", the first on {reference}"
        comparison.compare(decode(given[None]), given[None], engines, report)
    progress(len(inputs), len(inputs))
    comparison.conclude(report)
    return report
