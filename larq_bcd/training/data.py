"""The images of a training: opened, checked, and what is known of the broken ones."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from larq_bcd._files import write_json
from larq_bcd._names import did_you_mean
from larq_bcd.data.batches import open_source
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError
from larq_bcd.training.recipe import Data

_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
_BROKEN = "broken.json"


def open_data(
    data: Data, removed: Mapping[str, Collection[str]] = _NOTHING
) -> dict[str, Source]:
    """Opens the split to train on, "training", and, if there is one, that for "validation".

    Args:
        data: which.
        removed: broken images that may be gone, by the same keys.

    Raises:
        UserError: if the splits are not there, or lack a class that another one has.
    """
    data_dir = None if data.data_dir is None else Path(data.data_dir).expanduser()
    splits = {"training": data.train, "validation": data.validation}
    sources = {
        key: open_source(data.name, split, data_dir, removed.get(key, ()))
        for key, split in splits.items()
        if split is not None
    }
    for source in sources.values():
        _check_classes(source)
    return sources


def _check_classes(source: Source) -> None:
    missing = [name for name in source.class_names if name not in source.own_classes]
    if missing:
        meant = did_you_mean(missing[0], source.own_classes, ": ") or "."
        raise UserError(
            f"the split {source.split!r} of {source.name!r} has no class "
            f"{', '.join(map(repr, missing[:10]))}, which another split has{meant} Name the "
            "folder of a class alike in every split, and have images in each."
        )


def noted_as_broken(output: Path) -> dict[str, list[str]]:
    """Returns the broken images that a run has come upon, as `open_data` takes them."""
    path = output / _BROKEN
    return json.loads(path.read_text()) if path.exists() else {}


def note_broken(output: Path, sources: Mapping[str, Source]) -> None:
    """Writes down the broken images, so that the run goes on when they are removed."""
    known = noted_as_broken(output)
    noted = {
        key: sorted({*known.get(key, ()), *source.broken_files()})
        for key, source in sources.items()
    }
    if any(noted.values()) and noted != known:
        write_json(output / _BROKEN, noted)
