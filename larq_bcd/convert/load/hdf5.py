"""Models in `.h5` files."""

import json
from pathlib import Path

import h5py
import tensorflow as tf
from tf_keras.src.saving.legacy.saved_model.json_utils import decode
from tf_keras.src.saving.serialization_lib import SafeModeScope

from larq_bcd._hdf5 import load_legacy_weights, other_file
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.code import TRUST, refuse_code
from larq_bcd.convert.load.problems import damaged, parse_json, refuse_keras_3, too_large

START = b"\x89HDF\r\n\x1a\n"


class Hdf5File:
    """An HDF5 file with a model.

    Raises:
        ConversionError: if it is damaged, or holds weights only or something else.
    """

    def __init__(self, path: Path):
        self._path = path
        if path.suffix == ".keras":
            raise ConversionError(f"{path} is an HDF5 file: rename it to {path.stem}.h5.")
        try:
            with h5py.File(path, "r") as file:
                config = file.attrs.get("model_config")
                attributes = dict(file.attrs)
                # The marks of the older and of the newer format of save_weights.
                holds_weights = "layer_names" in file.attrs or {"layers", "vars"} <= set(file)
                self._other_file = other_file(file)
        except MemoryError as error:
            raise too_large(path) from error
        # What h5py makes of the errors of a damaged file.
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged(path, error) from error
        if config is None:
            raise ConversionError(
                f"{path} holds weights only: build the model, load them with "
                "model.load_weights and save it whole with model.save."
                if holds_weights
                else f"{path} holds no Keras model: save it with model.save."
            )
        refuse_keras_3(path, attributes)
        self._config = parse_json(path, config)

    def refuse_code(self) -> None:
        """Raises an error if the configuration names more than functions of tensors."""
        refuse_code(self._path, self._config)
        if self._other_file is not None:
            raise ConversionError(
                f"{self._path} takes weights from another file, {self._other_file}, as no file "
                f"of Keras's does: {TRUST}."
            )

    def deserialize(self, trust_code: bool):
        """Builds the object that the file holds, from the configuration that was checked.

        Keras writes what stands inside of a layer or of a nested model in its newer format,
        with the name that a class is registered by and with functions, and looks for it as if
        it were the older: by the name of the class alone, which may be another's, and for no
        functions. Here each part is read in the format that it is in.
        """
        with SafeModeScope(not trust_code):
            model = tf.keras.models.model_from_config(decode(json.dumps(self._config)))
        with h5py.File(self._path, "r") as file:
            load_legacy_weights(model, file["model_weights"])
        return model
