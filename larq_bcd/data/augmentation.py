"""The random changes of training images, as data: what a recipe says about them.

The classes check their own values, so that a recipe's schema can use them as they are:
pydantic builds them from a mapping, and forbids unknown keys.
"""

from dataclasses import dataclass
from typing import ClassVar

from larq_bcd.data.preprocessing import fail


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the image, resized to the network's input, as in torchvision.

    Attributes:
        scale: smallest and largest area of the part, as a share of the image.
        ratio: smallest and largest width over height of the part.
    """

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            fail(
                "scale", self.scale, "smallest and largest share, 0 < smallest <= largest <= 1"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            fail("ratio", self.ratio, "smallest and largest positive ratio")


@dataclass(frozen=True)
class ColorJitter:
    """Random brightness, contrast, saturation and hue, in random order, as in torchvision.

    Attributes:
        brightness: the factor is drawn from [1 - brightness, 1 + brightness].
        contrast: likewise.
        saturation: likewise.
        hue: the shift is drawn from [-hue, hue], in turns of the color circle.
    """

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self):
        for key in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, key) <= 1:
                fail(key, getattr(self, key), "a number from 0 to 1")
        if not 0 <= self.hue <= 0.5:
            fail("hue", self.hue, "a number from 0 to 0.5")


@dataclass(frozen=True)
class Augmentation:
    """The random changes of training images, in the order in which they are made.

    Attributes:
        random_resized_crop: a random part of the image, for large images.
        pad_crop: pixels of the mean color that are added on every side before a random
            part of `image_size` is cut out, for small images.
        horizontal_flip: whether every other image is mirrored.
        color_jitter: random changes of color.
        cutout: side in pixels of a square that is blanked with the mean color around a
            random pixel (arXiv 1708.04552).
        mixup: alpha of the Beta distribution of the share in which two images and their
            labels are blended (arXiv 1710.09412).
        cutmix: alpha of the Beta distribution of the share of a rectangle that comes from
            another image, with its share of the label (arXiv 1905.04899); with `mixup`, a
            pair gets either, at even odds.
    """

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    random_resized_crop: RandomResizedCrop | None = None
    pad_crop: int | None = None
    horizontal_flip: bool = False
    color_jitter: ColorJitter | None = None
    cutout: int | None = None
    mixup: float | None = None
    cutmix: float | None = None

    def __post_init__(self):
        if self.random_resized_crop and self.pad_crop:
            fail("pad_crop", self.pad_crop, "either it or random_resized_crop")
        for key in ("pad_crop", "cutout", "mixup", "cutmix"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                fail(key, value, "a positive number, or leave it out")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in pairs, so that labels become soft."""
        return self.mixup is not None or self.cutmix is not None
