"""The published weights of the networks: an index, and a file for each.

The index says what is known of each, and the SHA-256 of its file, which lies beside it or at a
URL. The file, an `.npz` of what `pack` returns, says it too: a copy of it is enough.
"""

import dataclasses
import hashlib
import inspect
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larq_bcd._downloads import DownloadError, downloads
from larq_bcd._files import as_json, replacing
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

FOLDER = Path(__file__).parent / "trained"
LARGEST = 2_000_000  # bytes of a file in the package
SUFFIX = ".npz"
# Arguments of every network that are not of its architecture.
_FREE = frozenset({"input_tensor", "weights", "include_top", "name", "pooling"})
_ABOUT = "about"  # the array of what is known, as JSON
_INDEX = "index.json"


@dataclass(frozen=True)
class Weights:
    """What is known of published weights.

    Attributes:
        network: the network that they are of.
        name: their name, such as `"cifar10"`.
        arguments: of that network: all of its architecture, and `num_classes`.
        dataset: the data that it was trained on.
        split: the split that the accuracy is of.
        top1: top-1 accuracy there, in per cent.
        preprocessing: of its images.
        class_names: names of its classes.
        bops: binary multiply-accumulates of one image.
        flops: real multiply-accumulates of its convolutions and linear layers.
        card: name of the folder in `models/` that says how it was trained.
        sha256: of the file; empty if it is in no index.
        size: bytes of the file; 0 likewise.
        file: its name beside the index, or a URL; empty likewise.
    """

    network: str
    name: str
    arguments: Mapping[str, Any]
    dataset: str
    split: str
    top1: float
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    bops: int
    flops: int
    card: str
    sha256: str = ""
    size: int = 0
    file: str = ""

    @property
    def full_name(self) -> str:
        """Such as `"BCDNetB:cifar10"`."""
        return f"{self.network}:{self.name}"

    @classmethod
    def from_plain(cls, content: Mapping) -> "Weights":
        """Returns what `to_plain` made of one.

        Raises:
            KeyError, TypeError, ValueError: if it is something else.
        """
        preprocessing = Preprocessing.from_plain(content["preprocessing"])
        names = tuple(map(str, content["class_names"]))
        return cls(**{**content, "preprocessing": preprocessing, "class_names": names})

    def to_plain(self) -> dict:
        """Returns it as plain data, for JSON."""
        images, names = self.preprocessing.to_plain(), list(self.class_names)
        return {**vars(self), "preprocessing": images, "class_names": names}

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns arguments of the network, with those of the weights where they are left out.

        Raises:
            UserError: if one that is given is of another architecture.
        """
        for key in self.arguments.keys() & given.keys() - {"num_classes"}:
            value, own = given[key], self.arguments[key]
            if _plain(value) != own:
                raise UserError(
                    f"{self.network}: {key}={value!r} contradicts the weights {self.name!r}, "
                    f"which are of {key}={own!r}: leave it out, or build both networks and "
                    "take over what fits with larq_bcd.models.copy_weights."
                )
        shape = tuple(self.arguments["input_shape"])
        image = getattr(given.get("input_tensor"), "shape", (None, *shape))
        if tuple(image[1:]) != shape:
            raise UserError(
                f"{self.network}: input_tensor is an image of {tuple(image[1:])}, but the "
                f"weights {self.name!r} are of {shape}: resize it before."
            )
        return {**self.arguments, "input_shape": shape, **given}


def architecture(build: Callable[..., tf.keras.Model], arguments: Mapping) -> dict[str, Any]:
    """Returns all arguments that make the architecture of a network, and `num_classes`.

    Args:
        build: the function of the network.
        arguments: of it; those that are left out have its defaults.

    Returns:
        The arguments as JSON has them.
    """
    bound = inspect.signature(build).bind(**arguments)
    bound.apply_defaults()
    return {key: _plain(value) for key, value in bound.arguments.items() if key not in _FREE}


def _plain(value: Any) -> Any:
    """A value of Python's or of NumPy's as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def index() -> list[Weights]:
    """Returns all published weights, in the order of their names.

    Raises:
        UserError: if the index is missing or damaged.
    """
    path = FOLDER / _INDEX
    try:
        return [Weights.from_plain(entry) for entry in json.loads(path.read_text())]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, the index of the published weights, is missing or damaged ({error}): "
            "install larq_bcd again."
        ) from error


def published_for(network: str) -> dict[str, Weights]:
    """Returns the published weights of a network by their names."""
    return {weights.name: weights for weights in index() if weights.network == network}


def arrays_of(weights: Weights) -> dict[str, np.ndarray]:
    """Returns what `pack` made of the weights.

    Raises:
        UserError: if their file is missing, cannot be fetched, or is another one.
    """
    path = _downloaded(weights) if "://" in weights.file else FOLDER / weights.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}, the file of the weights {weights.full_name}, cannot be read "
            f"({error.strerror}): install larq_bcd again."
        ) from error
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise UserError(
            f"{path} is not the published file of the weights {weights.full_name}, whose "
            f"SHA-256 is {weights.sha256}: it is damaged; install larq_bcd again."
        )
    return _parsed(content)[1]


def read_file(path: Path) -> tuple[Weights, dict[str, np.ndarray]]:
    """Reads a copy of a file of published weights.

    Returns:
        What it says of itself, and what `pack` made of the weights.

    Raises:
        UserError: if it cannot be read, or is damaged or another kind of file.
    """
    try:
        return _parsed(path.read_bytes())
    # What zipfile, NumPy and JSON make of other bytes.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is not a file of published weights, or damaged ({error}): get it anew, or "
            "pass a .h5, .weights.h5 or .keras file."
        ) from error


def _parsed(content: bytes) -> tuple[Weights, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    try:
        return Weights.from_plain(json.loads(str(arrays.pop(_ABOUT)))), arrays
    except TypeError as error:  # of a field that is missing or unknown
        raise ValueError(str(error)) from None


def file_of(about: Weights, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns the file of weights.

    Args:
        about: what is known of them.
        arrays: what `pack` made of them.

    Raises:
        UserError: if it is larger than 2 MB.
    """
    content = io.BytesIO()
    text = json.dumps(about.to_plain(), sort_keys=True)
    np.savez_compressed(content, **{_ABOUT: np.array(text)}, **arrays)
    size = len(content.getvalue())
    if size > LARGEST:
        raise UserError(
            f"the weights {about.full_name} take {size:,} bytes, but a file in the package at "
            f"most {LARGEST:,}: publish a smaller network, or round its kernels."
        )
    return content.getvalue()


def add(about: Weights, arrays: Mapping[str, np.ndarray]) -> Weights:
    """Writes the file of weights into the package, and what is known of them into the index.

    Args:
        about: what is known of them; it takes the place of an entry of the same name.
        arrays: what `pack` made of them.

    Returns:
        What the index has of them.

    Raises:
        UserError: if the file is larger than 2 MB.
    """
    content = file_of(about, arrays)
    entry = dataclasses.replace(
        about,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        file=f"{about.network}_{about.name}{SUFFIX}",
    )
    others = [weights for weights in index() if weights.full_name != entry.full_name]
    every = sorted([*others, entry], key=lambda weights: weights.full_name)
    for name, written in (
        (entry.file, content),
        (_INDEX, as_json([weights.to_plain() for weights in every]).encode()),
    ):
        with replacing(FOLDER / name) as temporary:
            temporary.write_bytes(written)
    return entry


def _downloaded(weights: Weights) -> Path:
    try:
        with downloads():
            file = tf.keras.utils.get_file(
                origin=weights.file, file_hash=weights.sha256, cache_subdir="larq_bcd"
            )
    except DownloadError as error:
        raise UserError(
            f"the published weights cannot be fetched ({error}): connect this machine to the "
            "network, or get the file by other means and pass its path."
        ) from error
    except ValueError as error:  # of another hash
        raise UserError(
            f"the file at {weights.file} is not the published one, whose SHA-256 is "
            f"{weights.sha256}: try again, or get the file by other means and pass its path."
        ) from error
    return Path(file)
