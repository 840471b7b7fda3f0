"""Reads recipes, and says what is wrong with one."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from larq_bcd.training.recipe import Recipe
from larq_bcd.training.schema import SchemaError, load, validated

# Keys of which one replaces the other when it is set.
_ALTERNATIVES = {"iterations": "epochs", "epochs": "iterations"}
# What may change between two starts of the same training: how often it is kept, and where its
# images are, which have to be the same.
_FREE = (("checkpoint_every",), ("data", "data_dir"), ("data", "name"))
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def read_recipe(
    path: str | Path, settings: Sequence[str] = (), own: Mapping[str, Any] = _NOTHING
) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: YAML file, or the folder of one named `recipe.yaml`.
        settings: `key=value` each, where the key is a dotted path such as `batch_size`,
            `stages.1.epochs` or `stages.*.epochs`, and the value is YAML. With `smoke=true`,
            the recipe's `smoke_settings` are set first.
        own: values by such a path that are taken as if the file had them.

    Returns:
        The recipe.

    Raises:
        SchemaError: if the file cannot be read or says what it must not.
    """
    path = Path(path)
    path = path / "recipe.yaml" if path.is_dir() else path
    content = load(path, "recipe")
    for key, value in own.items():
        # A copy, because what comes next may change what is in it.
        _set(content, key, copy.deepcopy(value), f"{key}={value}")
    changes = [_parsed(setting) for setting in settings]
    for key, value in changes:
        if key in ("smoke", "smoke_settings"):
            content[key] = value
    if content.get("smoke") is True:
        smoke_settings = content.get("smoke_settings") or {}
        if not isinstance(smoke_settings, Mapping):
            raise SchemaError(f"{path}: smoke_settings: pass values by path, such as a.b: 1.")
        if not smoke_settings:
            raise SchemaError(
                f"{path}: smoke=true makes a training no shorter without smoke_settings: add "
                "them, such as {batch_size: 8, stages.*.iterations: 4}."
            )
        for key, value in smoke_settings.items():
            _set(content, str(key), value, f"{path}: smoke_settings")
    for key, value in changes:
        _set(content, key, value, f"setting {key}={value}")
    return validated(Recipe, content, path)


def write_recipe(recipe: Recipe) -> str:
    """Returns a recipe with every default, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def changed_keys(written: str, recipe: Recipe) -> list[str]:
    """Returns the keys by which a recipe is another training than one that was begun.

    Args:
        written: what `write_recipe` wrote of that one, maybe before a recipe could say all
            that it can now.
        recipe: the recipe.
    """
    old, new = yaml.safe_load(written), recipe.model_dump(mode="json")
    # What is not a recipe any more is compared as it was written.
    with contextlib.suppress(ValidationError):
        old = Recipe.model_validate(old).model_dump(mode="json")
    return [".".join(key) for key in _differences(old, new) if key not in _FREE]


def _differences(old, new, path: tuple = ()) -> Iterator[tuple]:
    """The paths at which two recipes differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), (*path, str(key)))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, (*path, str(index)))
    elif old != new:
        yield path


def _parsed(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise SchemaError(f"setting {setting!r} is not of the form key=value.")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise SchemaError(f"setting {setting!r}: the value is not valid YAML.") from None


def _set(content: Any, key: str, value: Any, what: str) -> None:
    """Sets the value at a dotted path; `*` stands for every entry of a list."""
    *path, last = key.split(".")
    holders = [content]
    for step in path:
        holders = [inner for holder in holders for inner in _inner(holder, step, what)]
    for holder in holders:
        if isinstance(holder, list):
            for index in _indices(holder, last, what):
                holder[index] = value
        elif isinstance(holder, dict):
            holder[last] = value
            if value is not None:
                holder.pop(_ALTERNATIVES.get(last, ""), None)
        else:
            raise SchemaError(f"{what}: what is before {last!r} is a single value.")


def _inner(holder: Any, step: str, what: str) -> list:
    if isinstance(holder, list):
        return [holder[index] for index in _indices(holder, step, what)]
    if not isinstance(holder, dict):
        raise SchemaError(f"{what}: what is before {step!r} is a single value.")
    if holder.get(step) is None:
        holder[step] = {}
    return [holder[step]]


def _indices(entries: list, step: str, what: str) -> range:
    if step == "*":
        return range(len(entries))
    if step.isdigit() and int(step) < len(entries):
        return range(int(step), int(step) + 1)
    raise SchemaError(
        f"{what}: {step!r} is not an index of a list of {len(entries)}: use 0 to "
        f"{len(entries) - 1}, or * for all."
    )
