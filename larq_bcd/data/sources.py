"""Where labeled images come from: what a data set is to the pipelines."""

import abc
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from larq_bcd.errors import UserError

# The share of a source's images that may be broken.
_TOLERATED = 0.01


class Source(abc.ABC):
    """Labeled images that can be read in any order.

    Attributes:
        name: as the user gave it.
        split: likewise.
        class_names: names of the classes; a label is an index into it.
        groups: number of examples of each group that lies together, such as a file.
        digest: the same for the same images in another place, as far as names and numbers
            tell; 32 hexadecimal digits.
        broken: what is wrong with each image that could not be decoded, by the image's name;
            it grows while the images are read.
        failure: the error that ended the reading, if the user is at fault.
        own_classes: the classes that this split has, of those of all splits.
        gone: numbers of the examples that are counted and left out of evaluations, because a
            run has found them broken and they have been removed since.
    """

    gone = np.empty(0, np.int64)

    def __init__(
        self,
        name: str,
        split: str,
        class_names: tuple[str, ...],
        groups: np.ndarray,
        files: Iterable[bytes],
    ):
        self.name = name
        self.split = split
        self.class_names = class_names
        self.own_classes = class_names
        self.groups = groups
        self.broken: dict[str, str] = {}
        self.failure: UserError | None = None
        self._lock = threading.Lock()
        found = hashlib.blake2b(
            json.dumps([class_names, groups.tolist()]).encode(), digest_size=16
        )
        for file in files:
            found.update(file + b"\0")
        self.digest = found.hexdigest()

    @property
    def num_examples(self) -> int:
        """Number of images, those among them that turn out to be broken included."""
        return int(self.groups.sum())

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @abc.abstractmethod
    def locate(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds examples.

        Args:
            examples: int64 `(n,)`, indices in [0, num_examples).

        Returns:
            The paths (bytes), the offsets in bytes and the labels of what holds them, all
            `(n,)`; a label of -1 is read from there.
        """

    @abc.abstractmethod
    def read(self, path: tf.Tensor, offset: tf.Tensor, label: tf.Tensor) -> tf.data.Dataset:
        """Returns a data set of the one example there: encoded image and label."""

    @abc.abstractmethod
    def contents(self) -> tf.data.Dataset:
        """Returns a data set of all examples in order: encoded image and label."""

    @abc.abstractmethod
    def describe(self, path: bytes, offset: int) -> str:
        """Returns the name of the example there, for messages."""

    def broken_files(self) -> list[str]:
        """Returns the names of the broken images, as `open_source` takes those that are gone.

        Without those that no user could remove.
        """
        return []

    @contextlib.contextmanager
    def user_errors(self) -> Iterator[None]:
        """Makes TensorFlow's error about a broken data set the `UserError` that explains it.

        Wrap what iterates over the batches in it.
        """
        try:
            yield
        except tf.errors.OpError:
            if self.failure is not None:
                raise self.failure from None
            raise

    def note_broken(self, image: str, why: str) -> None:
        """Counts an image that cannot be decoded.

        Raises:
            UserError: if more than 1 % of the images are broken.
        """
        with self._lock:
            if image in self.broken:
                return
            self.broken[image] = why
            count = len(self.broken)
        tf.get_logger().warning(
            "skipped a broken image, the %d. found: %s: %s", count, image, why
        )
        if count > _TOLERATED * self.num_examples:
            some = ", ".join(list(self.broken)[:5]) + (", ..." if count > 5 else "")
            self.failure = UserError(
                f"{count} of the {self.num_examples} images of {self.name!r}, split "
                f"{self.split!r}, cannot be decoded, more than {_TOLERATED:.0%}: {some}. "
                "Replace or remove them."
            )
            raise self.failure
