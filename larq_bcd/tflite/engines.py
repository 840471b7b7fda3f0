"""What can run a `.tflite` file on this machine, and what runs it."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from larq_bcd._stderr import captured_stderr
from larq_bcd.errors import UserError
from larq_bcd.tflite.graph import aborting_operators, has_states

RUNTIME = "larq_bcd_runtime"
LCE = "Larq Compute Engine"
# The same bits as its default kernels, many times faster, and convolutions of groups.
LCE_INDIRECT = "Larq Compute Engine (indirect kernels)"
TFLITE = "TensorFlow Lite"

# Operator by operator, each sum in the order that the file says.
UNFUSED = (LCE_INDIRECT, LCE, TFLITE)
FASTEST = (RUNTIME, *UNFUSED)
# The engine as it comes, on every device that has it, before all others.
REFERENCE = (LCE, LCE_INDIRECT, TFLITE)

_MOST_THREADS = 64
_MOST_INTERPRETERS = 16  # each holds the network's weights

# From one array for each input, samples first, to one for each output.
Predict = Callable[..., list[np.ndarray]]


class EngineError(UserError):
    """A file that nothing on this machine can run; says why each engine refuses it."""


class _RefusalError(Exception):
    """An engine cannot run a file; says why."""


@dataclass(frozen=True)
class Engine:
    """Runs a file.

    Attributes:
        name: which of the engines it is.
        predict: takes one array for each input of the file, of the file's own type, any
            number of samples first, and returns one for each output.
        refused: why engines that were preferred do not run the file, by their names.
    """

    name: str
    predict: Predict
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        reasons = [f"{name} cannot run the file: {why}" for name, why in self.refused.items()]
        return f"{self.name}, since {' and '.join(reasons)}" if reasons else self.name


def open_engine(
    content: bytes, threads: int | None = None, prefer: Sequence[str] = FASTEST
) -> Engine:
    """Opens a file with the first of several engines that is there and can run it.

    Args:
        content: the bytes of a `.tflite` file.
        threads: processors to use, by default all, 64 at the most.
        prefer: names of engines, the most welcome first.

    Raises:
        EngineError: if none of them can run the file.
    """
    threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
    refused: dict[str, str] = {}
    aborting = aborting_operators(content)
    for name in prefer:
        if aborting and name != RUNTIME:
            refused[name] = f"its kernels abort on {', '.join(aborting)}"
            continue
        try:
            predict = _OPEN[name](content, threads)
        except _RefusalError as refusal:
            refused[name] = str(refusal)
            continue
        if predict is not None:
            return Engine(name, predict, refused)
    names: dict[str, list[str]] = {}
    for name, why in refused.items():
        names.setdefault(why, []).append(name)
    reasons = "; ".join(f"{' and '.join(own)}: {why}" for why, own in names.items())
    raise EngineError(f"nothing on this machine can run the file: {reasons}")


class _Runtime:
    """Interpreters of larq_bcd_runtime: one for a single sample, several side by side."""

    def __init__(self, opened: Callable[[int], Callable], threads: int):
        self._opened, self._threads = opened, threads
        self._single = opened(threads)

    @cached_property
    def _side_by_side(self) -> list[Callable]:
        # Samples side by side lose nothing to threads that wait for each other within an
        # operator.
        count = min(self._threads, _MOST_INTERPRETERS)
        if count == 1:
            return [self._single]
        return [self._opened(self._threads // count) for _ in range(count)]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(len(self._side_by_side))

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        if len(inputs[0]) == 1:
            return self._single(inputs)
        count = min(len(self._side_by_side), len(inputs[0]))
        parts = zip(*(np.array_split(array, count) for array in inputs), strict=True)
        results = list(self._pool.map(lambda run, x: run(x), self._side_by_side, parts))
        return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]


def _open_runtime(content: bytes, threads: int) -> Predict | None:
    try:
        import larq_bcd_runtime
    except ImportError:
        return None

    def opened(threads: int) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        with captured_stderr():  # LiteRT's notes about itself
            running = larq_bcd_runtime.Interpreter(content, num_threads=threads)
        return lambda x: _listed(running.predict(x[0] if len(x) == 1 else list(x)))

    try:
        return _Runtime(opened, threads)
    # Its library or LiteRT may be missing.
    except (larq_bcd_runtime.ModelError, ImportError, OSError) as refusal:
        raise _refusal(refusal) from refusal


def _refusal(error: Exception) -> _RefusalError:
    """What an engine says of itself, in one line."""
    return _RefusalError(" ".join(str(error).split()).rstrip("."))


def _open_lce(content: bytes, threads: int, use_indirect_bgemm: bool) -> Predict:
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    def opened() -> Interpreter:
        return Interpreter(content, num_threads=threads, use_indirect_bgemm=use_indirect_bgemm)

    with captured_stderr() as lines:
        try:
            running = opened()
            # It says only here that it cannot hand over arrays of such types.
            _ = running.input_types, running.output_types
        # It raises RuntimeError for everything it refuses, and says why on stderr.
        except RuntimeError as error:
            failure = error
        else:
            if has_states(content):
                return _each_anew(lambda: opened().predict)
            return lambda *x: _listed(running.predict(list(x)))
    reason = next((line for line in lines if line.strip()), str(failure))
    raise _RefusalError(reason.strip().removeprefix("ERROR: ")) from failure


def _each_anew(opened: Callable[[], Callable]) -> Predict:
    """Runs every sample in an interpreter of its own, where none forgets the sample before."""

    def predict(*x: np.ndarray) -> list[np.ndarray]:
        samples = zip(*(array[:, None] for array in x), strict=True)
        results = [_listed(opened()(list(sample))) for sample in samples]
        return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]

    return predict


def _open_tflite(content: bytes, threads: int) -> Predict:
    import tensorflow as tf

    with warnings.catch_warnings(), captured_stderr():
        warnings.simplefilter("ignore")  # TensorFlow's, about where it will move
        try:
            running = tf.lite.Interpreter(model_content=content, num_threads=threads)
            running.allocate_tensors()
        except (RuntimeError, ValueError) as refusal:
            raise _refusal(refusal) from refusal
    inputs = [detail["index"] for detail in running.get_input_details()]
    outputs = [detail["index"] for detail in running.get_output_details()]

    def one(*sample: np.ndarray) -> list[np.ndarray]:
        for index, value in zip(inputs, sample, strict=True):
            running.set_tensor(index, value[None])
        running.reset_all_variables()
        running.invoke()
        return [running.get_tensor(index) for index in outputs]

    def predict(*x: np.ndarray) -> list[np.ndarray]:
        samples = [one(*sample) for sample in zip(*x, strict=True)]
        return [np.concatenate(results) for results in zip(*samples, strict=True)]

    return predict


def _listed(outputs: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    return outputs if isinstance(outputs, list) else [outputs]


_OPEN: dict[str, Callable[[bytes, int], Predict | None]] = {
    RUNTIME: _open_runtime,
    LCE: partial(_open_lce, use_indirect_bgemm=False),
    LCE_INDIRECT: partial(_open_lce, use_indirect_bgemm=True),
    TFLITE: _open_tflite,
}
