"""Opens a data set by its name."""

from collections.abc import Collection
from pathlib import Path

from larq_bcd.data.folder import FolderSource
from larq_bcd.data.prepared import PreparedSource
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError


def open_source(
    name: str,
    split: str,
    data_dir: str | Path | None = None,
    removed: Collection[str] = (),
) -> Source:
    """Opens a split of a data set.

    Args:
        name: a data set of tensorflow_datasets that is prepared, `"name"`, `"name/config"`
            or with a version, `"name:1.0.0"`; or a folder of one's own, in which every class
            has a folder of images: `FOLDER/train/CLASS/*.jpg` with one folder for each
            split, or `FOLDER/CLASS/*.jpg`, which has the one split `"train"`.
        split: name of a split, or a part of one, such as `"train[:90%]"` and
            `"train[90%:]"`, which of a folder are parts of each class.
        data_dir: where tensorflow_datasets keeps what it has prepared, by default
            `~/tensorflow_datasets`.
        removed: broken images of a folder, as `broken_files` returns them; where they are
            gone, all others keep their places in the order.

    Raises:
        UserError: if there is no such data set or split, if it is empty, not prepared, or
            without images and labels.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if data_dir is not None:
            raise UserError(
                f"data_dir={str(data_dir)!r} is where tensorflow_datasets keeps its data sets, "
                f"but {name!r} is a folder of images: leave data_dir out."
            )
        return FolderSource(name, path, split, removed)
    if path.is_absolute() or name.startswith((".", "~")):
        problem = "is not a folder" if path.exists() else "does not exist"
        raise UserError(f"the folder of images {name!r} {problem}: check its path.")
    return PreparedSource(name, split, data_dir)
