"""Reads recipes, and says what is wrong with one."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from larq_bcd._names import did_you_mean
from larq_bcd.errors import UserError
from larq_bcd.training.recipe import Recipe

# Keys of which one replaces the other when it is set.
_ALTERNATIVES = {"iterations": "epochs", "epochs": "iterations"}


class RecipeError(UserError):
    """A recipe cannot be followed; the message names every key that is at fault."""


def read_recipe(path: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: YAML file, or the folder of one named `recipe.yaml`.
        settings: `key=value` each, where the key is a dotted path such as `batch_size`,
            `stages.1.epochs` or `stages.*.epochs`, and the value is YAML. With `smoke=true`,
            the recipe's `smoke_settings` are set first.

    Returns:
        The recipe.

    Raises:
        RecipeError: if the file cannot be read or says what it must not.
    """
    path = Path(path)
    path = path / "recipe.yaml" if path.is_dir() else path
    content = _load(path)
    changes = [_parsed(setting) for setting in settings]
    for key, value in changes:
        if key in ("smoke", "smoke_settings"):
            content[key] = value
    if content.get("smoke") is True:
        smoke_settings = content.get("smoke_settings") or {}
        if not isinstance(smoke_settings, Mapping):
            raise RecipeError(f"{path}: smoke_settings: pass values by path, such as a.b: 1.")
        for key, value in smoke_settings.items():
            _set(content, str(key), value, f"{path}: smoke_settings")
    for key, value in changes:
        _set(content, key, value, f"setting {key}={value}")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problems(error))
        raise RecipeError(f"{path}: {problems}.") from None


def write_recipe(recipe: Recipe) -> str:
    """Returns a recipe with every default, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def with_defaults(written: str) -> Any:
    """Returns what `write_recipe` wrote as plain data, with what a recipe may say since then.

    What is not a recipe any more is returned as it was written.
    """
    content = yaml.safe_load(written)
    try:
        return Recipe.model_validate(content).model_dump(mode="json")
    except ValidationError:
        return content


def _load(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RecipeError(
            f"the recipe {str(path)!r} cannot be read ({error.strerror}): pass a YAML file, or "
            "the folder of a recipe.yaml."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no recipe: write `key: value` lines.")
    return content


def _parsed(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise RecipeError(f"setting {setting!r} is not of the form key=value.")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"setting {setting!r}: the value is not valid YAML.") from None


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
            raise RecipeError(f"{what}: what is before {last!r} is a single value.")


def _inner(holder: Any, step: str, what: str) -> list:
    if isinstance(holder, list):
        return [holder[index] for index in _indices(holder, step, what)]
    if not isinstance(holder, dict):
        raise RecipeError(f"{what}: what is before {step!r} is a single value.")
    if holder.get(step) is None:
        holder[step] = {}
    return [holder[step]]


def _indices(entries: list, step: str, what: str) -> range:
    if step == "*":
        return range(len(entries))
    if step.isdigit() and int(step) < len(entries):
        return range(int(step), int(step) + 1)
    raise RecipeError(
        f"{what}: {step!r} is not an index of a list of {len(entries)}: use 0 to "
        f"{len(entries) - 1}, or * for all."
    )


def _problems(error: ValidationError) -> Iterator[str]:
    """Every problem of a recipe, with the path of its key."""
    problems = error.errors(include_url=False)
    if len(problems) > 1:
        # A list none of whose entries is right counts as empty too.
        problems = [problem for problem in problems if problem["type"] != "too_short"]
    for problem in problems:
        # Branches of a union are part of pydantic's path, but of no key's.
        path = [str(step) for step in problem["loc"] if not _is_branch(step)]
        where = ".".join(path)
        kind = problem["type"]
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            keys = _keys(path[:-1])
            meant = did_you_mean(path[-1], keys, ", ") or "."
            yield f"{where}: no such key{meant} Allowed are {', '.join(keys)}"
        elif kind in ("missing", "missing_argument"):
            yield f"{where}: missing"
        elif kind == "value_error":
            message = str(problem["ctx"]["error"]).removesuffix(".")
            yield f"{where}: {message}" if where else message
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            yield f"{where}: {message}, not {problem['input']!r}"


def _is_branch(step) -> bool:
    return isinstance(step, str) and (step[:1].isupper() or step.startswith("literal["))


def _keys(path: Sequence[str]) -> list[str]:
    """The keys that a recipe may have at a path."""
    section: Any = Recipe
    for step in path:
        if not step.isdigit():
            section = _section(typing.get_type_hints(section, include_extras=False)[step])
    if issubclass(section, BaseModel):
        return list(section.model_fields)
    return [field.name for field in dataclasses.fields(section)]


def _section(annotation: Any) -> Any:
    """The class of a section within `... | None`, `tuple[...]` and the like."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation):
            return annotation
        return None
    found = (_section(argument) for argument in typing.get_args(annotation))
    return next((section for section in found if section is not None), None)
