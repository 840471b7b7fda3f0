"""A data set that tensorflow_datasets has prepared."""

import functools
import re
import struct
from pathlib import Path

import numpy as np
import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.data import splits
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError


class PreparedSource(Source):
    """A split of an image data set of tensorflow_datasets.

    An example is read from where its record starts. That is found record by record from the
    lengths that stand before them, in the files that are about to be read, without reading
    the examples.

    Raises:
        UserError: if the data set or the split is not known, not prepared, empty, in another
            format than TFRecord, or without images and labels.
    """

    def __init__(self, name: str, split: str, data_dir: str | Path | None):
        builder = _builder(name, data_dir)
        self._image, self._label, class_names = _features(name, builder)
        split_name, _, _ = splits.parse(split)
        available = list(builder.info.splits)
        if split_name not in available:
            raise splits.NoSplitError(
                f"{name!r} has no split {split_name!r}: it has {available}"
                f"{did_you_mean(split_name, available, '; ') or '.'}"
            )
        try:
            info = builder.info.splits[split]
            files = [part for part in info.file_instructions if _examples(part)]
        except ValueError as error:
            raise UserError(f"split {split!r} of {name!r} is not supported: {error}") from None
        if not info.num_examples:
            raise UserError(f"split {split!r} of {name!r} is empty.")
        self._files = [part.filename for part in files]
        for file in self._files:
            if not tf.io.gfile.exists(file):
                raise UserError(
                    f"the data set {name!r} is not complete: {file} is missing; prepare it "
                    f"again with `tfds build {name}`."
                )
        self._skips = np.array([part.skip for part in files])
        lengths = np.array([_examples(part) for part in files], np.int64)
        names = (f"{Path(part.filename).name} {part.skip}".encode() for part in files)
        super().__init__(name, split, class_names, lengths, names)
        self._starts = np.concatenate([[0], np.cumsum(self.groups)])

    def locate(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the files and the offsets of the records; the labels are in the records."""
        files = np.searchsorted(self._starts, examples, side="right") - 1
        paths = np.empty(len(examples), object)
        offsets = np.empty(len(examples), np.int64)
        for file in np.unique(files):
            here = files == file
            records = examples[here] - self._starts[file] + self._skips[file]
            paths[here] = self._files[file].encode()
            offsets[here] = self._record_offsets(file, int(records.max()) + 1)[records]
        return paths, offsets, np.full(len(examples), -1, np.int64)

    def read(self, path: tf.Tensor, offset: tf.Tensor, label: tf.Tensor) -> tf.data.Dataset:
        """Returns a data set of the encoded image and the label of a record."""
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=path, compression_type="", buffer_size=0, byte_offsets=offset
        )
        record = tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string)).take(
            1
        )
        return record.map(self._parsed)

    def contents(self) -> tf.data.Dataset:
        """Returns a data set of all examples in order: encoded image and label."""
        parts = zip(self._files, self._skips, self.groups, strict=True)
        records = [tf.data.TFRecordDataset(file).skip(skip).take(n) for file, skip, n in parts]
        together = functools.reduce(tf.data.Dataset.concatenate, records)
        return together.map(self._parsed, tf.data.AUTOTUNE)

    def _parsed(self, serialized):
        features = {
            self._image: tf.io.FixedLenFeature([], tf.string),
            self._label: tf.io.FixedLenFeature([], tf.int64),
        }
        example = tf.io.parse_single_example(serialized, features)
        return example[self._image], example[self._label]

    def _record_offsets(self, file: int, count: int) -> np.ndarray:
        path = self._files[file]
        try:
            return _record_offsets(path, count)
        except struct.error:
            self.failure = UserError(
                f"{path} is cut short: it ends before its record {count}; prepare the data set "
                "again."
            )
            raise self.failure from None

    def describe(self, path: bytes, offset: int) -> str:
        return f"{path.decode()}, record at byte {offset}"


def _examples(part) -> int:
    """The number of examples that a split takes from a file."""
    return part.take if part.take >= 0 else part.examples_in_shard - part.skip


def _builder(name: str, data_dir: str | Path | None):
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else str(data_dir)
    try:
        return tfds.builder(name, data_dir=directory)
    except tfds.core.DatasetNotFoundError:
        raise UserError(
            f"the data set {name!r} is neither a folder, nor known to tensorflow_datasets, nor "
            f"prepared in data_dir={directory!r}{_meant(name, directory)}"
        ) from None
    except (AssertionError, ImportError, ValueError) as error:
        # Configuration, version or notation: the reason stands at the end of the first line.
        reason = str(error).strip().splitlines()[0].rpartition('}": ')[2]
        raise UserError(f"the data set {name!r} cannot be opened: {reason}") from None


def _meant(name: str, data_dir: str | None) -> str:
    """Returns what else a name that was not found may have meant."""
    import tensorflow_datasets as tfds

    plain = re.split(r"[/:]", name)[0]
    prepared = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / plain
    if prepared.is_dir():
        folders = sorted(path.name for path in prepared.iterdir() if path.name[0] != ".")
        return f". {str(prepared)!r} has the configurations or versions {folders}."
    return did_you_mean(plain, tfds.list_builders(), "; ") or "."


def _features(name: str, builder) -> tuple[str, str, tuple[str, ...]]:
    """Returns the keys of image and label, and the names of the classes."""
    import tensorflow_datasets as tfds

    info = builder.info
    if not info.splits:
        raise UserError(
            f"the data set {name!r} is not prepared in {str(builder.data_dir)!r}: check "
            f"data_dir, or prepare it with `tfds build {name}`."
        )
    if info.file_format is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"the data set {name!r} is prepared as {info.file_format.value!r}, and only "
            f"TFRecord is read: prepare it with `tfds build {name} --file_format=tfrecord`."
        )
    image, label = info.supervised_keys or ("image", "label")
    features = dict(info.features.items())
    if not (
        isinstance(features.get(image), tfds.features.Image)
        and isinstance(features.get(label), tfds.features.ClassLabel)
    ):
        raise UserError(
            f"the data set {name!r} has the features {sorted(features)}: choose one of images "
            "with one label each."
        )
    return image, label, tuple(features[label].names)


def _record_offsets(path: str, count: int) -> np.ndarray:
    """Returns where the first records of a file of TFRecords start, in bytes."""
    offsets = np.empty(count, np.int64)
    offset = 0
    with tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", 0) as file:
        for record in range(count):
            offsets[record] = offset
            file.seek(offset)
            (length,) = struct.unpack("<Q", file.read(8))
            offset += length + 16
    return offsets
