"""Writes into the pages of the site what the code says of itself.

A line `<!-- generated: NAME -->` becomes what the function `NAME` returns: of the words behind
the name, or of the family of networks that has the name of the page.
"""

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path

os.environ["COLUMNS"] = "87"  # of the commands' help, as wide as a page
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import figures
import yaml
from griffe import Docstring, DocstringSectionKind
from latex2mathml.converter import convert as latex_to_mathml
from mkdocs.structure.files import File, Files, InclusionLevel
from pydantic import BaseModel
from what_converts import table

from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT, Command
from larq_bcd.convert.passes import PASSES
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.models import ModelInfo, list_models, model_info
from larq_bcd.models.published import Weights, index
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.studies import Study

_MARK = re.compile(r"^<!-- generated: (\w+)((?: \w+)*) -->$", re.MULTILINE)
_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\(([^):#]+)\)")
_CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)


def on_files(files: Files, config, **_: object) -> Files:
    """Called by MkDocs once: the cards of trainings and studies are pages, with their images.

    They are in the folders of recipes and studies, and nowhere in the navigation.
    """
    models = _ROOT / "models"
    pages = {f"networks/cards/{one.card}": models / one.card for one in index()}
    for results in models.glob("studies/*/results"):
        pages[f"train/results/{results.parent.name}"] = results
    for place, folder in sorted(pages.items()):
        if (folder / "card.md").is_file():
            names = _LINK.findall((folder / "card.md").read_text())
            found = {"index.md": folder / "card.md"} | {name: folder / name for name in names}
            for name, path in found.items():
                hidden = InclusionLevel.NOT_IN_NAV
                files.append(
                    File.generated(
                        config, f"{place}/{name}", abs_src_path=str(path), inclusion=hidden
                    )
                )
    return files


def on_page_markdown(markdown: str, page, **_: object) -> str:
    """Called by MkDocs for each page."""
    name = Path(page.file.src_uri).stem

    def generated(mark: re.Match) -> str:
        words = mark[2].split()
        if mark[1] in _OF_FAMILY:
            return _OF_FAMILY[mark[1]](_family(name))
        return _GENERATED[mark[1]](*words)

    return _MARK.sub(generated, markdown)


def on_page_content(html: str, page, **_: object) -> str:
    """Called by MkDocs for the HTML of each page.

    Equations become MathML, and the links of a notebook to a page, which MkDocs leaves as they
    are, lead to where that page is in the site. Cells of tables that hold a sentence are told
    from those of a number: on a narrow screen these give way.
    """
    html = _CELL.sub(_cell, html)
    if page.file.src_uri.endswith(".ipynb"):
        html = re.sub(r'href="(\.\./[^":]*?)(?:index)?\.md(#[^"]*)?"', _link_of_notebook, html)
    for pattern, display in ((r"\\\[(.*?)\\\]", "block"), (r"\\\((.*?)\\\)", "inline")):
        html = re.sub(
            pattern, lambda found, display=display: _math(found[1], display), html, flags=re.S
        )
    return html


def _cell(cell: re.Match) -> str:
    is_prose = len(re.sub("<[^>]*>", "", cell[1])) > 30
    return f'<td class="prose">{cell[1]}</td>' if is_prose else cell[0]


def _link_of_notebook(link: re.Match) -> str:
    return f'href="../{link[1].rstrip("/")}/{link[2] or ""}"'


def _math(latex: str, display: str) -> str:
    math = latex_to_mathml(unescape(" ".join(latex.split())), display=display)
    return f'<span class="equation">{math}</span>' if display == "block" else math


def _recipe() -> str:
    """The keys of a recipe; that of the examples has every one of them."""
    return _keys(Recipe, (_ROOT / "docs" / "train" / "examples.yaml").read_text())


def _study() -> str:
    """The keys of a study, with the examples of the one on its page."""
    page = (_ROOT / "docs" / "train" / "studies.md").read_text()
    return _keys(Study, re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])


def _keys(model: type[BaseModel], examples: str) -> str:
    """The keys of a file, section by section, from the JSON schema of what it may say.

    The examples are files in YAML, which together have every key that is not a section.
    """
    schema = model.model_json_schema()
    values: dict[str, object] = {}
    for content in yaml.safe_load_all(examples):
        _collect("", content, values)
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
        rows = []
        for key, value in section["properties"].items():
            words, place = _type(value), f"{path}.{key}".lstrip(".")
            meaning = value.get("description") or documented.get(key) or "See below."
            if words not in ("section", "list of section"):
                meaning = f"{meaning.rstrip('.')}. Example: {_example(values[place])}"
            default = "required" if key in required else _default(value)
            rows.append((f"`{key}`", words, default, meaning[0].upper() + meaning[1:]))
        title = f"### `{path}`" if path else "### At the top"
        intro = section["description"].splitlines()[0]
        parts.append(f"{title}\n\n{intro}\n\n{_table(('key', 'type', 'default', ''), rows)}")
    return "\n\n".join(parts)


def _collect(path: str, value: object, values: dict[str, object]) -> None:
    """Adds what a file says, by the paths of its keys, where nothing is known of them."""
    values.setdefault(path, value)
    if isinstance(value, dict):
        for key, below in value.items():
            _collect(f"{path}.{key}".lstrip("."), below, values)
    elif isinstance(value, list):
        for below in value:
            _collect(f"{path}.*", below, values)


def _example(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return f"`{text.strip().removesuffix('...').strip()}`"


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


def _family(module: str) -> list[ModelInfo]:
    """The networks of a module of `larq_bcd.models`."""
    return [info for info in map(model_info, list_models()) if _module(info) == module]


def _module(info: ModelInfo) -> str:
    return info.build.__module__.rpartition(".")[2]


def _families() -> str:
    """The pages, each with its title and its networks."""
    rows = []
    for name in dict.fromkeys(_module(info) for info in map(model_info, list_models())):
        title = (_ROOT / "docs" / "networks" / f"{name}.md").read_text().splitlines()[0]
        networks = ", ".join(f"`{info.name}`" for info in _family(name))
        rows.append((f"[{title.removeprefix('# ')}]({name}.md)", networks))
    return _table(("family", "networks"), rows)


def _variants(family: Sequence[ModelInfo]) -> str:
    """The networks, what each is, and the arguments in which they differ."""
    defaults = [
        {
            key: f"`{value.default!r}`"
            for key, value in inspect.signature(info.build).parameters.items()
            if key != "name"
        }
        for info in family
    ]
    keys = dict.fromkeys(key for given in defaults for key in given)
    own = [key for key in keys if len({given.get(key) for given in defaults}) > 1]
    rows = [
        (
            f"`{info.name}`",
            inspect.getdoc(info.build).splitlines()[0],
            *(given.get(key, "") for key in own),
        )
        for info, given in zip(family, defaults, strict=True)
    ]
    return _table(("network", "", *(f"`{key}`" for key in own)), rows)


def _cost(family: Sequence[ModelInfo]) -> str:
    """What the registry knows of each network, at its own size."""
    rows = [
        (
            f"`{info.name}`",
            f"{info.parameters:,}",
            f"{info.binary_parameters:,}",
            f"{info.bops:,}",
            f"{info.flops:,}",
            f"{info.ops / 1e8:.2f}e8",
            f"{info.top1} %, {info.dataset}" if info.top1 else "none reported",
            f"[{info.paper}](https://arxiv.org/abs/{info.paper.arxiv})",
        )
        for info in family
    ]
    head = ("network", "parameters", "of them binary", "BOPs", "FLOPs", "OPs")
    table = _table((*head, "top-1 in the paper", "source"), rows)
    notes = [
        f"A reconstruction, `{info.name}`: {info.reconstruction}"
        for info in family
        if info.reconstruction
    ]
    same = {info.reconstruction for info in family}
    if len(same) == 1 and notes:
        notes = [f"A reconstruction: {family[0].reconstruction}"]
    return "\n\n".join([table, *notes])


def _preprocessing(family: Sequence[ModelInfo]) -> str:
    """What is done to an image, in words."""
    by_words: dict[str, list[str]] = {}
    for info in family:
        words = f"{_images(info.preprocessing)}. There are {info.num_classes:,} classes"
        by_words.setdefault(words, []).append(f"`{info.name}`")
    if len(by_words) == 1:
        return f"{next(iter(by_words))}."
    return "\n".join(f"- {', '.join(names)}: {words}." for words, names in by_words.items())


def _images(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.image_size
    size = f"{width}x{height}"
    if preprocessing.resize is None:
        way = f"Images are resized to {size}"
    else:
        way = (
            f"The shorter side of an image is resized to {preprocessing.resize} pixels "
            f"({preprocessing.resampling}), and the center of {size} is cut out"
        )
    mean, std = (", ".join(map(str, x)) for x in (preprocessing.mean, preprocessing.std))
    return f"{way}; of values in [0, 1], the mean {mean} is taken away and {std} divided by"


def _trained(family: Sequence[ModelInfo]) -> str:
    """The published weights, or that there are none."""
    rows = [_published(weights) for info in family for weights in info.weights.values()]
    if not rows:
        return (
            "None of these networks comes trained with this version of larq_bcd; "
            "`larq-bcd models --pretrained` lists those that do."
        )
    return _table(("name", "data", "images", "top-1", "file", "card"), rows)


def _published(weights: Weights) -> tuple[str, ...]:
    height, width, channels = weights.preprocessing.input_shape
    folder = f"models/{weights.card}"
    is_page = (_ROOT / folder / "card.md").is_file()
    return (
        f"`{weights.full_name}`",
        f"{weights.dataset}, {weights.split}",
        f"{width}x{height}x{channels}",
        f"{weights.top1:.2f} %",
        f"{weights.size / 1e3:.0f} kB",
        f"[{folder}](cards/{weights.card}/index.md)" if is_page else f"`{folder}`",
    )


def _functions(family: Sequence[ModelInfo]) -> str:
    """The functions of the networks, with all arguments of the family."""
    return "\n\n".join(_function(info.build) for info in family)


def _function(build: Callable) -> str:
    arguments = inspect.signature(build).parameters
    lines, is_keyword = [], False
    for argument in arguments.values():
        if argument.kind is argument.KEYWORD_ONLY and not is_keyword:
            lines.append("    *,")
            is_keyword = True
        lines.append(f"    {argument.name}={argument.default!r},")
    call = "\n".join([f"{build.__name__}(", *lines, ")"])
    parts = [f"### {build.__name__}", f"```python\n{call}\n```"]
    text = Docstring(inspect.getdoc(build)).parse(
        "google",
        warn_missing_types=False,
        warn_unknown_params=False,
        returns_multiple_items=False,
        returns_named_value=False,
    )
    for section in text:
        if section.kind is DocstringSectionKind.parameters:
            described = {entry.name: entry.description for entry in section.value}
            rows = [(f"`{name}`", described[name]) for name in arguments]
            parts.append(_table(("argument", ""), rows))
        elif section.kind is DocstringSectionKind.raises:
            rows = [(f"`{entry.annotation}`", entry.description) for entry in section.value]
            parts.append(_table(("raises", ""), rows))
        elif section.kind is DocstringSectionKind.returns:
            parts.append(f"**Returns** {section.value[0].description}")
        else:
            parts.append(section.value)
    return "\n\n".join(parts)


def _figure(network: str, prefix: str, *by_units: str) -> str:
    """A block of a network, and the word `units` for one box of each unit."""
    return figures.block(network, f"{prefix}_", by_units == ("units",))


def _c_program() -> str:
    program = (_ROOT / "convert" / "runtime" / "examples" / "run.c").read_text()
    return f"```c\n{program.rstrip()}\n```"


def _results() -> str:
    """Links to the cards of the studies that have been begun."""
    names = sorted(path.parent.name for path in (_ROOT / "models").glob("studies/*/results"))
    links = ", ".join(f"[`{name}`](results/{name}/index.md)" for name in names)
    return f"Results, with how many of the trainings they are about: {links}."


_GENERATED = {
    "c_program": _c_program,
    "commands": _commands,
    "families": _families,
    "figure": _figure,
    "passes": _passes,
    "recipe": _recipe,
    "results": _results,
    "study": _study,
    "what_converts": table,
}
_OF_FAMILY = {
    "cost": _cost,
    "functions": _functions,
    "preprocessing": _preprocessing,
    "trained": _trained,
    "variants": _variants,
}
