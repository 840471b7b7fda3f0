"""A folder of images, with a folder for each class."""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.data import splits
from larq_bcd.data.images import SUFFIXES
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError


class FolderSource(Source):
    """The images of a folder, `FOLDER/SPLIT/CLASS/IMAGE` or `FOLDER/CLASS/IMAGE`.

    They are in an order that mixes the classes, so that a part of a split is the same part
    of each class, and that depends on the names of the files alone. Only the names are read.

    Raises:
        UserError: if there is no such split, no class, or a class without images.
    """

    def __init__(self, name: str, folder: Path, split: str, removed: Collection[str] = ()):
        split_name, start, stop = splits.parse(split)
        of_split, class_names = _classes(folder, split_name)
        gone = {path for path in removed if not (of_split / path).exists()}
        files = _ordered(of_split, class_names, gone)
        first, last = splits.bounds(start, stop, len(files))
        if first >= last:
            raise UserError(
                f"split {split!r} of {name!r} is empty: {split_name!r} has {len(files)} images."
            )
        self._paths = np.array([path for path, _ in files[first:last]], dtype=object)
        self._labels = np.array([label for _, label in files[first:last]], dtype=np.int64)
        inside = len(os.fsencode(of_split))
        names = [path[inside:] for path in self._paths]
        super().__init__(
            name, split, tuple(class_names), np.ones(last - first, np.int64), names
        )
        self._folder = of_split
        self.own_classes = tuple(name for name in class_names if (of_split / name).is_dir())
        is_gone = np.array([os.fsdecode(name[1:]) in gone for name in names])
        self.gone, there = np.flatnonzero(is_gone), np.flatnonzero(~is_gone)
        # The next that is there, as where an image is broken.
        following = there[np.searchsorted(there, self.gone) % len(there)]
        self._paths[self.gone] = self._paths[following]
        self._labels[self.gone] = self._labels[following]

    def locate(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the files, each with offset 0, and their classes."""
        offsets = np.zeros(len(examples), np.int64)
        return self._paths[examples], offsets, self._labels[examples]

    def read(self, path: tf.Tensor, offset: tf.Tensor, label: tf.Tensor) -> tf.data.Dataset:
        """Returns a data set of the content and the class of a file."""
        return tf.data.Dataset.from_tensors((path, label)).map(_read)

    def contents(self) -> tf.data.Dataset:
        """Returns a data set of all examples in order: encoded image and label."""
        examples = tf.data.Dataset.from_tensor_slices((list(self._paths), self._labels))
        return examples.map(_read, tf.data.AUTOTUNE)

    def describe(self, path: bytes, offset: int) -> str:
        return path.decode(errors="replace")

    def broken_files(self) -> list[str]:
        """Returns the broken images as `CLASS/IMAGE`."""
        return [Path(image).relative_to(self._folder).as_posix() for image in self.broken]


def _read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.io.read_file(path), label


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(name for name in names if not name.startswith("."))


def _images(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the images in a folder, and its other files."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    return images, sorted(set(names) - set(images))


def _classes(folder: Path, split: str) -> tuple[Path, list[str]]:
    """Returns the folder of a split, and the classes of all splits, in order."""
    inside = _folders(folder)
    if not inside:
        raise UserError(
            f"{str(folder)!r} has no folders inside: it needs one for each class, or one for "
            "each split with those of the classes inside."
        )
    split_folders = [name for name in inside if _folders(folder / name)]
    if not split_folders:  # the classes themselves
        if split != "train":
            raise splits.NoSplitError(
                f"{str(folder)!r} has no split {split!r}: its folders {_few(inside)} are taken "
                "for classes, all of the split 'train'. Use a part of it, such as "
                "'train[90%:]', or put the classes into a folder for each split."
            )
        return folder, inside
    if split not in split_folders:
        raise splits.NoSplitError(
            f"{str(folder)!r} has no split {split!r}: its folders with classes inside are "
            f"{_few(split_folders)}{did_you_mean(split, split_folders, '; ') or '.'}"
        )
    names = {name for other in split_folders for name in _folders(folder / other)}
    return folder / split, sorted(names)


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")


def _ordered(
    folder: Path, class_names: list[str], gone: Collection[str] = ()
) -> list[tuple[bytes, int]]:
    """Returns the images of a split and their classes, evenly mixed.

    Paths are bytes: a name may be in any encoding. Those that are gone keep their places.
    """
    ranked = []
    left_out: list[Path] = []
    for label, name in enumerate(class_names):
        if not (folder / name).is_dir():  # a class of another split alone
            continue
        images, others = _images(folder / name)
        left_out += [folder / name / other for other in others]
        images += [Path(path).name for path in gone if Path(path).parent.name == name]
        if not images:
            raise UserError(
                f"the class folder {str(folder / name)!r} holds no images "
                f"({', '.join(SUFFIXES)}): fill or remove it."
            )
        images.sort(
            key=lambda image: hashlib.blake2b(os.fsencode(image), digest_size=8).digest()
        )
        ranked += [
            ((rank + 0.5) / len(images), label, os.fsencode(folder / name / image))
            for rank, image in enumerate(images)
        ]
    ranked.sort()
    if left_out:
        tf.get_logger().warning(
            "left out %d files of %s that are not images of a format that is read (%s), the "
            "first %s",
            len(left_out),
            folder,
            ", ".join(SUFFIXES),
            left_out[0],
        )
    return [(path, label) for _, label, path in ranked]
