"""Finds the Keras model that a user names, and runs no code that its file carries."""

import builtins
import errno
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tf_keras.protobuf import saved_metadata_pb2

from larq_bcd import models
from larq_bcd._names import did_you_mean
from larq_bcd._stderr import captured_stderr
from larq_bcd.convert.errors import ConversionError

# Packages whose classes a configuration may name; all other modules are code of the file's.
_KNOWN_PACKAGES = frozenset({"keras", "tf_keras", "tensorflow", "larq", "larq_bcd"})
_CODE = frozenset({"Lambda", "__lambda__"})
_CONFIG, _METADATA, _GRAPH = "config.json", "keras_metadata.pb", "saved_model.pb"
_WEIGHTS = "model.weights.h5"
_PLAIN = frozenset({"metadata.json", _CONFIG, _WEIGHTS})
_LARGEST = 1e4  # outputs that a trained network may have
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class LoadedModel:
    """A model, and whether its weights come with it.

    Attributes:
        model: a built Keras model with one input and fixed height, width and channels.
        source: what it was loaded from.
        is_trained: False for a published name, whose weights are random.
    """

    model: tf.keras.Model
    source: str
    is_trained: bool


def load_model(source: str | Path, trust_code: bool = False) -> LoadedModel:
    """Loads a `.keras` or `.h5` file or a SavedModel folder, or builds a published model.

    Args:
        source: a path, or a name such as `BCDNetB`.
        trust_code: whether Python code in the file (Lambda layers) may run.

    Returns:
        The model; one of a published name has random weights.

    Raises:
        ConversionError: if there is no such model, it cannot be read, carries code that is
            not trusted, or has inputs that Larq Compute Engine cannot take.
    """
    path = Path(source)
    name = str(source)
    if not path.exists() and name in models.list_models():
        model = _as_if_trained(models.get_model(name))
        return LoadedModel(require_convertible(model), name, is_trained=False)
    if not path.exists():
        meant = did_you_mean(name, models.list_models())
        raise ConversionError(
            f"{source} does not exist: {f'{meant} Otherwise ' if meant else ''}give a .keras "
            "or .h5 file, a SavedModel folder, or one of "
            f"{', '.join(models.list_models())}."
        )
    try:
        configs = _configs(path)
    except OSError as error:
        raise ConversionError(
            f"{path} cannot be read ({_cause(error)}): save the model again."
        ) from error
    if not trust_code:
        for config in configs:
            _refuse_code(path, config)
    model = _deserialize(path, trust_code)
    if not isinstance(model, tf.keras.Model):
        raise ConversionError(
            f"{path} holds a {type(model).__name__}, not a Keras model: save it with "
            "model.save."
        )
    return LoadedModel(require_convertible(model), name, is_trained=True)


def _as_if_trained(model: tf.keras.Model) -> tf.keras.Model:
    """Moves the weights of a new network away from where the file would be another one.

    The binary kernels of a new network are all positive, as in the official code, and the
    converter stores equal filters once; biases that are zero it leaves out. The file would be
    smaller and faster than that of a trained network.
    """
    rng = np.random.default_rng(0)
    for variable in model.trainable_weights:
        if variable.shape.rank == 4:
            signs = rng.choice(np.array([-1, 1], np.float32), variable.shape)
            variable.assign(variable.numpy() * signs)
        else:
            size = 0.1 if variable.shape.rank == 1 else 0.01
            variable.assign_add(rng.normal(0, size, variable.shape).astype(np.float32))
    _calibrate(model, rng)
    return model


def _calibrate(model: tf.keras.Model, rng: np.random.Generator) -> None:
    """Gives batch norms the statistics of noise if the values of a network grow without them.

    Those of a new network are 0 and 1, as no data have. Where blocks multiply activations by
    others, values of 1e8 come out, which float32 holds to a few units: no check could tell
    rounding from a fault.
    """
    image = rng.normal(size=(1, *model.inputs[0].shape[1:])).astype(np.float32)
    outputs = tf.nest.flatten(model(image, training=False))
    if max(float(tf.reduce_max(tf.abs(output))) for output in outputs) < _LARGEST:
        return
    norms = [
        layer
        for layer in model.submodules
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(image, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _cause(error: BaseException) -> str:
    """The first sentence of an error, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _configs(path: Path) -> list:
    """Every configuration in a model's file, as plain data: nothing is deserialized."""
    if path.is_dir():
        return _saved_model_configs(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_ZIP):
        return [_archive_config(path)]
    if start == _HDF5:
        return [_hdf5_config(path)]
    if path.suffix == ".tflite":
        raise ConversionError(
            f"{path} is what a conversion makes: give the Keras model that it was made of, or "
            "look at the file with larq-bcd show."
        )
    raise ConversionError(
        f"{path} is not a Keras model: give a .keras or .h5 file or a SavedModel folder."
    )


def _json(path: Path, text: str | bytes):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConversionError(
            f"{path} is damaged: its configuration is no JSON. Save the model again."
        ) from error


def _archive_config(path: Path):
    try:
        with zipfile.ZipFile(path) as archive:
            return _json(path, archive.read(_CONFIG))
    except KeyError as error:
        raise ConversionError(
            f"{path} is an archive without {_CONFIG}, not a Keras model: save it with "
            "model.save."
        ) from error
    # A damaged archive: bad directory, bad compressed data, an unknown method.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConversionError(
            f"{path} is damaged ({_cause(error)}): save the model again."
        ) from error


def _too_large(path: Path) -> ConversionError:
    return ConversionError(
        f"{path} takes more memory than there is: free some; if the file is small, it is "
        "damaged: save the model again."
    )


def _hdf5_config(path: Path):
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            # The marks of the older and of the newer format of save_weights.
            holds_weights = "layer_names" in file.attrs or {"layers", "vars"} <= set(file)
    except MemoryError as error:
        raise _too_large(path) from error
    # What h5py makes of the errors of a damaged file.
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ConversionError(
            f"{path} is damaged ({_cause(error)}): save the model again."
        ) from error
    if config is not None:
        return _json(path, config)
    if holds_weights:
        raise ConversionError(
            f"{path} holds weights only: build the model, load them with model.load_weights "
            "and save it whole with model.save."
        )
    raise ConversionError(f"{path} holds no Keras model: save it with model.save.")


def _saved_model_configs(path: Path) -> list:
    if not (path / _GRAPH).is_file():
        raise ConversionError(
            f"{path} is a folder but no SavedModel: give one with {_GRAPH}, or a .keras or .h5 "
            "file."
        )
    if not (path / _METADATA).is_file():
        raise ConversionError(
            f"{path} is a SavedModel without {_METADATA}, so its layers are unknown: save the "
            "Keras model itself with model.save, as .keras or with save_format='tf'."
        )
    metadata = saved_metadata_pb2.SavedMetadata()
    try:
        metadata.ParseFromString((path / _METADATA).read_bytes())
    except DecodeError as error:
        raise ConversionError(
            f"{path / _METADATA} is damaged ({_cause(error)}): save the model again."
        ) from error
    return [_json(path, node.metadata) for node in metadata.nodes if node.metadata]


def _dictionaries(config) -> Iterator[dict]:
    if isinstance(config, dict):
        yield config
        for value in config.values():
            yield from _dictionaries(value)
    elif isinstance(config, list):
        for value in config:
            yield from _dictionaries(value)


def _refuse_code(path: Path, config) -> None:
    for entry in _dictionaries(config):
        kind = entry.get("class_name")
        if kind in _CODE or entry.get("function_type") == "lambda":
            inner = entry.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            name = f" '{name}'" if name else ""
            raise ConversionError(
                f"{path} carries Python code in a Lambda layer{name}, which would run on "
                "loading: give --trust-code if you know its author."
            )
        if (module := _foreign_module(entry)) is not None:
            raise ConversionError(
                f"{path} has the unknown layer or function '{_name(entry)}' of the Python "
                f"module '{module}', which would run on loading: give --import {module} if it "
                "is yours and registers the class, or --trust-code if you know its author."
            )


def _name(entry: dict) -> str:
    name = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    return str(name)


def _foreign_module(entry: dict) -> str | None:
    """The module outside of Keras, TensorFlow and larq that Keras would import, if any."""
    module = entry.get("module")
    if not isinstance(module, str) or "class_name" not in entry:
        return None
    if module.split(".")[0] in _KNOWN_PACKAGES:
        return None
    if module == "builtins":
        # How Keras writes its own functions; Python's are no part of a model.
        return module if str(entry.get("config")) in vars(builtins) else None
    # A registered class is found by its name, and nothing is imported.
    registered = entry.get("registered_name")
    known = registered and tf.keras.utils.get_registered_object(registered) is not None
    return None if known else module


def _deserialize(path: Path, trust_code: bool):
    with captured_stderr():
        try:
            if path.is_dir() or path.suffix != ".keras":
                return tf.keras.models.load_model(str(path), compile=False)
            return _read_archive(path, safe_mode=not trust_code)
        except MemoryError as error:
            raise _too_large(path) from error
        except _NoRoom as error:
            raise ConversionError(
                f"{path} cannot be unpacked into the folder of temporary files ({error}): make "
                "room there, or set TMPDIR to another folder."
            ) from error
        # Keras, h5py and TensorFlow raise TypeError, ValueError, KeyError, OSError, errors of
        # their own... for a file that does not fit. All of them mean that, and nothing else
        # happens in this call.
        except Exception as error:
            unknown = _unknown_class(str(error))
            if unknown:
                raise ConversionError(
                    f"{path} has the unknown layer or quantizer '{unknown}': register its "
                    "class with tf.keras.utils.register_keras_serializable and give its module "
                    "with --import."
                ) from error
            raise ConversionError(
                f"{path} cannot be loaded ({_cause(error)}): it is damaged or was saved by "
                "another version of Keras; save it again with tf-keras."
            ) from error


class _NoRoom(Exception):
    """There is no room for the weights of an archive."""


def _unpack(archive: zipfile.ZipFile, folder: str) -> str:
    try:
        return archive.extract(_WEIGHTS, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _NoRoom(error.strerror) from error
        raise


def _temporary_folder() -> tempfile.TemporaryDirectory:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:  # none of the usual places can be written to
        raise _NoRoom(error.strerror) from error


def _read_archive(path: Path, safe_mode: bool):
    """Reads a .keras file as Keras does, with its weights unpacked first.

    A step back in an archive may read it again from its beginning, and Keras takes hundreds.
    Files with more than a plain model needs, such as the vocabulary of a layer, are its own.
    """
    with zipfile.ZipFile(path) as archive:
        if {*archive.namelist()} == _PLAIN:
            config = {**json.loads(archive.read(_CONFIG)), "compile_config": None}
            model = tf.keras.saving.deserialize_keras_object(config, safe_mode=safe_mode)
            with _temporary_folder() as folder:
                model.load_weights(_unpack(archive, folder))
            return model
    return tf.keras.models.load_model(str(path), compile=False, safe_mode=safe_mode)


def _unknown_class(message: str) -> str | None:
    """The class that Keras says it does not know, from its message."""
    for before in ("Unknown layer: '", "Could not locate class '", "Unknown object: '"):
        if before in message:
            return message.split(before, 1)[1].split("'", 1)[0]
    for before in ("Unknown quantization function: '",):
        if before in message:
            return message.split(before, 1)[1].split("'", 1)[0]
    return None


def require_convertible(model: tf.keras.Model) -> tf.keras.Model:
    """Hands back a model whose input Larq Compute Engine can take.

    Args:
        model: a Keras model.

    Raises:
        ConversionError: if it is not built, or has several inputs or one of open size.
    """
    if not model.built or not model.inputs:
        raise ConversionError(
            f"the model '{model.name}' has no inputs yet: build it as a functional or "
            "Sequential model with a tf.keras.Input."
        )
    if len(model.inputs) != 1:
        names = ", ".join(model.input_names)
        raise ConversionError(
            f"the model has {len(model.inputs)} inputs ({names}): build one that takes a "
            "single input, for example by concatenating them."
        )
    shape = tuple(model.inputs[0].shape)
    if None in shape[1:]:
        raise ConversionError(
            f"the model's input has the open shape {shape}: build it with a fixed height, "
            "width and channels, such as input_shape=(224, 224, 3)."
        )
    if len(shape) < 2:
        raise ConversionError(f"the model's input has shape {shape}: it needs features.")
    return model


def weights_size(model: tf.keras.Model) -> int:
    """The bytes that the parameters of a model take as float32."""
    return 4 * model.count_params()


__all__ = [
    "LoadedModel",
    "load_model",
    "require_convertible",
    "weights_size",
]
