"""Compares two files of one model, where the second is meant to differ a little."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larq_bcd.convert.check.score import OutputDifferences
from larq_bcd.convert.interface import arrays_of
from larq_bcd.tflite.engines import UNFUSED, Engine, open_engine


@dataclass
class Comparison(OutputDifferences):
    """How the outputs of two files differ on the same inputs.

    Attributes:
        change: what the second was made of the first by, in words.
        bytes: the sizes of both.
        milliseconds: the processor's median time for one input, taken in turns on one
            thread.
        timed_on: the engines that the times are of.
    """

    change: str = ""
    bytes: tuple[int, int] = (0, 0)
    milliseconds: tuple[float, float] = (0.0, 0.0)
    timed_on: tuple[str, str] = ("", "")


def compare(
    before: bytes,
    after: bytes,
    inputs: np.ndarray | Sequence[np.ndarray],
    change: str,
) -> Comparison:
    """Runs both on the same inputs.

    The outputs are those of Larq Compute Engine, operator by operator, so that files that
    differ in no bit are told from others; the times are those of the fastest engine there is.

    Args:
        before, after: the bytes of two files of one model.
        inputs: array of shape (samples, *input_shape), of the type that both take, or one
            for each of their inputs.
        change: what has changed, for the report.

    Raises:
        EngineError: if nothing can run one of them.
    """
    files = before, after
    exact = [open_engine(content, 1, UNFUSED) for content in files]
    fast = [open_engine(content, 1) for content in files]
    arrays = arrays_of(inputs)
    result = Comparison(len(arrays[0]), change=change, bytes=(len(files[0]), len(files[1])))
    result.timed_on = fast[0].name, fast[1].name
    taken = []
    for sample in range(result.inputs):
        x = [array[sample : sample + 1] for array in arrays]
        result.add(*(engine.predict(*x) for engine in exact))
        taken.append([_milliseconds(engine, x) for engine in fast])
    first, second = np.median(taken, axis=0)
    result.milliseconds = float(first), float(second)
    return result


def _milliseconds(engine: Engine, x: Sequence[np.ndarray]) -> float:
    start = time.process_time()
    engine.predict(*x)
    return 1e3 * (time.process_time() - start)
