"""Images in, probabilities out."""

from pathlib import Path
from typing import Optional, Union

import numpy as np

from larq_bcd_runtime.interpreter import Interpreter, ModelError, TensorDetail
from larq_bcd_runtime.model_file import Preprocessing

# -1 to 1, where neither the file nor the user says otherwise.
DEFAULT = Preprocessing(mean=(127.5,), std=(127.5,))
_LONGEST = 100  # times the shorter side


def from_range(low: float, high: float) -> Preprocessing:
    """Returns the preprocessing that makes black and white these values."""
    std = 255 / (high - low)
    return Preprocessing(mean=(-low * std,), std=(std,))


def read_image(path: Union[str, Path], detail: TensorDetail) -> np.ndarray:
    """Returns the pixels of an image file, resized and center cropped for an input.

    Args:
        path: any image that Pillow reads; turned upright, as its EXIF data say.
        detail: the input; NHWC with 1 or 3 channels.

    Returns:
        uint8, shape (height, width, channels).

    Raises:
        ModelError: the input takes no images, or Pillow is not installed.
        ValueError: the file is no image, a damaged one, or one of no use.
        OSError: it cannot be read.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ModelError("images need Pillow: run `pip install pillow`.") from None
    _check_is_image(detail)
    # Opened apart, so that what goes wrong with the file is told from what is wrong in it.
    with open(path, "rb") as file:
        try:
            with Image.open(file) as image:
                _check_can_be_fitted(path, image)
                return fit(_of_8_bits(ImageOps.exif_transpose(image)), detail)
        except UnidentifiedImageError:
            raise ValueError(f"{path} is no image that Pillow can read.") from None
        except Image.DecompressionBombError:
            raise ValueError(f"{path} has too many pixels: make it smaller.") from None
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} is a damaged image: {error}.") from None


def _check_is_image(detail: TensorDetail) -> None:
    if len(detail.shape) != 4 or detail.shape[3] not in (1, 3):
        raise ModelError(f"input {detail.name} of shape {detail.shape} is no image.")


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


def fit(image, detail: TensorDetail) -> np.ndarray:
    """Resizes a Pillow image so that it covers an input, and cuts out its center."""
    from PIL import Image

    _, height, width, channels = detail.shape
    image = image.convert("RGB" if channels == 3 else "L")
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - width) // 2, (image.height - height) // 2
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
        how: the preprocessing, by default the file's own, else -1 to 1.
        labels: the names of the classes, by default the file's own, else their numbers.

    Raises:
        ModelError: the file does not classify images, or has another number of classes.
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
        self._how = how or interpreter.file.preprocessing or DEFAULT
        classes = int(np.prod(self._output.shape[1:]))
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
        batch = prepare(pixels, self.input, self._how)
        shares = probabilities(self._interpreter.predict(batch), self._output)
        if not np.isfinite(shares).all():
            raise ModelError("the outputs are no finite numbers: try another --range.")
        best = np.argsort(-shares, kind="stable")[:top]
        return [(self._labels[index], float(shares[index])) for index in best]
