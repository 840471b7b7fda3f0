"""Files in YAML that follow a schema, and what is wrong with one, key by key."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from larq_bcd._names import did_you_mean
from larq_bcd.errors import UserError


class SchemaError(UserError):
    """A file cannot be followed; the message names every key that is at fault."""


_Schema = TypeVar("_Schema", bound=BaseModel)


def load(path: Path, kind: str) -> dict:
    """Reads a YAML file of `key: value` lines.

    Args:
        path: the file.
        kind: what it is, such as "recipe", for messages.

    Raises:
        SchemaError: if it cannot be read, or is something else.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SchemaError(
            f"the {kind} {str(path)!r} cannot be read ({error.strerror}): pass a YAML file, or "
            f"the folder of a {kind}.yaml."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SchemaError(f"{path} holds no {kind}: write `key: value` lines.")
    return content


def validated(schema: type[_Schema], content: dict, path: Path) -> _Schema:
    """Returns what a file says.

    Args:
        schema: what it may say.
        content: of the file.
        path: of the file, for messages.

    Raises:
        SchemaError: if it says what it must not; the message names every key that is at fault.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problems(error, schema))
        end = "" if problems.endswith("?") else "."
        raise SchemaError(f"{path}: {problems}{end}") from None


def _problems(error: ValidationError, schema: type[BaseModel]) -> Iterator[str]:
    """Every problem of a file, with the path of its key."""
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
            keys = _keys(schema, path[:-1])
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


def _keys(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys that a file may have at a path."""
    section: Any = schema
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
