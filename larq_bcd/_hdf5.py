"""HDF5 files that refer to other files."""

import zipfile
from os import PathLike

import h5py

_WEIGHTS = "model.weights.h5"  # of a .keras archive


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
