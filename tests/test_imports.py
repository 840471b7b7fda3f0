"""The way of the data: what imports what, as the sources say it."""

import ast
import pathlib
from graphlib import TopologicalSorter

import larq_bcd

ROOT = pathlib.Path(larq_bcd.__file__).parent
# Each part imports from itself and from those before it.
PARTS = (
    "errors", "quantizers", "layers", "activations", "data", "models", "tflite", "convert",
    "summary", "training", "evaluation", "explain", "commands",
)  # fmt: skip
STRANGERS = ({"training", "convert"}, {"training", "tflite"}, {"layers", "data"})


def _imports_of(tree: ast.AST, known: set[str]) -> set[str]:
    """The modules that a module imports, at its head or within a function."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def _modules() -> dict[str, set[str]]:
    """What each module imports, but for the package that it is in."""
    paths = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
        for path in ROOT.rglob("*.py")
    }
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    del paths["larq_bcd"]  # which names its parts for type checkers
    found = {
        name: _imports_of(ast.parse(path.read_text()), set(paths))
        for name, path in paths.items()
    }
    return {
        name: {other for other in others if not f"{name}.".startswith(f"{other}.")}
        for name, others in found.items()
    }


def test_no_module_imports_itself_by_way_of_others():
    assert len([*TopologicalSorter(_modules()).static_order()]) > 100


def test_the_parts_import_in_one_direction():
    pairs = {
        (name.split(".")[1], other.split(".")[1])
        for name, found in _modules().items()
        for other in found
    }
    pairs = {pair for pair in pairs if not any(part.startswith("_") for part in pair)}
    assert {part for pair in pairs for part in pair} <= set(PARTS)
    wrong = [pair for pair in pairs if PARTS.index(pair[0]) < PARTS.index(pair[1])]
    assert wrong == []
    assert [pair for pair in pairs if set(pair) in STRANGERS] == []
