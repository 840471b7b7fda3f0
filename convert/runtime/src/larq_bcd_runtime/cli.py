"""The command bcd-run: classifies images, or measures how fast a file is."""

import argparse
import contextlib
import io
import itertools
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Optional

import numpy as np

from larq_bcd_runtime import benchmark, camera
from larq_bcd_runtime.images import Classifier, chosen, fit, from_range
from larq_bcd_runtime.interpreter import Interpreter, ModelError


def parse(arguments: Optional[list[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="bcd-run",
        description="Classifies images with a .tflite file of Larq Compute Engine, or measures "
        "how long the file takes.",
        epilog="Examples: `bcd-run model.tflite cat.jpg dog.jpg`, `bcd-run model.tflite "
        "--benchmark --threads 4 --format json`. The exit code is 0, 1 if a file could not be "
        "read or served, 2 for wrong arguments.",
    )
    parser.add_argument("model", help="a .tflite file of Larq Compute Engine")
    parser.add_argument(
        "images", nargs="*",
        help="images to classify: JPEG, PNG, WebP, BMP, GIF, PPM or TIFF; - reads one from "
        "standard input",
    )  # fmt: skip
    parser.add_argument(
        "--camera", action="store_true", help="classify what a camera sees, until interrupted"
    )
    parser.add_argument("--frames", type=int, help="stop the camera after so many pictures")
    parser.add_argument(
        "--benchmark", action="store_true",
        help="time predictions on random input, and every stage of the network",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, help="text file, one class per line (default: the file's own)"
    )
    parser.add_argument("--top", type=int, default=5, help="classes to print (default 5)")
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="what black and white become (default: what the file says)",
    )  # fmt: skip
    for name, value in {"mean": "mean", "std": "standard deviation"}.items():
        parser.add_argument(
            f"--{name}", type=_floats, metavar="X[,X...]",
            help=f"{value} of the pixels in [0, 1] (default: what the file says)",
        )  # fmt: skip
    parser.add_argument(
        "--resize", type=int, metavar="SIDE",
        help="shorter side of an image before the center is cut out, 0 for the whole image "
        "(default: what the file says, else 0)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, default=1, help="processor cores to use, 1 to 64 (default 1)"
    )
    parser.add_argument(
        "--trial", action="store_true",
        help="run the file in a process of its own first, as one with a rare operator is: for "
        "files that nobody vouches for",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=int, help="predictions that the benchmark times (default 50)"
    )
    parser.add_argument(
        "--format", choices=["text", "csv", "json"],
        help="of the benchmark's result (default text)",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", default=None,
        help=f"print every stage of the benchmark, not the {benchmark.LARGEST} largest alone",
    )  # fmt: skip
    # Images may stand behind options too.
    options = parser.parse_intermixed_args(arguments)
    if bool(options.images) + options.benchmark + options.camera != 1:
        parser.error("give either images, or --camera, or --benchmark")
    modes = {"frames": "camera", **dict.fromkeys(("runs", "format", "all"), "benchmark")}
    for name, mode in modes.items():
        if getattr(options, name) is not None and not getattr(options, mode):
            parser.error(f"--{name} goes with --{mode} only")
    for name in ("runs", "top", "frames"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}, and has to be at least 1")
    if not 1 <= options.threads <= 64:
        parser.error(f"--threads is {options.threads}, and has to be from 1 to 64")
    if options.range is not None:
        low, high = options.range
        # NaN is not at least anything.
        if not (abs(high - low) >= 1e-6 and max(abs(low), abs(high)) <= 1e6):
            parser.error(f"--range is {low} {high}, and has to be two different numbers to 1e6")
        if options.mean or options.std:
            parser.error("--range says what --mean and --std say: give either")
    if options.std and min(options.std) <= 0:
        parser.error(f"--std is {options.std}, and has to be above 0")
    return options


def _floats(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(abs(value) <= 1e6 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} are not numbers such as 0.5,0.5,0.5")
    return values


def _read_labels(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8: give one label a line.") from None


def classify(interpreter: Interpreter, options: argparse.Namespace) -> int:
    """Prints the best classes of every image, or of the camera's frames.

    Returns:
        How many images could not be read; each is named on stderr.
    """
    classifier = Classifier(
        interpreter,
        _preprocessing(interpreter, options),
        _read_labels(options.labels) if options.labels else None,
    )

    def show(name: str, pixels: np.ndarray) -> None:
        best = classifier.classify(pixels, options.top)
        print(name)
        for label, share in best:
            print(f"  {share:6.1%}  {label}", flush=True)

    if options.camera:
        for name, pixels in _camera_pictures(classifier, options.frames):
            show(name, pixels)
        return 0
    failures = 0
    for path in options.images:
        try:
            pixels = classifier.read(_standard_input() if path == "-" else path)
        except (ValueError, OSError) as error:
            failures += 1
            _complain(error)
        else:
            show(path, pixels)
    return failures


def _standard_input() -> io.BytesIO:
    content = io.BytesIO(sys.stdin.buffer.read())
    content.name = "standard input"
    return content


def _preprocessing(interpreter: Interpreter, options: argparse.Namespace):
    """What the options say of it; None leaves it to the file."""
    if len(interpreter.input_details) != 1:
        return None  # which is for the classifier to refuse
    if options.range:
        given = from_range(*options.range)
        return chosen(interpreter, given.mean, given.std, options.resize)
    if options.mean is None and options.std is None and options.resize is None:
        return None
    mean, std = (
        None if values is None else tuple(255 * value for value in values)
        for values in (options.mean, options.std)
    )
    return chosen(interpreter, mean, std, options.resize)


def _camera_pictures(classifier: Classifier, count: Optional[int]):
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    for index, frame in enumerate(itertools.islice(camera.frames(), count)):
        yield (
            f"frame {index}",
            fit(Image.fromarray(np.ascontiguousarray(frame)), classifier.input, classifier.how),
        )


def _complain(error: Exception) -> None:
    if isinstance(error, OSError) and error.filename is not None:
        error = OSError(f"{error.filename}: {error.strerror}")
    print("bcd-run:", " ".join(str(error).split()), file=sys.stderr)


@contextlib.contextmanager
def _without_information():
    """Keeps back the lines in which LiteRT says, on stderr, what it does for information."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


def _open(options: argparse.Namespace) -> Interpreter:
    try:
        with _without_information():
            return Interpreter(
                options.model,
                options.threads,
                profile=options.benchmark,
                trial=options.trial or None,
            )
    except ModelError as error:
        raise ModelError(f"{options.model}: {error}") from None


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command; an error is one line on stderr and exit code 1."""
    options = parse(arguments)
    # An image of broken EXIF data is read without them.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        interpreter = _open(options)
        if options.benchmark:
            name = Path(options.model).name
            result = benchmark.measure(interpreter, name, options.threads, options.runs or 50)
            benchmark.show(result, options.format or "text", bool(options.all))
            sys.stdout.flush()
        else:
            return 1 if classify(interpreter, options) else 0
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` does; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ModelError, ValueError, OSError) as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
