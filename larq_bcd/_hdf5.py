"""HDF5 files of weights: those that refer to other files, and the order of their weights."""

import zipfile
from os import PathLike

import h5py
import numpy as np
import tensorflow as tf
from tf_keras.src.saving.legacy import hdf5_format

_WEIGHTS = "model.weights.h5"  # of a .keras archive


def load_legacy_weights(model: tf.keras.Model, group: h5py.Group) -> None:
    """Loads what `save_weights("x.h5")` writes, whatever is or was frozen.

    Keras pairs the weights of a layer by position, and the frozen ones come last. A file has
    their names too, which count where they are those of the layer in another order.

    Args:
        model: the model, layer by layer as that which was saved.
        group: the open file, or `model_weights` of a whole model.
    """
    hdf5_format.load_weights_from_hdf5_group(group, model)
    saved = [
        name for name in _names(group, "layer_names") if _names(group[name], "weight_names")
    ]
    layers = (layer for layer in model.layers if layer.weights)
    for name, layer in zip(saved, layers, strict=True):
        weights = layer.trainable_weights + layer.non_trainable_weights
        ours = {_part(weight.name, layer.name): weight for weight in weights}
        theirs = {_part(path, name): path for path in _names(group[name], "weight_names")}
        if list(ours) != list(theirs) and ours.keys() == theirs.keys():
            for part, weight in ours.items():
                weight.assign(np.asarray(group[name][theirs[part]]))


def _names(group: h5py.Group, attribute: str) -> list[str]:
    return hdf5_format.load_attributes_from_hdf5_group(group, attribute)


def _part(name: str, layer: str) -> str:
    """The name of a weight without that of its layer, which may be numbered otherwise."""
    return name.removeprefix(f"{layer}/")


def other_file_of_weights(path: str | PathLike[str]) -> str | None:
    """The other file that weights of a `.h5` or `.keras` file lie in, if there is one.

    Returns:
        The name of the first such file; None if there is none, or the file is not of these.
    """
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            return other_file(file)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _WEIGHTS in archive.namelist():
                with archive.open(_WEIGHTS) as content, h5py.File(content, "r") as file:
                    return other_file(file)
    return None


def other_file(file: h5py.File) -> str | None:
    """The other file that parts of an HDF5 file lie in, if there is one.

    HDF5 may keep a group or the bytes of a dataset in any file of the machine. No file of
    Keras's does, and its reader would follow.

    Args:
        file: an open file.

    Returns:
        The name of the first such file, or None.
    """
    found: list[str] = []

    def visit_link(_name: str, link) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(link.filename)

    def visit_object(_name: str, item) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external:
            found.extend(str(part[0]) for part in item.external)
        if item.is_virtual:
            found.extend(source.file_name for source in item.virtual_sources())

    file.visititems_links(visit_link)
    file.visititems(visit_object)
    return found[0] if found else None
