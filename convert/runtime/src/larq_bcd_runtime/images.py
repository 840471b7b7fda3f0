"""Images in, probabilities out.

The rule by which images are read is that of `larq_bcd.data.images`, with which networks are
trained and evaluated; the pixels are the same.
"""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Optional, Union

import numpy as np

from larq_bcd_runtime.interpreter import Interpreter, ModelError, TensorDetail
from larq_bcd_runtime.model_file import LARGEST_RESIZE, Preprocessing, is_possible

# Of pixels as they are: that of a file which takes bytes.
_PIXELS = Preprocessing(mean=(0.0,), std=(1.0,))
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MOST_PIXELS = 1 << 27
_LONGEST = 100  # times the shorter side


def from_range(low: float, high: float) -> Preprocessing:
    """Returns the preprocessing that makes black and white these values."""
    std = 255 / (high - low)
    return Preprocessing(mean=(-low * std,), std=(std,))


def read_image(
    path: Union[str, Path, BinaryIO], detail: TensorDetail, how: Preprocessing = _PIXELS
) -> np.ndarray:
    """Returns the pixels of an image file as an input is to see them.

    Args:
        path: a JPEG, PNG, WebP, BMP, GIF, PPM or TIFF file, or one that is open; turned
            upright, as its EXIF data say.
        detail: the input; NHWC with 1 or 3 channels.
        how: how the image is brought to its size; by default it is resized as a whole.

    Returns:
        uint8, shape (height, width, channels).

    Raises:
        ModelError: the input takes no images, or Pillow is not installed.
        ValueError: the file is not an image, a damaged one, or one of no use.
        OSError: it cannot be read.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    _check_is_image(detail)
    # Opened apart, so that what goes wrong with the file is told from what is wrong in it.
    with open(path, "rb") if isinstance(path, (str, Path)) else nullcontext(path) as file:
        path = getattr(file, "name", "the image")
        try:
            with Image.open(file, formats=_FORMATS) as image:
                _check_can_be_fitted(path, image)
                upright = _of_8_bits(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise ValueError(f"{path} is not an image that Pillow can read.") from None
        except Image.DecompressionBombError:
            raise ValueError(f"{path} has too many pixels: make it smaller.") from None
        except (OSError, SyntaxError, EOFError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is a damaged image: {error}.") from None
    try:
        return fit(upright, detail, how)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from None


def _check_is_image(detail: TensorDetail) -> None:
    if len(detail.shape) != 4 or detail.shape[3] not in (1, 3):
        raise ModelError(f"input {detail.name} of shape {detail.shape} is not an image.")


def _check_can_be_fitted(path: Union[str, Path], image) -> None:
    """Floats have no range of their own, and a line of pixels would fill the memory."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ValueError(f"{path} has pixels of 32 bits: save it with 8 or 16 bits.")
    if max(image.size) > _LONGEST * min(image.size):
        width, height = image.size
        raise ValueError(f"{path} is {width}x{height}, a line rather than an image.")


def _of_8_bits(image):
    """Takes the upper half of 16 bits, which Pillow would cut off at 255."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def fit(image, detail: TensorDetail, how: Preprocessing = _PIXELS) -> np.ndarray:
    """Brings a Pillow image to the size of an input; a ValueError if it gets too long."""
    from PIL import Image

    _, height, width, channels = detail.shape
    image = image.convert("RGB" if channels == 3 else "L")
    resampling = Image.Resampling[how.resampling.upper()]
    if how.resize is None:
        image = image.resize((width, height), resampling)
    else:
        shorter = min(image.size)
        columns, rows = (side * how.resize // shorter for side in image.size)
        if columns * rows > _MOST_PIXELS:
            raise ValueError(f"it is {image.width}x{image.height}, too long to be resized.")
        image = image.resize((columns, rows), resampling)
        left, top = round((columns - width) / 2), round((rows - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def prepare(pixels: np.ndarray, detail: TensorDetail, how: Preprocessing) -> np.ndarray:
    """Returns pixels as an input takes them, as a batch of one.

    A uint8 input takes the pixels as they are: its scale and zero point are the preprocessing.
    """
    if detail.dtype == np.uint8:
        return pixels[None]
    for name, values in (("mean", how.mean), ("std", how.std)):
        if len(values) not in (1, detail.shape[3]):
            raise ModelError(
                f"the file's metadata have {len(values)} values for {name}, and its input "
                f"{detail.name} {detail.shape[3]} channels."
            )
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    values = ((pixels.astype(np.float32) - mean) / std)[None]
    if detail.dtype == np.float32:
        return values
    if detail.dtype == np.int8 and detail.scale > 0:
        quantized = np.rint(values / np.float32(detail.scale)) + detail.zero_point
        return np.clip(quantized, -128, 127).astype(np.int8)
    raise ModelError(
        f"input {detail.name} takes {detail.dtype}; images need float32, int8 or uint8."
    )


def probabilities(outputs: np.ndarray, detail: TensorDetail) -> np.ndarray:
    """Returns the softmax of the logits, or the outputs themselves if they are one already."""
    scores = outputs.astype(np.float64).reshape(-1)
    if detail.scale > 0:
        scores = (scores - detail.zero_point) * detail.scale
    if (scores >= 0).all() and abs(scores.sum() - 1) < 1e-2:
        return scores
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


class Classifier:
    """Names the most probable classes of images.

    Args:
        interpreter: of a file with one image for input and one output.
        how: the preprocessing, by default the file's own.
        labels: the names of the classes, by default the file's own, else their numbers.

    Raises:
        ModelError: the file does not classify images, has another number of classes, or does
            not say how images are prepared for it.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        how: Optional[Preprocessing] = None,
        labels: Optional[list[str]] = None,
    ) -> None:
        if len(interpreter.input_details) != 1 or len(interpreter.output_details) != 1:
            raise ModelError("classification needs a file with one input and one output.")
        self._interpreter = interpreter
        (self.input,), (self._output,) = interpreter.input_details, interpreter.output_details
        _check_is_image(self.input)
        self.how = how or _of_file(interpreter)
        classes = _number_of_classes(self._output)
        names = interpreter.file.labels if labels is None else labels
        if names is None:
            names = [str(i) for i in range(classes)]
        if len(names) != classes:
            raise ModelError(
                f"there are {len(names)} labels for {classes} classes: give one line for each."
            )
        self._labels = list(names)

    def classify(self, pixels: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """Returns the best classes of an image of the input's size, and their probabilities.

        Raises:
            ModelError: the file gives no finite numbers.
        """
        batch = prepare(pixels, self.input, self.how)
        shares = probabilities(self._interpreter.predict(batch), self._output)
        if not np.isfinite(shares).all():
            raise ModelError("the outputs are not finite numbers: try another --range.")
        best = np.argsort(-shares, kind="stable")[:top]
        return [(self._labels[index], float(shares[index])) for index in best]

    def read(self, path: Union[str, Path, BinaryIO]) -> np.ndarray:
        """Returns the pixels of an image file, as `read_image` does."""
        return read_image(path, self.input, self.how)


def _number_of_classes(output: TensorDetail) -> int:
    """The length of an output that is one vector for an image."""
    *positions, classes = output.shape or (1,)
    if classes < 2 or int(np.prod(positions)) != 1:
        raise ModelError(
            f"output {output.name} of shape {output.shape} is not one value for each of "
            "several classes: run the file by larq_bcd_runtime.Interpreter, which returns it."
        )
    return classes


def _of_file(interpreter: Interpreter) -> Preprocessing:
    if interpreter.file.preprocessing is not None:
        return interpreter.file.preprocessing
    (detail,) = interpreter.input_details
    if detail.dtype == np.uint8:
        return _PIXELS
    raise ModelError(
        "the file does not say how images are prepared for it: give --mean and --std, of "
        "pixels in [0, 1], or --range, and --resize if the center is cut out."
    )


def chosen(
    interpreter: Interpreter,
    mean: Optional[tuple[float, ...]] = None,
    std: Optional[tuple[float, ...]] = None,
    resize: Optional[int] = None,
) -> Preprocessing:
    """Returns the preprocessing of a file, with what a user gives in the place of its own.

    Args:
        interpreter: of a file with one image for input.
        mean, std: of pixels of 0 to 255, one value per channel or one for all.
        resize: see `Preprocessing`; 0 for the whole image.

    Raises:
        ModelError: the file does not say the rest, or not with these values.
    """
    (detail,) = interpreter.input_details
    _check_is_image(detail)
    if mean is None or std is None:
        how = _of_file(interpreter)
        how = replace(how, mean=how.mean if mean is None else mean, std=std or how.std)
    else:
        how = replace(interpreter.file.preprocessing or _PIXELS, mean=mean, std=std)
    if (mean or std) and (interpreter.file.takes_pixels or detail.dtype == np.uint8):
        raise ModelError(
            f"the file takes pixels as {detail.dtype} and normalizes them itself: leave "
            "--mean, --std and --range out."
        )
    if resize is None:
        return how
    _, height, width, _ = detail.shape
    if resize and not is_possible(resize, height, width):
        least = max(height, width)
        raise ModelError(
            f"--resize is {resize}, and has to be 0 for the whole image, or from {least} to "
            f"{LARGEST_RESIZE}."
        )
    return replace(how, resize=resize or None)


def classify(
    image: Union[str, Path, BinaryIO, np.ndarray],
    file: Union[str, Path, Interpreter],
    top: int = 5,
) -> list[tuple[str, float]]:
    """Names the most probable classes of an image.

    Args:
        image: path of an image file, or one that is open; or pixels, uint8 of the shape
            (height, width, channels), of any height and width.
        file: a .tflite file that says how images are prepared for it, as `lce_convert` writes
            it, or an interpreter of one, which serves many images.
        top: number of classes.

    Returns:
        Their names, or numbers if the file has no names, and their probabilities, the most
        probable first.

    Raises:
        ModelError: the file does not classify images, or does not say how they are prepared.
        ValueError: the image is none, a damaged one, or one of no use.
        OSError: a file cannot be read.
    """
    interpreter = file if isinstance(file, Interpreter) else Interpreter(file)
    classifier = Classifier(interpreter)
    if not isinstance(image, np.ndarray):
        return classifier.classify(classifier.read(image), top)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(
            f"an image of {image.dtype} and shape {image.shape} is not supported: pass uint8 "
            "pixels of (height, width, 1 or 3)."
        )
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return classifier.classify(fit(picture, classifier.input, classifier.how), top)
