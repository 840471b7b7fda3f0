"""Writes into the pages of the site what the code says of itself.

A line `<!-- generated: NAME -->` becomes what the function `NAME` returns.
"""

import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from html import unescape

os.environ["COLUMNS"] = "100"  # of the commands' help
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from griffe import Docstring, DocstringSectionKind
from latex2mathml.converter import convert as latex_to_mathml
from pydantic import BaseModel

from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT, Command
from larq_bcd.convert.passes import PASSES
from larq_bcd.models import list_models, model_info
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.studies import Study

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return _MARK.sub(lambda mark: _GENERATED[mark[1]](), markdown)


def on_page_content(html: str, **_: object) -> str:
    """Called by MkDocs for the HTML of each page: equations become MathML."""
    for pattern, display in ((r"\\\[(.*?)\\\]", "block"), (r"\\\((.*?)\\\)", "inline")):
        html = re.sub(
            pattern, lambda found, display=display: _math(found[1], display), html, flags=re.S
        )
    return html


def _math(latex: str, display: str) -> str:
    return latex_to_mathml(unescape(" ".join(latex.split())), display=display)


def _keys(model: type[BaseModel]) -> str:
    """The keys of a file, section by section, from the JSON schema of what it may say."""
    schema = model.model_json_schema()
    parts = []
    for path, section in _sections("", schema, schema["$defs"]):
        text = Docstring(section["description"]).parse("google")
        documented = {
            attribute.name: attribute.description
            for part in text
            if part.kind is DocstringSectionKind.attributes
            for attribute in part.value
        }
        required = section.get("required", ())
        rows = [
            (
                f"`{key}`",
                _type(value),
                "required" if key in required else _default(value),
                value.get("description") or documented.get(key) or "see below",
            )
            for key, value in section["properties"].items()
        ]
        title = f"### `{path}`" if path else "### At the top"
        intro = section["description"].splitlines()[0]
        parts.append(f"{title}\n\n{intro}\n\n{_table(('key', 'type', 'default', ''), rows)}")
    return "\n\n".join(parts)


def _sections(path: str, section: dict, known: dict) -> Iterator[tuple[str, dict]]:
    """A section of a schema and those below it, with their paths."""
    yield path, section
    for key, value in section["properties"].items():
        for reference in re.findall(r'"#/\$defs/(\w+)"', json.dumps(value)):
            below = f"{path}.{key}".lstrip(".") + (".*" if "items" in value else "")
            yield from _sections(below, known[reference], known)


def _type(value: dict) -> str:
    """The type of a key in words."""
    if "anyOf" in value:
        kinds = [_type(kind) for kind in value["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in value:
        return "section"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if "prefixItems" in value:
        return f"{len(value['prefixItems'])} × {_type(value['prefixItems'][0])}"
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[key]}" for key, sign in bounds.items() if key in value]
    names = {"object": "mapping", "string": "text", "boolean": "true, false"}
    return " ".join([names.get(value.get("type", ""), value.get("type", "any")), *limits])


def _default(value: dict) -> str:
    default = value.get("default")
    if default is None or isinstance(default, dict):
        return "none" if default is None else ""
    return f"`{json.dumps(default)}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _passes() -> str:
    rows = [
        (f"`{name}`", done.summary, "yes" if done.is_exact else "to rounding")
        for name, done in PASSES.items()
    ]
    return _table(("pass", "what it does", "the same bits"), rows)


def _commands() -> str:
    return "\n\n".join(_help(command) for command in (LCE_CONVERT, *COMMANDS.values()))


def _help(command: Command) -> str:
    return f"## {command.name}\n\n```text\n{command.parser().format_help().rstrip()}\n```"


def _networks() -> str:
    """The functions of the networks; those of a family follow each other."""
    builds = [model_info(name).build for name in list_models()]
    builds.sort(key=lambda build: (build.__module__, build.__name__))
    options = (
        "    options:\n      force_inspection: true  # the docstring goes on with the family's"
    )
    return "\n\n".join(
        f"::: {build.__module__}.{build.__name__}\n{options}" for build in builds
    )


_GENERATED = {
    "commands": _commands,
    "networks": _networks,
    "passes": _passes,
    "recipe": functools.partial(_keys, Recipe),
    "study": functools.partial(_keys, Study),
}
