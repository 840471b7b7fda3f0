"""A summary as a table for people, as JSON and as CSV for programs."""

import csv
import io
import json
from collections.abc import Callable

import rich.box
import rich.console
import rich.table
import rich.text

from larq_bcd.summary.network import Cost, LayerCost, Summary

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
_WIDTH = 140


def _figures(cost: Cost) -> dict[str, int | float]:
    return {name: getattr(cost, name) for name in _FIELDS}


def _cells(cost: Cost) -> list[str]:
    return [f"{getattr(cost, name):,.0f}" for name in _COLUMNS.values()]


def _row(layer: LayerCost) -> list[str]:
    mark = "*" if layer.reason_for_float else ""
    return [layer.name + mark, layer.type, "x".join(map(str, layer.output_shape))]


def as_table(summary: Summary) -> str:
    """Returns a table of the layers that hold or compute something, and the totals.

    Memory is in bytes: one bit for a binary parameter, 32 for any other variable. An asterisk
    marks what a strict conversion would leave in float; the reasons stand below.
    """
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer")
    table.add_column("type")
    table.add_column("output", justify="right")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for layer in summary.layers:
        if layer.cost != Cost():
            table.add_row(*map(rich.text.Text, _row(layer) + _cells(layer.cost)))
    table.add_section()
    table.add_row(summary.name, "total", "", *_cells(summary.total))
    page = io.StringIO()
    console = rich.console.Console(width=_WIDTH, file=page, color_system=None)
    console.print(table)
    for line in _notes(summary):
        console.print(rich.text.Text(line))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _ops(count: float) -> str:
    return f"{count:,.0f} ({count / 1e8:.2f}e8)"


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
