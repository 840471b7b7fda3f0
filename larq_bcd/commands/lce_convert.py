"""The command `lce_convert`."""

import argparse
import contextlib
import dataclasses
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rich.console
import rich.status
import tensorflow as tf

from larq_bcd._choices import CALIBRATION_INPUTS
from larq_bcd._files import write_atomically
from larq_bcd._signals import Signals
from larq_bcd._stderr import captured_stderr
from larq_bcd.commands.model_file import load
from larq_bcd.convert import inputs as check_inputs
from larq_bcd.convert.errors import CheckError, ConversionError, FloatFallbackError
from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.input_shapes import (
    require_batch_of_one,
    require_fixed_shapes,
    with_input_shapes,
)
from larq_bcd.convert.interface import input_names, is_image
from larq_bcd.convert.load import LoadedModel
from larq_bcd.convert.options import FileOptions, require_calibration
from larq_bcd.convert.pipeline import convert
from larq_bcd.convert.profile import profile
from larq_bcd.convert.progress import Progress
from larq_bcd.convert.report import print_report
from larq_bcd.convert.result import ConversionResult
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.tflite.metadata import read_labels

_PROGRAM = "lce_convert"
_SECONDS_BETWEEN_LINES = 5


class _VisibleProgress(Progress):
    """Prints the steps and their times to stdout, with a clock where stderr is a terminal."""

    def __init__(self, steps: int, signals: Signals):
        super().__init__()
        self._signals = signals
        self._steps = steps
        self._done = 0
        self._start = self._shown = 0.0
        self._text = ""
        self._console = None
        if sys.stderr.isatty():
            # A descriptor of its own, because what native code writes to stderr is kept away.
            terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w")
            self._console = rich.console.Console(file=terminal, force_terminal=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Surrounds a step and keeps what native code writes off the screen."""
        self._done += 1
        self._text = f"[{self._done}/{self._steps}] {name}"
        self._start = self._shown = time.monotonic()
        if self._console is None:
            print(f"{self._text} ...", flush=True)
        with self._clock(), captured_stderr(), super().step(name) as advance:
            yield advance
        self._signals.raise_received()
        print(f"{self._text}: {self.seconds[name]:.1f} s", flush=True)

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        if self._console is None:
            yield
            return
        stop = threading.Event()
        with rich.status.Status(
            self._text.replace("[", r"\["), console=self._console
        ) as status:

            def tick() -> None:
                while not stop.wait(0.5):
                    elapsed = time.monotonic() - self._start
                    status.update(f"{self._text} ... {elapsed:.0f} s".replace("[", r"\["))

            thread = threading.Thread(target=tick, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def advance(self, done: int, total: int) -> None:
        """Shows how many inputs have been checked."""
        self._signals.raise_received()
        text = f"[{self._done}/{self._steps}] check {done} of {total} inputs"
        now = time.monotonic()
        if self._console is None and now - self._shown > _SECONDS_BETWEEN_LINES:
            print(f"{text}: {now - self._start:.0f} s", flush=True)
            self._shown = now
        self._text = text


def _file_options(arguments: argparse.Namespace, known: Description) -> FileOptions:
    recipe = None
    if arguments.recipe is not None:
        try:
            recipe = hashlib.sha256(arguments.recipe.read_bytes()).hexdigest()
        except OSError as error:
            raise ConversionError(
                f"--recipe {arguments.recipe} cannot be read ({error.strerror}): name a file."
            ) from error
    return FileOptions(
        passes=arguments.passes,
        head=arguments.head,
        stem=arguments.stem,
        ops=arguments.ops,
        input_type=arguments.input_type,
        output_type=arguments.output_type,
        default_int8_range=arguments.default_int8_range,
        dense_as_convolution=arguments.dense_as_convolution,
        description=known,
        recipe_sha256=recipe,
    )


def _known(arguments: argparse.Namespace, loaded: LoadedModel) -> Description:
    """What the model says of itself, and in its place what the options say."""
    known = loaded.described()
    inputs = loaded.model.inputs
    image = next(filter(is_image, inputs), inputs[0])
    known = known.with_preprocessing(
        tuple(image.shape[1:]),
        arguments.mean,
        arguments.std,
        arguments.resize,
    )
    if arguments.labels is None:
        return known
    names = read_labels(arguments.labels)
    return dataclasses.replace(
        known, class_names=names, names_origin=f"--labels {arguments.labels}"
    )


def _input_shapes(
    arguments: argparse.Namespace, model: tf.keras.Model
) -> dict[str, tuple[int, ...]]:
    """The shapes that are given by input; one without a name is that of the only input."""
    shapes = {}
    for name, shape in arguments.input_shape:
        if name is None and len(model.inputs) != 1:
            names = input_names(model)
            raise ConversionError(
                f"--input-shape {','.join(map(str, shape))}: the model has {len(names)} inputs "
                f"({', '.join(names)}): say which, {names[0]}={','.join(map(str, shape))}."
            )
        shapes[input_names(model)[0] if name is None else name] = shape
    return shapes


def _check_inputs(
    arguments: argparse.Namespace, model: tf.keras.Model, preprocessing: Preprocessing | None
) -> tuple[list[np.ndarray], str]:
    """An array for each input of the model, and what it is, in words."""
    path, count = arguments.check_inputs, arguments.check_count
    if path is None:
        return check_inputs.noise(model, count, preprocessing), "noise"
    if path.suffix.lower() in check_inputs.ARRAYS:
        return check_inputs.saved_arrays(path, count, model), f"{path}"
    return check_inputs.photographs(path, count, model, preprocessing), f"images in {path}"


def _calibration(
    path: Path | None, model: tf.keras.Model, preprocessing: Preprocessing | None
) -> list[np.ndarray] | None:
    """What the ranges of int8 are taken of: an array for each input of the model."""
    if path is None:
        return None
    if path.suffix.lower() in check_inputs.ARRAYS:
        return check_inputs.saved_arrays(path, CALIBRATION_INPUTS, model, "calibrate")
    return check_inputs.photographs(path, CALIBRATION_INPUTS, model, preprocessing, "calibrate")


def _refusal(arguments: argparse.Namespace, result: ConversionResult) -> Exception | None:
    """Why the file is not to be written, if it is not."""
    try:
        if not arguments.allow_float_fallback:
            result.require_binary()
        result.require_equal()
    except (FloatFallbackError, CheckError) as error:
        return error
    return None


def _report(
    arguments: argparse.Namespace, result: ConversionResult, refusal: Exception | None
) -> bytes | None:
    if arguments.report is None:
        return None
    if arguments.report.suffix != ".html":
        return result.report.to_json().encode()
    return html_report(result.report, profile(result.content), refusal).encode()


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    try:
        _convert(arguments, signals)
    except (FloatFallbackError, CheckError) as error:
        signals.raise_received()
        print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
        return 1
    return 0


def _convert(arguments: argparse.Namespace, signals: Signals) -> None:
    extra = (arguments.head, arguments.stem) != ("float32", "float32")
    extra += arguments.ops != "lce"
    extra += arguments.default_int8_range is not None
    checks = arguments.check_tolerance is not None
    progress = _VisibleProgress(5 + checks + extra, signals)
    with progress.step("load"):
        loaded = load(arguments.model, arguments)
        model = with_input_shapes(loaded.model, _input_shapes(arguments, loaded.model))
        loaded = dataclasses.replace(loaded, model=model)
        require_fixed_shapes(model)
        require_batch_of_one(model)
        known = _known(arguments, loaded)
        options = _file_options(arguments, known)
        require_calibration(options, arguments.calibrate is not None)
        calibration = _calibration(arguments.calibrate, model, known.preprocessing)
        inputs, source = _check_inputs(arguments, model, known.preprocessing)
    print("\n".join(known.lines()))
    result = convert(
        model,
        inputs,
        source=source,
        name=loaded.source,
        allow_float_fallback=arguments.allow_float_fallback,
        progress=progress,
        options=options,
        tolerance_factor=arguments.check_tolerance,
        calibration=calibration,
    )
    if not loaded.is_trained:
        result.report.notes.append(
            "the weights are random: the file is good for measuring latency only"
        )
    # Lines of a file or a pipe need not fit a screen.
    width = None if sys.stdout.isatty() else 160
    print_report(result.report, rich.console.Console(width=width))
    refusal = _refusal(arguments, result)
    report = _report(arguments, result, refusal)
    signals.heed_no_more()
    if report is not None:
        write_atomically(arguments.report, report, arguments.force)
    if refusal is not None:
        raise refusal
    with progress.step("write"):
        write_atomically(arguments.output, result.content, arguments.force)
    print(f"wrote {arguments.output}")
