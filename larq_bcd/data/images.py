"""The reader of images: from a file to the pixels that a network takes, by Pillow.

One rule for training, evaluation, explanation, the check of a conversion and, in a module of
its own that gives the same pixels, the runtime on a device:

- Formats: JPEG, PNG, WebP, BMP, GIF, PPM and TIFF; of an animation or several pages the first.
- The image is turned upright, as the orientation in its EXIF data says.
- Of 16 bits the upper 8 count; pixels of 32 bits, which have no range, are refused.
- Palettes and CMYK become RGB; transparency is dropped. Gray for an RGB input is repeated, and
  colors for a grayscale input are weighted as in ITU-R 601.
- `fit` resizes and cuts out as a `Preprocessing` says, in pixels of 8 bits.
"""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MOST_PIXELS = 1 << 27
_LONGEST = 100  # times the shorter side: a line of pixels would fill the memory
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def decode(contents: bytes, channels: int) -> Image.Image:
    """Decodes an image as the rule of this module says.

    Args:
        contents: the bytes of a file.
        channels: 1 or 3.

    Returns:
        An image of mode `L` or `RGB`.

    Raises:
        ValueError: if it is not such an image, is damaged or of no use; it says why.
    """
    try:
        with Image.open(io.BytesIO(contents), formats=_FORMATS) as image:
            if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
                raise ValueError("it has pixels of 32 bits: save it with 8 or 16 bits")
            if max(image.size) > _LONGEST * min(image.size):
                raise ValueError(f"it is {image.width}x{image.height}, a line")
            upright = _of_8_bits(ImageOps.exif_transpose(image))
            return upright.convert("RGB" if channels == 3 else "L")
    except UnidentifiedImageError:
        raise ValueError(f"it is not an image in one of {', '.join(_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise ValueError("it has too many pixels: make it smaller") from None
    # What Pillow raises for damaged files of its formats, beside a ValueError.
    except (OSError, SyntaxError, EOFError, TypeError, IndexError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Takes the upper half of 16 bits, which Pillow would cut off at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def fit(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Resizes an image and cuts out its center.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: if its longer side would get too long.
    """
    height, width = preprocessing.image_size
    resampling = _RESAMPLING[preprocessing.resampling]
    if preprocessing.resize is None:
        image = image.resize((width, height), resampling)
    else:
        # Rounded as in torchvision: down, and for the corner to even at a half.
        shorter = min(image.size)
        columns, rows = (side * preprocessing.resize // shorter for side in image.size)
        if columns * rows > _MOST_PIXELS:
            raise ValueError(f"it is {image.width}x{image.height}, too long to be resized")
        image = image.resize((columns, rows), resampling)
        left, top = round((columns - width) / 2), round((rows - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.uint8).reshape(preprocessing.input_shape)


def read_pixels(path: str | os.PathLike, preprocessing: Preprocessing) -> np.ndarray:
    """Reads an image file as a network is to see it, in pixels.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return fit(decode(Path(path).read_bytes(), preprocessing.channels), preprocessing)
    except OSError as error:
        raise UserError(
            f"the image {path} cannot be read ({error.strerror}): check its path."
        ) from error
    except ValueError as error:
        raise UserError(
            f"the image {path} cannot be read ({error}): repair or remove it."
        ) from error


def find(folder: Path) -> list[Path]:
    """Returns the images of a folder and its sub-folders, in alphabetic order."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
