"""The networks of Larq Zoo by name, with their published weights."""

import contextlib
import dataclasses
import importlib
import importlib.util
import io
from types import ModuleType

import numpy as np
import tensorflow as tf

from larq_bcd._downloads import DownloadError, downloads
from larq_bcd._names import did_you_mean
from larq_bcd._stderr import captured_stderr
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.problems import cause
from larq_bcd.convert.load.random_weights import as_if_trained, set_statistics
from larq_bcd.data import imagenet
from larq_bcd.data.preprocessing import Description, Preprocessing

_PACKAGE, _PARTS = "larq_zoo", ("literature", "sota")
_INSTALL = "run pip install 'larq-bcd[zoo]' and pip install --no-deps larq-zoo zookeeper"
# What larq_zoo.preprocess_input does: the center 224/256 of an image, enlarged by bicubic
# interpolation, and the mean and standard deviation of ImageNet.
_PREPROCESSING = Preprocessing((224, 224), resize=256, resampling="bicubic")


def is_name(name: str) -> bool:
    """Whether a name is that of a network of Larq Zoo, or is meant to be."""
    return name.split(".")[0] == _PACKAGE


def list_networks() -> list[str]:
    """Returns the names, such as `larq_zoo.sota.QuickNet`, in alphabetical order.

    Raises:
        ConversionError: if Larq Zoo is not installed, or cannot be imported.
    """
    zoo = _imported()
    return sorted(
        f"{_PACKAGE}.{part}.{name}"
        for part in _PARTS
        for name, value in vars(getattr(zoo, part)).items()
        if callable(value) and not name.startswith("_")
    )


def load(name: str, random_weights: bool) -> tuple[tf.keras.Model, Description]:
    """Builds a network of Larq Zoo.

    Args:
        name: such as `larq_zoo.sota.QuickNet`.
        random_weights: whether its weights are random, with statistics of batch norms that
            are those of noise; else they are the published ones, of ImageNet, which are
            fetched unless they have been before.

    Returns:
        The network, and how its images are prepared, with the names of its classes if its
        weights are the published ones.

    Raises:
        ConversionError: if there is no such network, Larq Zoo is not installed, or the weights
            cannot be fetched.
    """
    known = list_networks()
    if name not in known:
        meant = did_you_mean(name, known)
        raise ConversionError(
            f"{name!r} is not a network of Larq Zoo: "
            + (meant or f"choose one of {', '.join(known)}.")
        )
    part, _, network = name.rpartition(".")
    build = getattr(importlib.import_module(part), network)
    known_of_all = Description(_PREPROCESSING, origin="as of larq_zoo.preprocess_input")
    # Larq warns of what the authors of a network have decided.
    with captured_stderr():
        if random_weights:
            model = as_if_trained(build(weights=None))
            noise = np.random.default_rng(0).normal(size=(8, *_PREPROCESSING.input_shape))
            set_statistics(model, noise.astype(np.float32))
            return model, known_of_all
        model = _trained(name, build)
    return model, dataclasses.replace(
        known_of_all, class_names=imagenet.class_names(), names_origin="ImageNet's"
    )


def _imported() -> ModuleType:
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ConversionError(f"Larq Zoo is not installed: {_INSTALL}.")
    try:
        with captured_stderr():
            for part in _PARTS:
                importlib.import_module(f"{_PACKAGE}.{part}")
            return importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise ConversionError(
            f"Larq Zoo cannot be imported ({cause(error)}): {_INSTALL}."
        ) from error


def _trained(name: str, build) -> tf.keras.Model:
    try:
        # Keras tells of the download.
        with downloads(), contextlib.redirect_stdout(io.StringIO()):
            return build(weights="imagenet")
    # The last two are of a file that has come damaged.
    except (DownloadError, OSError, ValueError) as error:
        raise ConversionError(
            f"the published weights of {name} cannot be fetched ({cause(error)}): connect this "
            "machine to the network, or give --random-weights (random_weights=True in Python) "
            "for a file that is good for measuring latency."
        ) from error
