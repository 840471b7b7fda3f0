"""Models in `.keras` archives."""

import errno
import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import tensorflow as tf
from tf_keras.src.saving.serialization_lib import ObjectSharingScope

from larq_bcd._hdf5 import other_file
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.code import TRUST, refuse_code
from larq_bcd.convert.load.problems import damaged, parse_json, refuse_keras_3

START = b"PK\x03\x04"
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_PLAIN = frozenset({_METADATA, _CONFIG, _WEIGHTS})


class NoRoomError(Exception):
    """There is no room for the weights of an archive."""


class Archive:
    """A `.keras` archive.

    Raises:
        ConversionError: if it is damaged, or an archive of something else.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                config = parse_json(path, archive.read(_CONFIG))
                if _METADATA in archive.namelist():
                    refuse_keras_3(path, parse_json(path, archive.read(_METADATA)))
        except KeyError as error:
            raise ConversionError(
                f"{path} is an archive without {_CONFIG}, not a Keras model: save it with "
                "model.save."
            ) from error
        # A damaged archive: bad directory, bad compressed data, an unknown method.
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise damaged(path, error) from error
        self._config = _without_training(config)

    def refuse_code(self) -> None:
        """Raises an error if the configuration names more than functions of tensors."""
        refuse_code(self._path, self._config)

    def deserialize(self, trust_code: bool):
        """Builds the object that the archive holds, from the configuration that was checked.

        A step back in an archive may read it again from its beginning, and Keras takes
        hundreds, so the weights are unpacked first. Files with more than a plain model needs,
        such as the vocabulary of a layer, are Keras's own.

        Raises:
            NoRoomError: if the folder of temporary files has no room for the weights.
        """
        with zipfile.ZipFile(self._path) as archive, _temporary_folder() as folder:
            if {*archive.namelist()} != _PLAIN:
                copy = self._copy(archive, Path(folder))
                return tf.keras.models.load_model(
                    str(copy), compile=False, safe_mode=not trust_code
                )
            with ObjectSharingScope():
                model = tf.keras.saving.deserialize_keras_object(
                    self._config, safe_mode=not trust_code
                )
            weights = _unpack(archive, folder)
            if not trust_code:
                _require_self_contained(self._path, weights)
            model.load_weights(weights)
            return model

    def _copy(self, archive: zipfile.ZipFile, folder: Path) -> Path:
        """Writes the archive again, with the configuration that was checked."""
        path = folder / "model.keras"
        with zipfile.ZipFile(path, "w") as copy:
            copy.writestr(_CONFIG, json.dumps(self._config))
            for name in sorted({*archive.namelist()} - {_CONFIG}):
                copy.writestr(name, archive.read(name))
        return path


def _without_training(config):
    """A configuration without losses and optimizers: what is loaded here is not trained."""
    if isinstance(config, dict):
        return {
            key: _without_training(value)
            for key, value in config.items()
            if key != "compile_config"
        }
    if isinstance(config, list):
        return [_without_training(value) for value in config]
    return config


def _require_self_contained(path: Path, weights: str) -> None:
    with h5py.File(weights, "r") as file:
        other = other_file(file)
    if other is not None:
        raise ConversionError(
            f"{path} takes weights from another file, {other}, as no file of Keras's does: "
            f"{TRUST}."
        )


def _unpack(archive: zipfile.ZipFile, folder: str) -> str:
    try:
        return archive.extract(_WEIGHTS, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomError(error.strerror) from error
        raise


def _temporary_folder() -> tempfile.TemporaryDirectory:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:  # none of the usual places can be written to
        raise NoRoomError(error.strerror) from error
