"""How objects show themselves, in a line and in a notebook."""

import inspect
import re
from collections.abc import Sequence
from html import escape
from typing import Any

# What a layer has where its class has None, and what no layer has otherwise.
_USUAL = {"data_format": "channels_last", "activation": "linear"}


def line(instance: Any) -> str:
    """Returns a layer or quantizer as the call that makes it.

    Shown are those arguments of its class that have another value than their default, and a
    name that was given to it.
    """
    kind, config = type(instance), instance.get_config()
    arguments = []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in config and not _is_usual(name, config[name], parameter.default):
            arguments.append(f"{name}={_value(config[name])}")
    if re.sub(r"_\d+$", "", instance.name).replace("_", "") != kind.__name__.lower():
        arguments.append(f"name={instance.name!r}")
    return f"{kind.__name__}({', '.join(arguments)})"


def _is_usual(name: str, value, default) -> bool:
    if value == default or (name in _USUAL and value == _USUAL[name]):
        return True
    if default is None and "initializer" in name:
        return True
    # A name stands for what it becomes: glorot_uniform for GlorotUniform.
    names = [_value(x).strip("'").replace("_", "").lower() for x in (value, default)]
    return names[0] == names[1]


def _value(value) -> str:
    if isinstance(value, dict):
        return str(value.get("class_name", "...")).rpartition(">")[-1]
    return repr(value)


def table(rows: Sequence[Sequence[str]], titles: Sequence[str] = ()) -> str:
    """Returns a plain HTML table."""

    def cells(kind: str, row: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in row) + "</tr>"

    head = f"<thead>{cells('th', titles)}</thead>" if titles else ""
    return f"<table>{head}<tbody>{''.join(cells('td', row) for row in rows)}</tbody></table>"
