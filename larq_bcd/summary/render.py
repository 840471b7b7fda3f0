"""What is known of a network's cost, as a table for people, as JSON and as CSV for programs."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape

from larq_bcd._shown import table
from larq_bcd.summary.costs import Cost, LayerCost

_COLUMNS = {
    "parameters": "parameters",
    "1-bit": "binary_parameters",
    "memory": "memory",
    "BOPs": "bops",
    "FLOPs": "flops",
    "OPs": "ops",
    "full OPs": "full_ops",
}
_FIELDS = (
    "parameters",
    "binary_parameters",
    "memory",
    "bops",
    "flops",
    "elementwise",
    "ops",
    "full_ops",
)
_BETWEEN = "  "
# Columns of text, which come first, and to what they can be cut.
_TEXTS = 2
_SHORTEST = 16
_OPTIONAL = ("full OPs", "1-bit", "memory", "output", "FLOPs", "BOPs")


@dataclass(frozen=True, repr=False)
class Summary:
    """The cost of each layer of a network, and of the network.

    `print` shows it as a table, and so does a notebook.
    """

    name: str
    layers: list[LayerCost] = field(default_factory=list)

    @property
    def total(self) -> Cost:
        """The sum over the layers."""
        return sum((layer.cost for layer in self.layers), Cost())

    def __repr__(self) -> str:
        total = self.total
        return (
            f"<{type(self).__name__} of {self.name}: {total.parameters:,} parameters, "
            f"{total.binary_parameters:,} of them binary; {_short(total.ops)} OPs>"
        )

    def __str__(self) -> str:
        return as_table(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    @property
    def shipped_ops(self) -> float:
        """OPs where the layers that a conversion leaves in float are counted as such."""
        return sum(
            layer.cost.bops + layer.cost.flops if layer.reason_for_float else layer.cost.ops
            for layer in self.layers
        )

    @property
    def shipped_memory(self) -> int:
        """Bytes of the variables where those of such layers take 32 bits each."""
        binary = (
            layer.cost.binary_parameters for layer in self.layers if not layer.reason_for_float
        )
        return replace(self.total, binary_parameters=sum(binary)).memory


def _figures(cost: Cost) -> dict[str, int | float]:
    return {name: getattr(cost, name) for name in _FIELDS}


def _cells(cost: Cost) -> list[str]:
    return [f"{getattr(cost, name):,.0f}" for name in _COLUMNS.values()]


def _row(layer: LayerCost) -> list[str]:
    mark = "*" if layer.reason_for_float else ""
    return [layer.name + mark, layer.type, "x".join(map(str, layer.output_shape))]


def as_table(summary: Summary, width: int | None = None) -> str:
    """Returns a table of the layers that hold or compute something, and the totals.

    Memory is in bytes: one bit for a binary parameter, 32 for any other variable. An asterisk
    marks what a strict conversion would leave in float; the reasons stand below.

    Args:
        summary: what is shown.
        width: of a terminal, in characters, in which names and types are cut in the middle;
            by default they are whole.
    """
    rows = [["layer", "type", "output", *_COLUMNS]]
    rows += [_row(x) + _cells(x.cost) for x in summary.layers if x.cost != Cost()]
    rows.append([summary.name, "total", "", *_cells(summary.total)])
    missing = [] if width is None else _fit(rows, width)
    widths = _widths(rows)
    lines = [_line(row, widths) for row in rows]
    rule = "-" * max(map(len, lines))
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1], "", *_notes(summary)]
    if missing:
        lines.append(f"Too wide for this terminal: {', '.join(missing)}; --format csv has all.")
    return "\n".join(line.rstrip() for line in lines)


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(row: list[str], widths: list[int]) -> str:
    name, kind, *figures = (
        cell.ljust(width) if index < _TEXTS else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return _BETWEEN.join([name, kind, *figures])


def _fit(rows: list[list[str]], width: int) -> list[str]:
    """Makes the rows as long as a terminal is wide, if they can be.

    Columns that one can do without are left out where cutting the texts is not enough.

    Returns:
        The names of those.
    """
    missing = []
    for name in _OPTIONAL:
        widths = _widths(rows)
        if sum(widths[_TEXTS:]) + _TEXTS * _SHORTEST + _gaps(widths) <= width:
            break
        index = rows[0].index(name)
        for row in rows:
            del row[index]
        missing.append(name)
    for column in range(_TEXTS):
        widths = _widths(rows)
        excess = max(0, sum(widths) + _gaps(widths) - width)
        room = max(_SHORTEST, widths[column] - excess)
        for row in rows:
            row[column] = _cut(row[column], room)
    return missing


def _gaps(widths: list[int]) -> int:
    return len(_BETWEEN) * (len(widths) - 1)


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def as_html(summary: Summary) -> str:
    """Returns the table for a notebook."""
    rows = [_row(x) + _cells(x.cost) for x in summary.layers if x.cost != Cost()]
    rows.append([summary.name, "total", "", *_cells(summary.total)])
    notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(summary))
    return table(rows, ["layer", "type", "output", *_COLUMNS]) + notes


def _short(count: float) -> str:
    """A number of operations as in the papers' tables, or whole where it is small."""
    return f"{count / 1e8:.2f}e8" if count >= 1e6 else f"{count:,.0f}"


def _ops(count: float) -> str:
    return f"{count:,.0f} ({_short(count)})" if count >= 1e6 else _short(count)


def _notes(summary: Summary) -> list[str]:
    total = summary.total
    notes = [
        f"OPs = BOPs / 64 + FLOPs = {total.bops:,} / 64 + {total.flops:,} = {_ops(total.ops)}",
        f"full OPs = OPs + {total.elementwise:,} on single elements = {_ops(total.full_ops)}",
    ]
    left = {layer.name: layer.reason_for_float for layer in summary.layers}
    left = {name: reason for name, reason in left.items() if reason}
    if left:
        notes.append(
            "* left in float by a strict conversion; OPs are then "
            f"{_ops(summary.shipped_ops)}, and the memory {summary.shipped_memory:,}"
        )
    return notes + [f"  {name}: {reason}" for name, reason in left.items()]


def as_json(summary: Summary) -> str:
    """Returns the layers and the total as JSON."""
    layers = [
        {
            "name": layer.name,
            "type": layer.type,
            "output_shape": list(layer.output_shape),
            **_figures(layer.cost),
            "reason_for_float": layer.reason_for_float,
        }
        for layer in summary.layers
    ]
    total = {
        **_figures(summary.total),
        "shipped_ops": summary.shipped_ops,
        "shipped_memory": summary.shipped_memory,
    }
    return json.dumps({"name": summary.name, "total": total, "layers": layers}, indent=2)


def as_csv(summary: Summary) -> str:
    """Returns one line for each layer, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "type", "output_shape", *_FIELDS, "reason_for_float"])
    for layer in summary.layers:
        shape = "x".join(map(str, layer.output_shape))
        figures = _figures(layer.cost).values()
        reason = layer.reason_for_float or ""
        writer.writerow([layer.name, layer.type, shape, *figures, reason])
    return text.getvalue().rstrip("\n")


FORMATS: dict[str, Callable[[Summary], str]] = {
    "csv": as_csv,
    "json": as_json,
    "table": as_table,
}
