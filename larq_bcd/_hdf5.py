"""HDF5 files that refer to other files."""

import h5py


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
