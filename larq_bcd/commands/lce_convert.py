"""The command `lce_convert`."""

import argparse
import contextlib
import hashlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import rich.console
import rich.status

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert import inputs as check_inputs
from larq_bcd.convert.errors import CheckError, ConversionError, FloatFallbackError
from larq_bcd.convert.head import HEADS
from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.input_type import INPUT_TYPES
from larq_bcd.convert.load import load_model
from larq_bcd.convert.passes import PASSES, selected_passes
from larq_bcd.convert.pipeline import (
    CHECK_INPUTS,
    ConversionResult,
    FileOptions,
    Progress,
    convert,
)
from larq_bcd.convert.profile import profile
from larq_bcd.convert.report import print_report
from larq_bcd.convert.write import check_writable, write_atomically
from larq_bcd.errors import UserError
from larq_bcd.models import list_models
from larq_bcd.tflite.flatbuffer import Flatbuffer
from larq_bcd.tflite.metadata import read_labels

_PROGRAM = "lce_convert"
_SECONDS_BETWEEN_LINES = 5
_EPILOG = """examples:
  lce_convert trained.keras -o trained.tflite
  lce_convert trained.h5 -o trained.tflite --check-inputs photos --report trained.json
  lce_convert trained.keras -o camera.tflite --input-type uint8 --head int8 --labels names.txt
  lce_convert BCDNetB -o latency.tflite --force

exit status:
  0    the file is written
  1    a layer that trains as binary would ship as float, or the flatbuffer does not compute
       what the model computes; nothing is written
  2    the model or the arguments are at fault; nothing is written
  130  interrupted; nothing is written
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, without the usage."""
        self.exit(2, f"{_PROGRAM}: error: {message}; see {_PROGRAM} --help\n")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _floats(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} are not numbers with commas between them, such as 0.5,0.5,0.5"
        ) from None


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    arguments = _Parser(
        prog=_PROGRAM,
        description="Converts a Keras model with Larq Compute Engine, reports what became "
        "binary, checks the result against Keras, and writes it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a .keras or .h5 file, a SavedModel folder, or a name, whose weights are random: "
        f"{', '.join(list_models())}",
    )
    add("-o", "--output", metavar="FILE.tflite", type=Path, required=True)
    add("--force", action="store_true", help="replace files that exist")
    add(
        "--report",
        metavar="FILE",
        type=Path,
        help="write the report there too: a page for FILE.html, with the time of each "
        "operator, else JSON",
    )
    add(
        "--allow-float-fallback",
        action="store_true",
        help="write the file even if a layer that trains as binary ships as float",
    )
    add(
        "--head",
        choices=HEADS,
        default="float32",
        help="type of the weights of the dense layers before the outputs, by default "
        "%(default)s; what the others round is reported",
    )
    add(
        "--ops",
        choices=("lce", "builtin"),
        default="lce",
        help="builtin writes a file without custom operators, for where none can be loaded: "
        "larger and slower",
    )
    add(
        "--input-type",
        choices=INPUT_TYPES,
        default="float32",
        help="uint8 takes pixels of 0 to 255, int8 those less 128: the file normalizes them "
        "with --mean and --std; by default it takes normalized float32",
    )
    add(
        "--labels",
        metavar="FILE",
        type=Path,
        help="names of the classes, one in each line, for the file's metadata",
    )
    add(
        "--recipe",
        metavar="FILE",
        type=Path,
        help="what the model was trained with, whose SHA-256 the metadata keep",
    )
    add(
        "--passes",
        metavar="NAMES",
        default="all",
        help=f"passes over the file: all, none, or some of {','.join(PASSES)}",
    )
    add(
        "--check-inputs",
        metavar="DIR",
        type=Path,
        help="check on the images in this folder, resized and cropped at the center, instead "
        "of noise",
    )
    add(
        "--check-count",
        metavar="N",
        type=_positive,
        default=CHECK_INPUTS,
        help="check on N inputs, by default %(default)s",
    )
    add(
        "--mean",
        type=_floats,
        metavar="M[,M...]",
        help="mean of the pixels, in [0, 1], that the model's preprocessing subtracts; by "
        "default ImageNet's for 3 channels, 0.5 for others, none before a Rescaling layer",
    )
    add(
        "--std",
        type=_floats,
        metavar="S[,S...]",
        help="standard deviation that it divides by; by default ImageNet's for 3 channels, "
        "0.25 for others",
    )
    add(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module first, which registers layers or quantizers of your own",
    )
    add(
        "--trust-code",
        action="store_true",
        help="run Python code that the model's file carries, such as Lambda layers",
    )
    return arguments


class _SignalError(BaseException):
    """SIGINT or SIGTERM."""


class _Signals:
    """Raises at SIGINT and SIGTERM, and notes them.

    They are noted because foreign code may make another error of what was raised in it, as an
    import that is interrupted does, or lose it, as Python does in the callback of a weak
    reference.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._are_heeded = True

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """In the block, they raise."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            numbers.append(signal.SIGINT)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def raise_received(self) -> None:
        """Raises again, should the error have been lost."""
        if self.received:
            raise _SignalError

    def heed_no_more(self) -> None:
        """Lets what is left, which takes no time, be done whole."""
        self.raise_received()
        self._are_heeded = False

    def _note(self, number: int, _frame: object) -> None:
        if self._are_heeded:
            self.received.append(number)
            raise _SignalError


class _VisibleProgress(Progress):
    """Prints the steps and their times to stdout, with a clock where stderr is a terminal."""

    def __init__(self, steps: int, signals: _Signals):
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


def _prepare(arguments: argparse.Namespace) -> None:
    check_writable(arguments.output, arguments.force)
    if arguments.report is not None:
        if arguments.report.resolve() == arguments.output.resolve():
            raise ConversionError(
                f"--report and --output are both {arguments.report}: name two files."
            )
        check_writable(arguments.report, arguments.force)
    for module in arguments.imports:
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConversionError(
                f"--import {module}: {error}; run {_PROGRAM} in the folder of the module or "
                "set PYTHONPATH."
            ) from error


def _file_options(
    arguments: argparse.Namespace, normalize: check_inputs.Normalization
) -> FileOptions:
    recipe = None
    if arguments.recipe is not None:
        try:
            recipe = hashlib.sha256(arguments.recipe.read_bytes()).hexdigest()
        except OSError as error:
            raise ConversionError(
                f"--recipe {arguments.recipe} cannot be read ({error.strerror}): name a file."
            ) from error
    return FileOptions(
        passes=selected_passes(arguments.passes),
        head=arguments.head,
        ops=arguments.ops,
        input_type=arguments.input_type,
        normalize=normalize,
        labels=None if arguments.labels is None else read_labels(arguments.labels),
        recipe_sha256=recipe,
    )


def _report(arguments: argparse.Namespace, result: ConversionResult) -> bytes | None:
    if arguments.report is None:
        return None
    if arguments.report.suffix != ".html":
        return result.report.to_json().encode()
    return html_report(result.report, profile(Flatbuffer(result.content))).encode()


def _convert(arguments: argparse.Namespace, signals: _Signals) -> ConversionResult:
    progress = _VisibleProgress(
        6 + (arguments.head != "float32") + (arguments.ops != "lce"), signals
    )
    with progress.step("load"):
        loaded = load_model(arguments.model, trust_code=arguments.trust_code)
        model = loaded.model
        normalize = check_inputs.normalization_for(model, arguments.mean, arguments.std)
        options = _file_options(arguments, normalize)
        shape = tuple(model.inputs[0].shape[1:])
        count = arguments.check_count
        if arguments.check_inputs is None:
            inputs, source = check_inputs.noise(shape, count, normalize), "noise"
        else:
            inputs = check_inputs.images(arguments.check_inputs, shape, count, normalize)
            source = f"images in {arguments.check_inputs}"
    result = convert(
        model,
        inputs,
        source=source,
        name=loaded.source,
        allow_float_fallback=arguments.allow_float_fallback,
        progress=progress,
        options=options,
    )
    if not loaded.is_trained:
        result.report.notes.append(
            "the weights are random: the file is good for measuring latency only"
        )
    # Lines of a file or a pipe need not fit a screen.
    width = None if sys.stdout.isatty() else 160
    print_report(result.report, rich.console.Console(width=width))
    report = _report(arguments, result)
    signals.heed_no_more()
    if report is not None:
        write_atomically(arguments.report, report, arguments.force)
    if not arguments.allow_float_fallback:
        result.require_binary()
    result.require_equal()
    with progress.step("write"):
        write_atomically(arguments.output, result.content, arguments.force)
    print(f"wrote {arguments.output}")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; by default those of the process.

    Returns:
        The exit status: 0, 1, 2, 130 or 143, as `--help` explains.
    """
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    signals = _Signals()
    try:
        with signals.raised():
            _prepare(arguments)
            _convert(arguments, signals)
    except BaseException as error:
        if signals.received:
            number = signals.received[0]
            how = "interrupted" if number == signal.SIGINT else "terminated"
            print(f"{_PROGRAM}: {how}, nothing is written", file=sys.stderr)
            return 128 + number
        if isinstance(error, FloatFallbackError | CheckError):
            print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
            return 1
        if isinstance(error, UserError):
            print(f"{_PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
