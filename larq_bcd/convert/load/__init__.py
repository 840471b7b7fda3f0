"""Finds the Keras model that a user names, and runs no code that its file carries.

archive, hdf5, saved_model  the three formats: what a file is, and how Keras reads it
larq_zoo                    networks of Larq Zoo by name
signature                   a SavedModel that holds operations alone
called                      a model whose class is the user's
imported                    what a module of the user's defines
code, allowed               what a configuration may name
operations                  what the graph of a SavedModel may hold
foreign                     files of others, and what to do with them
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import tensorflow as tf

from larq_bcd import models
from larq_bcd._names import did_you_mean
from larq_bcd._stderr import captured_stderr
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load import archive, hdf5, larq_zoo
from larq_bcd.convert.load.called import as_functional
from larq_bcd.convert.load.code import advice_for
from larq_bcd.convert.load.foreign import refuse_foreign, refuse_prefix
from larq_bcd.convert.load.problems import cause, too_large
from larq_bcd.convert.load.random_weights import as_if_trained
from larq_bcd.convert.load.saved_model import SavedModel
from larq_bcd.data.preprocessing import Description


@dataclass(frozen=True)
class LoadedModel:
    """A model, and whether its weights come with it.

    Attributes:
        model: a built Keras model.
        source: what it was loaded from.
        is_trained: False for a name whose weights are random.
        description: what is known of it elsewhere, None if that is what it says of itself.
    """

    model: tf.keras.Model
    source: str
    is_trained: bool
    description: Description | None = None

    def described(self) -> Description:
        """Returns what is known of the preprocessing of its images and of its classes."""
        if self.description is not None:
            return self.description
        return models.description_of(self.model, None if self.is_trained else self.source)


def load_model(
    source: str | Path, trust_code: bool = False, random_weights: bool = False
) -> LoadedModel:
    """Loads a `.keras` or `.h5` file or a SavedModel folder, or builds a published model.

    Args:
        source: a path, or a name such as `BCDNetB`, `BCDNetB:cifar10` with the published
            weights of that name, or `larq_zoo.sota.QuickNet`.
        trust_code: whether the file may name any function and class, and carry Python code
            (Lambda layers).
        random_weights: whether the weights of a network of Larq Zoo are random; else they are
            the published ones. Those of this package's networks are random without a name.

    Returns:
        The model.

    Raises:
        ConversionError: if there is no such model, it cannot be read, carries code that is
            not trusted, or is not built.
    """
    path = Path(source)
    if not _exists(path):
        return _named(str(source), random_weights)
    file = _open(path)
    if not trust_code:
        file.refuse_code()
    model = _deserialize(path, file, trust_code)
    if not isinstance(model, tf.keras.Model):
        raise ConversionError(
            f"{path} holds a {type(model).__name__}, not a Keras model: save it with "
            "model.save."
        )
    return LoadedModel(as_functional(model), str(source), is_trained=True)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder that is not open to the user
        raise ConversionError(
            f"{str(path)[:80]} cannot be read ({error.strerror}): give a .keras or .h5 file or "
            "a SavedModel folder."
        ) from error


def _named(name: str, random_weights: bool) -> LoadedModel:
    """The network of a name that is not that of a file."""
    if name in models.list_models():
        model = as_if_trained(models.get_model(name))
        return LoadedModel(model, name, is_trained=False)
    if name in models.list_models(pretrained=True):
        return LoadedModel(models.get_model(name), name, is_trained=True)
    if larq_zoo.is_name(name):
        model, description = larq_zoo.load(name, random_weights)
        return LoadedModel(model, name, not random_weights, description)
    refuse_prefix(Path(name))
    known = [*models.list_models(), *models.list_models(pretrained=True)]
    meant = did_you_mean(name, known)
    raise ConversionError(
        f"{name} does not exist: {f'{meant} Otherwise ' if meant else ''}give a .keras "
        f"or .h5 file, a SavedModel folder, or one of {', '.join(known)}."
    )


class _ModelFile(Protocol):
    """A file or folder of one of the formats; nothing in it has been made an object."""

    def refuse_code(self) -> None:
        """Raises a ConversionError if loading would do more than build a model."""

    def deserialize(self, trust_code: bool):
        """Builds what the file holds."""


def _open(path: Path) -> _ModelFile:
    try:
        if path.is_dir():
            return SavedModel(path)
        refuse_foreign(path)
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(archive.START):
            return archive.Archive(path)
        if start == hdf5.START:
            return hdf5.Hdf5File(path)
    except OSError as error:
        raise ConversionError(
            f"{path} cannot be read ({cause(error)}): save the model again."
        ) from error
    raise ConversionError(
        f"{path} is not a Keras model: give a .keras or .h5 file or a SavedModel folder."
    )


def _deserialize(path: Path, file: _ModelFile, trust_code: bool):
    with captured_stderr():
        try:
            return file.deserialize(trust_code)
        except ConversionError:
            raise
        except MemoryError as error:
            raise too_large(path) from error
        except archive.NoRoomError as error:
            raise ConversionError(
                f"{path} cannot be unpacked into the folder of temporary files ({error}): make "
                "room there, or set TMPDIR to another folder."
            ) from error
        # Keras, h5py and TensorFlow raise TypeError, ValueError, KeyError, OSError, errors of
        # their own... for a file that does not fit. All of them mean that, and nothing else
        # happens in this call.
        except Exception as error:
            message = str(error)
            if unknown := _UNKNOWN.search(message):
                kind, name = unknown.groups()
                raise ConversionError(
                    f"{path} has the unknown {kind} '{name}': {advice_for(name)}."
                ) from error
            if failed := _FAILED_LAYER.search(message):
                reason = message.rpartition("Exception encountered: ")[2].strip()
                raise ConversionError(
                    f"{path}: the layer '{failed[1]}' cannot be made of what the file says of "
                    f"it ({cause(reason)}): its class has to accept what its get_config "
                    "returns; if there are several of that name, give --import with the "
                    "module of the right one."
                ) from error
            if uncalled := _UNCALLED_LAYER.search(message):
                lost = (
                    "a Lambda layer is saved without the variables around its function"
                    if uncalled[2] == "Lambda"
                    else "Keras has not kept all that it was called with"
                )
                raise ConversionError(
                    f"{path}: the layer '{uncalled[1]}' ({uncalled[2]}) cannot be called as it "
                    f"was saved; {lost}: save the model with model.export, which keeps its "
                    "operations."
                ) from error
            raise ConversionError(
                f"{path} cannot be loaded ({cause(error)}): it is damaged or was saved by "
                "another version of Keras; save it again with tf-keras."
            ) from error


# What Keras and larq say of a class or function that they do not know, and of a layer that
# fails when it is made or called.
_UNKNOWN = re.compile(r"(?:Unknown|Could not locate) ([\w ]+?):? '([^']+)'")
_UNCALLED_LAYER = re.compile(r"when calling layer \"([^\"]+)\" \(type (\w+)\)")
_FAILED_LAYER = re.compile(r"Error when deserializing class '([^']+)'")


def weights_size(model: tf.keras.Model) -> int:
    """The bytes that the parameters of a model take as float32."""
    return 4 * model.count_params()


__all__ = [
    "LoadedModel",
    "as_functional",
    "load_model",
    "weights_size",
]


def __dir__() -> list[str]:
    return __all__
