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

The parts: `forced` runs the Keras graph on given signs, `shown` makes the file show what is
compared, `tolerance` measures what rounding explains, `score` compares arrays, `verdict` puts
it into words.

The first input runs on Larq Compute Engine's interpreter, with its default kernels where they
can, so that it is known to serve the file. The others run on larq_bcd_runtime where that is
installed: many times faster, and what a device will use.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from larq_bcd.convert.check.forced import ForcedGraph
from larq_bcd.convert.check.integers import rounded_kernels
from larq_bcd.convert.check.score import (
    Difference,
    LayerCheck,
    distance,
    score_step,
    score_supposed,
    worst_difference,
)
from larq_bcd.convert.check.shown import ShownFile, signs_of
from larq_bcd.convert.check.tolerance import Rounding
from larq_bcd.convert.check.verdict import (
    CheckReport,
    layer_faults,
    nan_fault,
    output_fault,
    quantizer_faults,
    weights_that_are_not_finite,
)
from larq_bcd.convert.errors import CheckError, ConversionError
from larq_bcd.convert.graph import InferenceGraph, source_of
from larq_bcd.convert.interface import arrays_of
from larq_bcd.convert.match import Match, StepMatch
from larq_bcd.tflite.engines import REFERENCE, RUNTIME, Engine, EngineError, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.signs import unpack_signs

_SAMPLE = 100  # outputs of each input that the report keeps

# Of inputs and outputs in Larq Compute Engine's interpreter.
_TYPES = ("float32", "int8", "int16", "int32", "int64", "uint8", "bool")
_REMEDIES = {
    "FakeQuantWithMinMaxVarsPerChannel": (
        ". Values that are computed have one range for all channels: quantize them with "
        "fake_quant_with_min_max_vars"
    ),
}


class _Comparison:
    """Runs both programs and keeps score, input by input."""

    def __init__(
        self,
        graph: InferenceGraph,
        file: ShownFile,
        matches: list[Match],
        report: CheckReport,
    ):
        self._report = report
        self._model = graph.model
        self._file = file
        # A sign that several operators pack is compared with each, and fed from the first.
        fed: dict[str, StepMatch] = {}
        for step in self._file.steps:
            fed.setdefault(step.step.after.op.name, step)
        self._fed = list(fed.values())
        self._compared = [*self._file.outputs, *self._file.logits]
        kernels = rounded_kernels(matches)
        self._keras = ForcedGraph(
            graph,
            [step.step.after for step in self._fed],
            [
                *(compared.keras for compared in self._compared),
                *(step.step.before for step in self._file.steps),
                *(match.layer.data for match in self._file.supposed),
            ],
            [kernel.tensor for kernel in kernels],
        )
        self._rounding = Rounding(
            self._keras,
            _units(fed, matches),
            outputs=len(self._compared),
            is_continuous=not report.unseen,
            factor=report.tolerance_factor,
            steps=[kernel.step for kernel in kernels],
            errors=self._file.integer_errors(),
        )
        self._is_measured = False
        self._is_nan = True
        self._apart: tuple[float, list[np.ndarray]] = -1.0, []  # the most, and on which input
        self._worst: list[Difference | None] = [None] * len(self._compared)
        self._steps = [LayerCheck(step.name) for step in self._file.steps]
        self._supposed = [LayerCheck(match.layer.name) for match in self._file.supposed]

    def compare(
        self, x: list[np.ndarray], given: list[np.ndarray], engines: tuple[Engine, Engine]
    ) -> None:
        """Adds what one input shows to the scores and the report.

        Args:
            x: the inputs as Keras takes them, a batch of one.
            given: the inputs as the flatbuffer takes them.
            engines: execute the flatbuffer, and the one that shows every sign.
        """
        shipped, showing = (engine.predict for engine in engines)
        theirs = self._file.real_outputs(shipped(*given))
        values = self._file.values(x, showing(*given))
        ours = self._keras.outputs(x)
        self._note_outputs(ours, theirs)
        apart = max(
            float(distance(a, b).max(initial=0)) for a, b in zip(ours, theirs, strict=True)
        )
        self._apart = max(self._apart, (apart, x), key=lambda found: found[0])

        signs = [signs_of(step, values[step.after]) for step in self._fed]
        forced = self._keras.run(x, signs)
        probes: list[list[np.ndarray]] = []
        if not self._is_measured or self._file.supposed:
            probes = self._rounding.measure(x, signs, forced)
            self._is_measured = True
        worst, steps = self._scores(forced, theirs, values)
        if not probes and not (
            all(found.ratio <= 1 for found in worst) and all(map(_is_clean, steps))
        ):
            # Rounding may change the values of this input by more than those of the first.
            self._rounding.measure(x, signs, forced)
            worst, steps = self._scores(forced, theirs, values)
        self._worst = [_worse(a, b) for a, b in zip(self._worst, worst, strict=True)]
        self._steps = [_sum(a, b) for a, b in zip(self._steps, steps, strict=True)]
        for distances in map(distance, forced[: len(theirs)], theirs):
            self._report.max_difference_on_same_signs = max(
                self._report.max_difference_on_same_signs, float(distances.max(initial=0))
            )
        first = len(self._compared) + len(steps)
        for number, match in enumerate(self._file.supposed):
            assert match.node is not None
            expected = forced[first + number]
            packed = values[match.node.data]
            found = score_supposed(
                expected,
                unpack_signs(packed, expected.shape[-1])
                if packed.shape[:-1] == expected.shape[:-1]
                else None,
                [probe[first + number] for probe in probes],
            )
            self._supposed[number] = _sum(self._supposed[number], found)

    def _scores(
        self,
        forced: list[np.ndarray],
        theirs: list[np.ndarray],
        values: dict[Value, np.ndarray],
    ) -> tuple[list[Difference], list[LayerCheck]]:
        """Scores of the outputs, and of the signs and roundings, of one input."""
        tolerances = self._rounding.tolerances(forced)
        shown = [*theirs, *(values[logits.file] for logits in self._file.logits)]
        worst = list(map(worst_difference, forced, shown, tolerances))
        count = len(worst)
        steps = []
        for step, before, tolerance in zip(
            self._file.steps, forced[count:], tolerances[count:], strict=False
        ):
            kind = "" if step.step.is_plain_sign else step.step.grid or step.step.kind
            after = signs_of(step, values[step.after])
            score = score_step(kind, before, after, tolerance)
            if step.before is not None:
                file = values[step.before].reshape(before.shape)
                found = worst_difference(before, file, tolerance)
                score = replace(score, largest_error=found.ratio, worst=found)
            steps.append(score)
        return worst, steps

    def _note_outputs(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
        """Adds the outputs of both, each run on its own, to the report."""
        self._report.add(ours, theirs)
        for a, b in zip(ours, theirs, strict=True):
            self._is_nan = self._is_nan and bool(np.isnan(a).all())
            finite = np.isfinite(a) & np.isfinite(b)
            some = slice(None, None, max(1, a.size // _SAMPLE))
            pairs = zip(a[finite][some].tolist(), b[finite][some].tolist(), strict=True)
            self._report.outputs += pairs

    def conclude(self) -> None:
        """Adds the faults to the report, the first layer first, and the layers."""
        faults = self._report.faults
        if self._is_nan:
            faults.append(nan_fault(self._model))
        faults += quantizer_faults(self._file.supposed, self._supposed)
        faults += layer_faults(self._steps)
        outputs = list(zip(self._compared, self._worst, strict=True))
        for compared, worst in sorted(outputs, key=lambda pair: not pair[0].before):
            if worst is not None and worst.ratio > 1:
                faults.append(output_fault(compared, worst))
        self._report.layers = [*self._steps, *self._supposed]
        if any(step.flips and not step.is_rounding for step in self._steps):
            _, x = self._apart
            self._report.difference_from_itself = self._rounding.difference_from_itself(x)


def _units(fed: dict[str, StepMatch], matches: list[Match]) -> list[float]:
    """By how many units the sign of each name may err in the same direction.

    Keras adds up a binary convolution in float32. If most terms have one sign, it errs the
    same way again and again: this much, with the margin of tolerances, for the largest sum.
    """
    terms = {
        step.after.op.name: match.layer.kernel[..., 0].size
        for match in sorted(matches, key=lambda match: match.layer.kernel[..., 0].size)
        for step in source_of(match.layer.data).signs
    }
    return [1 + terms.get(name, 0) ** 0.5 / 8 for name in fed]


def _is_clean(score: LayerCheck) -> bool:
    return not score.wrong and (score.largest_error or 0.0) <= 1


def _worse(a: Difference | None, b: Difference) -> Difference:
    return b if a is None or b.ratio > a.ratio else a


def _sum(a: LayerCheck, b: LayerCheck) -> LayerCheck:
    """The score of more inputs, under the name of the first."""
    worst = a.worst if b.worst is None else _worse(a.worst, b.worst)
    return LayerCheck(
        a.name,
        compared=a.compared + b.compared,
        flips=a.flips + b.flips,
        largest_flip=max(a.largest_flip, b.largest_flip),
        wrong=a.wrong + b.wrong,
        undefined=a.undefined + b.undefined,
        largest_error=None if worst is None else worst.ratio,
        worst=worst,
        is_rounding=b.is_rounding,
    )


def _opened(contents: tuple[bytes, bytes], prefer: Sequence[str]) -> tuple[Engine, Engine]:
    try:
        first, second = (open_engine(content, prefer=prefer) for content in contents)
    except EngineError as error:
        raise CheckError(f"{error}{_remedy(str(error))}") from error
    return first, second


def _remedy(refusal: str) -> str:
    """What to do about a type, or an operation that the converter has left as it is."""
    if re.search("Model has invalid (input|output) type", refusal):
        return (
            f". Inputs and outputs may be {', '.join(_TYPES)}: cast those of other types "
            "within the model"
        )
    unresolved = re.search(r"unresolved custom op: (?!Lce)(\w+)", refusal)
    if unresolved is None:
        return ""
    return _REMEDIES.get(
        unresolved[1], f". Leave {unresolved[1]} out of the model, or compute it in another way"
    )


def _unseen(graph: InferenceGraph, pairs: list[StepMatch]) -> list[str]:
    """What may jump in the model and has no counterpart that the flatbuffer can show."""
    seen = {pair.step.after.op.name for pair in pairs}
    steps = (*(step.after.op for step in graph.steps), *graph.comparisons)
    hidden = [op for op in dict.fromkeys(steps) if op.name not in seen]
    return [graph.describe(op) for op in (*hidden, *graph.hidden_calls)]


def check(
    graph: InferenceGraph,
    file: Graph,
    matches: list[Match],
    inputs: np.ndarray | Sequence[np.ndarray],
    source: str,
    progress: Callable[[int, int], None] | None = None,
    decode: Callable[[list[np.ndarray]], list[np.ndarray]] | None = None,
    tolerance_factor: float = 1.0,
) -> CheckReport:
    """Runs a Keras model and its flatbuffer on the same inputs.

    Args:
        graph: the inference graph of the Keras model.
        file: what it was converted to.
        matches: the pairs of `match_layers`.
        inputs: array of shape (samples, *input_shape) in the flatbuffer's input type, or one
            for each of its inputs; at least one sample.
        source: where the inputs come from, for the report.
        progress: called with the number of inputs done and of all inputs, if it is given.
        decode: turns the inputs of the flatbuffer into those of the model; None if they are.
        tolerance_factor: multiplies what rounding is taken to explain.

    Returns:
        The report; its `faults` are empty if the flatbuffer computes what the model does.

    Raises:
        CheckError: if nothing can run the flatbuffer.
        ConversionError: if it, or the model, cannot be run on one of the inputs.
    """
    advance = progress or (lambda done, total: None)
    arrays = arrays_of(inputs)
    report = CheckReport(len(arrays[0]), source=source, tolerance_factor=tolerance_factor)
    shown = ShownFile(graph, file, matches)
    report.unseen = _unseen(graph, shown.steps)
    comparison = _Comparison(graph, shown, matches, report)
    contents = (file.write(), shown.showing)
    engines = _opened(contents, REFERENCE)
    reference = report.runs_on = str(engines[0])
    for done in range(report.inputs):
        advance(done, report.inputs)
        if done == 1:
            engines = _opened(contents, (RUNTIME, *REFERENCE))
            report.runs_on = str(engines[0])
            if engines[0].name == RUNTIME:
                report.runs_on += f", the first on {reference}"
        given = [array[done : done + 1] for array in arrays]
        try:
            comparison.compare(decode(given) if decode else given, given, engines)
        # Keras's, and what every interpreter raises for what it cannot compute.
        except (tf.errors.InvalidArgumentError, RuntimeError) as error:
            raise ConversionError(
                f"sample {done + 1} of the check ({source}) cannot be computed "
                f"({' '.join(str(error).split())[:200]}): give check-inputs with values that "
                "the model takes, such as indices within its tables."
            ) from error
    advance(report.inputs, report.inputs)
    comparison.conclude()
    return report


__all__ = [
    "CheckReport",
    "LayerCheck",
    "check",
    "weights_that_are_not_finite",
]


def __dir__() -> list[str]:
    return __all__
