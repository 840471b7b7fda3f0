"""What is done to an image before a network takes it: the one description of it.

A recipe has it, training saves it in the model, the conversion writes it into the file, and
whatever reads images does what it says. `larq_bcd.data.images` does it to pixels.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from larq_bcd._choices import INPUT_TYPES
from larq_bcd.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
LARGEST_RESIZE = 16_384
_WHITE = 255
_COLORS = {1: "grayscale", 3: "RGB"}


def fail(key: str, value, allowed: str) -> None:
    """Refuses a value that came with a key, and says what is allowed."""
    raise ValueError(f"{key}={value!r} is not supported: pass {allowed}.")


@dataclass(frozen=True)
class Preprocessing:
    """What every image of a model goes through, in training, in evaluation and on the device.

    Attributes:
        image_size: height and width of the network's input in pixels.
        mean: mean of each channel of the training images, of values in [0, 1]; one value
            makes a grayscale input.
        std: standard deviation of each channel, likewise.
        resize: in evaluation, the shorter side of the image in pixels before the center of
            `image_size` is cut out, 256 for 224 in the papers; `None` squeezes the whole
            image into `image_size`.
        resampling: how images are resized, `"bilinear"` or `"bicubic"`, antialiased.
        encoding: what goes in: `"float32"`, normalized pixels; `"uint8"`, pixels of 0 to 255,
            or `"int8"`, those less 128, which the file normalizes itself.
    """

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    image_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int | None = 256
    resampling: str = "bilinear"
    encoding: str = "float32"

    def __post_init__(self):
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            fail("image_size", self.image_size, "height and width, such as (224, 224)")
        if len(self.mean) not in _COLORS or not all(map(math.isfinite, self.mean)):
            fail("mean", self.mean, "one value for grayscale images, or three for RGB")
        if len(self.std) != len(self.mean) or not all(0 < x < math.inf for x in self.std):
            fail("std", self.std, "as many positive values as mean has")
        longer = max(self.image_size)
        if self.resize is not None and not longer <= self.resize <= LARGEST_RESIZE:
            allowed = f"at least {longer}, the image_size, and at most {LARGEST_RESIZE}"
            fail("resize", self.resize, allowed)
        if self.resampling not in ("bilinear", "bicubic"):
            fail("resampling", self.resampling, "'bilinear' or 'bicubic'")
        if self.encoding not in INPUT_TYPES:
            fail("encoding", self.encoding, f"one of {', '.join(INPUT_TYPES)}")

    @classmethod
    def from_plain(cls, content: Mapping) -> "Preprocessing":
        """Returns what `to_plain` made of one.

        Raises:
            ValueError: if it is something else.
        """
        names = {entry.name for entry in dataclasses.fields(cls)}
        if not isinstance(content, Mapping) or set(content) != names:
            fail("preprocessing", content, f"a mapping of {', '.join(sorted(names))}")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        try:
            return cls(**values)
        except TypeError as error:  # of a value that has no length or no order
            raise ValueError(f"preprocessing={content!r} is not supported: {error}.") from None

    def to_plain(self) -> dict:
        """Returns it as plain data, for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 or 3."""
        return len(self.mean)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return (*self.image_size, self.channels)

    @property
    def black(self) -> int:
        """What a black pixel is in an encoding of bytes."""
        return -128 if self.encoding == "int8" else 0

    def in_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of pixels of 0 to 255, float32 `(channels,)`."""
        return (
            np.asarray(_WHITE * np.array(self.mean, np.float64), np.float32),
            np.asarray(_WHITE * np.array(self.std, np.float64), np.float32),
        )

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """Returns what the network computes with.

        Args:
            pixels: of 0 to 255, `(..., channels)`.

        Returns:
            float32, `(pixels - mean) / std`.
        """
        mean, std = self.in_pixels()
        return (pixels.astype(np.float32) - mean) / std

    def encoded(self, pixels: np.ndarray) -> np.ndarray:
        """Returns pixels of 0 to 255, `(..., channels)`, as `encoding` says."""
        if self.encoding == "float32":
            return self.normalized(pixels)
        return (pixels.astype(np.int16) + self.black).astype(self.encoding)

    def decoded(self, encoded: np.ndarray) -> np.ndarray:
        """Returns what the network computes with, of what `encoded` returned."""
        if self.encoding == "float32":
            return encoded
        return self.normalized(encoded.astype(np.int16) - self.black)

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Returns the pixels next to normalized values: uint8 `(..., channels)`."""
        mean, std = (array.astype(np.float64) for array in self.in_pixels())
        return np.rint(values * std + mean).clip(0, _WHITE).astype(np.uint8)

    def __str__(self) -> str:
        height, width = self.image_size
        if self.resize is None:
            geometry = "the whole image resized"
        else:
            geometry = f"the center of an image whose shorter side is resized to {self.resize}"
        mean, std = (", ".join(f"{x:.4g}" for x in values) for values in (self.mean, self.std))
        values = f"mean {mean}, std {std} of values in [0, 1]"
        if self.encoding != "float32":
            values = f"{self.encoding} pixels go in, normalized inside with {values}"
        size = f"{width}x{height} {_COLORS[self.channels]}"
        return f"{size}, {geometry}, {self.resampling}; {values}"


@dataclass(frozen=True)
class Description:
    """What is known of a model, and from where.

    Attributes:
        preprocessing: of its images, None if it is not known.
        class_names: names of its classes in the order of its outputs, None if not known.
        origin: where the preprocessing is from, in words.
        names_origin: likewise, of the names.
    """

    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    origin: str = ""
    names_origin: str = ""

    def with_preprocessing(
        self,
        input_shape: Sequence[int | None],
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        resize: int | None = None,
        resampling: str | None = None,
    ) -> "Description":
        """Returns a description in which what a user gives takes the place of what is known.

        Args:
            input_shape: height, width and channels of the model's input.
            mean, std: one value for each channel or one for all; None for what is known.
            resize: as `Preprocessing` has it, and 0 for the whole image; None for what is
                known, or for the whole image where nothing is.
            resampling: likewise; bilinear where nothing is known.

        Raises:
            UserError: if a value is out of range or does not fit the input, or if mean or
                standard deviation are neither known nor given.
        """
        options = {"mean": mean, "std": std, "resize": resize, "resampling": resampling}
        given: dict[str, Any] = {
            key: value for key, value in options.items() if value is not None
        }
        if not given:
            return self
        named = " and ".join(f"--{key}" for key in given)
        if len(input_shape) != 3 or input_shape[-1] not in _COLORS or None in input_shape:
            raise UserError(
                f"{named}: the model takes inputs of shape {tuple(input_shape)}, not images of "
                "1 or 3 channels: leave it out."
            )
        height, width, channels = (int(side or 0) for side in input_shape)
        for key in ("mean", "std"):
            if key in given:
                if len(given[key]) not in (1, channels):
                    raise UserError(
                        f"--{key} has {len(given[key])} values, but the model's input has "
                        f"{channels} channels: give 1 or {channels} values."
                    )
                given[key] = tuple(given[key]) * (channels // len(given[key]))
        missing = [f"--{key}" for key in ("mean", "std") if key not in given]
        if self.preprocessing is None and missing:
            raise UserError(
                f"{named}: nothing else is known of the model's preprocessing: give "
                f"{' and '.join(missing)} too."
            )
        if self.preprocessing is None:
            origin, values = named, dict[str, Any](resize=None)
        else:
            origin, values = f"{named}, the rest {self.origin}", dict(vars(self.preprocessing))
        values |= {**given, "image_size": (height, width)}
        values["resize"] = values["resize"] or None
        try:
            preprocessing = Preprocessing(**values)
        except ValueError as error:
            raise UserError(f"--{error}") from None
        return dataclasses.replace(self, preprocessing=preprocessing, origin=origin)

    def lines(self) -> list[str]:
        """Says what is known and from where, in lines for people."""
        if self.preprocessing is None:
            lines = ["preprocessing: not known"]
        else:
            lines = [f"preprocessing: {self.preprocessing} ({self.origin})"]
        if self.class_names is not None:
            few = ", ".join(self.class_names[:3])
            more = ", ..." if len(self.class_names) > 3 else ""
            lines.append(f"classes: {len(self.class_names)}, {few}{more} ({self.names_origin})")
        return lines
