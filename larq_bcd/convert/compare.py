"""Compares two flatbuffers of one model, where the second is meant to differ a little."""

import time
from dataclasses import dataclass

import numpy as np

from larq_bcd.convert.check import interpreter, predict
from larq_bcd.tflite.flatbuffer import Flatbuffer


@dataclass
class Comparison:
    """How the outputs of two flatbuffers differ on the same inputs.

    Attributes:
        change: what the second was made of the first by, in words.
        inputs: the number of inputs.
        max_difference, mean_difference: of the outputs.
        output_range: the largest absolute output of the first.
        same_arg_max: on how many inputs the largest output is the same one.
        bytes: the sizes of both.
        milliseconds: the processor's median time for one input, taken in turns on one
            thread.
    """

    change: str
    inputs: int
    max_difference: float = 0.0
    mean_difference: float = 0.0
    output_range: float = 0.0
    same_arg_max: int = 0
    bytes: tuple[int, int] = (0, 0)
    milliseconds: tuple[float, float] = (0.0, 0.0)


def compare(
    before: Flatbuffer,
    after: Flatbuffer,
    inputs: np.ndarray,
    change: str,
) -> Comparison:
    """Runs both on the same inputs, with Larq Compute Engine's interpreter.

    Its indirect kernels, which give the same bits as its default ones many times faster.

    Args:
        before, after: flatbuffers of one model.
        inputs: array of shape (inputs, *input_shape), of the type that both take.
        change: what has changed, for the report.

    Raises:
        CheckError: if the interpreter cannot run one of them.
    """
    sizes = len(before.content), len(after.content)
    result = Comparison(change, len(inputs), bytes=sizes)
    taken: list[tuple[float, float]] = []
    first, second = (
        interpreter(file.content, use_indirect_bgemm=True) for file in (before, after)
    )
    for x in inputs:
        start = time.process_time()
        ours = [value.astype(np.float64) for value in predict(first, x[None])]
        between = time.process_time()
        theirs = [value.astype(np.float64) for value in predict(second, x[None])]
        taken.append((between - start, time.process_time() - between))
        for a, b in zip(ours, theirs, strict=True):
            distance = np.abs(a - b)
            result.max_difference = max(result.max_difference, float(distance.max(initial=0)))
            result.mean_difference += float(distance.mean()) / len(inputs) / len(ours)
            result.output_range = max(result.output_range, float(np.abs(a).max(initial=0)))
        pairs = zip(ours, theirs, strict=True)
        result.same_arg_max += all(np.array_equal(a.argmax(-1), b.argmax(-1)) for a, b in pairs)
    first_time, second_time = np.median(taken, axis=0) * 1e3
    result.milliseconds = float(first_time), float(second_time)
    return result
