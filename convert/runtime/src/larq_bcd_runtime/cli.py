"""The command bcd-run: classifies images, or measures how fast a file is."""

import argparse
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import numpy as np

from larq_bcd_runtime import benchmark, camera
from larq_bcd_runtime.images import Classifier, fit, from_range, read_image
from larq_bcd_runtime.interpreter import Interpreter, ModelError


def parse(arguments: Optional[list[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="bcd-run", description=__doc__)
    parser.add_argument("model", help="a .tflite file of Larq Compute Engine")
    parser.add_argument("images", nargs="*", help="images to classify")
    parser.add_argument("--camera", action="store_true", help="classify a camera's frames")
    parser.add_argument("--frames", type=int, help="stop after so many (default: never)")
    parser.add_argument("--benchmark", action="store_true", help="time it on random input")
    parser.add_argument(
        "--labels", type=Path, help="text file, one class per line (default: the file's own)"
    )
    parser.add_argument("--top", type=int, default=5, help="classes to print (default 5)")
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="what black and white become (default: what the file says, else -1 1)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="(default 1)")
    parser.add_argument("--runs", type=int, default=50, help="timed runs (default 50)")
    parser.add_argument("--format", choices=["text", "csv", "json"], default="text",
                        help="of the benchmark's result")  # fmt: skip
    options = parser.parse_args(arguments)
    if bool(options.images) + options.benchmark + options.camera != 1:
        parser.error("give either images, or --camera, or --benchmark")
    for name in ("runs", "top", "frames"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}, and has to be at least 1")
    if options.range is not None and options.range[0] == options.range[1]:
        parser.error("--range needs two different values")
    return options


def classify(interpreter: Interpreter, options: argparse.Namespace) -> None:
    """Prints the best classes of every image, or of the camera's frames."""
    classifier = Classifier(
        interpreter,
        from_range(*options.range) if options.range else None,
        options.labels.read_text().splitlines() if options.labels else None,
    )
    pictures: Iterable[tuple[str, np.ndarray]]
    if options.camera:
        pictures = _camera_pictures(classifier, options.frames)
    else:
        pictures = ((path, read_image(path, classifier.input)) for path in options.images)
    for name, pixels in pictures:
        print(name)
        for label, share in classifier.classify(pixels, options.top):
            print(f"  {share:6.1%}  {label}", flush=True)


def _camera_pictures(classifier: Classifier, count: Optional[int]):
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    for index, frame in enumerate(itertools.islice(camera.frames(), count)):
        yield (
            f"frame {index}",
            fit(Image.fromarray(np.ascontiguousarray(frame)), classifier.input),
        )


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command; an error is one line on stderr and exit code 1."""
    options = parse(arguments)
    try:
        interpreter = Interpreter(options.model, options.threads, profile=options.benchmark)
        if options.benchmark:
            name = Path(options.model).name
            result = benchmark.measure(interpreter, name, options.threads, options.runs)
            benchmark.show(result, options.format)
        else:
            classify(interpreter, options)
    except (ModelError, ValueError, OSError) as error:
        print("bcd-run:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
