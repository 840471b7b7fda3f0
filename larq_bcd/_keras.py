"""Settles which Keras this process uses, before anything touches it.

larq and Larq Compute Engine are written for Keras 2. TensorFlow 2.16 and later pick the
Keras behind `tf.keras` at its first use, by `TF_USE_LEGACY_KERAS`, and the directory that
`from tensorflow.keras import ...` searches even earlier, when TensorFlow is imported. This
module sets both, so that a program may import TensorFlow before or after `larq_bcd`, with
the variable set or not.
"""

import importlib
import importlib.util
import os
import sys
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from larq_bcd._stderr import without_startup_chatter

_SUPPORTED_TENSORFLOW = (Version("2.18"), Version("2.22"))
_MINIMUM = {"larq": "0.14", "larq-compute-engine": "0.16", "tensorflow-datasets": "4.9.8"}
_REINSTALL = "run `pip install --upgrade --force-reinstall larq-bcd` in a fresh environment"


def _installed(distribution: str) -> Version:
    try:
        return Version(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"larq_bcd needs {distribution}, which is not installed: {_REINSTALL}."
        ) from None


def _tensorflow_version() -> Version:
    # The same TensorFlow is published under several names (tensorflow-cpu, ...).
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"):
        try:
            return Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    raise ImportError(f"larq_bcd needs tensorflow, which is not installed: {_REINSTALL}.")


def check_packages() -> None:
    """Raises an ImportError that names the package and the remedy if the set cannot work."""
    tensorflow = _tensorflow_version()
    low, high = _SUPPORTED_TENSORFLOW
    if not low <= tensorflow < high:
        raise ImportError(
            f"larq_bcd supports tensorflow>={low},<{high}, but {tensorflow} is installed: "
            f"run `pip install 'tensorflow>={low},<{high}'`."
        )
    tf_keras = _installed("tf-keras")
    if tf_keras.release[:2] != tensorflow.release[:2]:
        minor = f"{tensorflow.major}.{tensorflow.minor}"
        raise ImportError(
            f"tf-keras {tf_keras} does not fit tensorflow {tensorflow}: "
            f"run `pip install 'tf-keras=={minor}.*'`."
        )
    for distribution, minimum in _MINIMUM.items():
        version = _installed(distribution)
        if version < Version(minimum):
            raise ImportError(
                f"larq_bcd needs {distribution}>={minimum}, but {version} is installed: "
                f"run `pip install '{distribution}>={minimum}'`."
            )
    # tensorflow_datasets swallows this very error and then imports as an empty module.
    try:
        importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
    except Exception as error:  # protobuf's VersionError has moved between releases
        raise ImportError(
            f"tensorflow-metadata {_installed('tensorflow-metadata')} does not work with "
            f"protobuf {_installed('protobuf')}, and tensorflow_datasets would be empty: "
            "run `pip install 'tensorflow-metadata>=1.17.3,<1.18'`."
        ) from error


def _tensorflow_runs_keras_3() -> bool:
    """Whether TensorFlow has resolved `tf.keras`, or an alias of it, to Keras 3.

    The package `keras` among the loaded modules says nothing: importing TensorFlow imports
    it, and nobody can tell afterwards who else did.
    """
    aliases = ("keras", "losses", "metrics", "optimizers", "initializers")
    tensorflow = vars(sys.modules["tensorflow"])
    loaded = [tensorflow.get(alias) for alias in aliases]
    loaded += [sys.modules.get(f"tensorflow.{alias}") for alias in aliases]
    files = [vars(module).get("__file__") for module in loaded if module is not None]
    return any("tf_keras" not in Path(file).parts for file in files if file)


def register() -> None:
    """Settles Keras, and registers every layer of the package for `load_model`.

    Raises:
        ImportError: as `settle`.
    """
    if "larq_bcd.layers" in sys.modules:
        return
    settle()
    for name in ("activations", "layers", "models", "quantizers", "summary"):
        importlib.import_module(f"larq_bcd.{name}")


def settle() -> None:
    """Routes `tf.keras` to Keras 2 (tf-keras) for this process.

    Raises:
        ImportError: if the installed packages do not fit each other, or if the program
            has loaded Keras 3 before.
    """
    check_packages()
    if "tensorflow" in sys.modules and _tensorflow_runs_keras_3():
        raise ImportError(
            "larq_bcd needs Keras 2, but this program has already loaded Keras 3: import "
            "larq_bcd before the first use of tf.keras, or set the environment variable "
            "TF_USE_LEGACY_KERAS=1 before the program starts."
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    if "tensorflow" in sys.modules:
        _search_tf_keras_first(sys.modules["tensorflow"])
    else:
        # PyTorch's kernels too. TensorFlow leaves them out on CPUs without VNNI, where its
        # own are slower in the backward pass of convolutions.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        with without_startup_chatter():
            importlib.import_module("tensorflow")


def _search_tf_keras_first(tensorflow) -> None:
    """Lets `from tensorflow.keras import ...` find tf-keras, as `tf.keras` now does."""
    spec = importlib.util.find_spec("tf_keras")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    api = str(Path(spec.submodule_search_locations[0]) / "api" / "_v2")
    if api not in tensorflow.__path__:
        tensorflow.__path__.insert(0, api)
