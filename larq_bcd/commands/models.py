"""Lists the networks that can be given by name."""

import argparse

import rich.box
import rich.console
import rich.table

from larq_bcd._signals import Signals
from larq_bcd.models import list_models, model_info

_WIDTH = 200


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    table = _trained() if arguments.pretrained else _networks()
    # One line for each, whatever the width of the terminal or the file that it goes to.
    rich.console.Console(width=_WIDTH).print(table)
    return 0


def _networks() -> rich.table.Table:
    table = _table(("name",), ("parameters", "BOPs", "FLOPs", "OPs", "top-1"), "paper")
    for name in list_models():
        info = model_info(name)
        table.add_row(
            name,
            f"{info.parameters / 1e6:.1f} M",
            f"{info.bops / 1e9:.2f}e9",
            f"{info.flops / 1e8:.2f}e8",
            f"{info.ops / 1e8:.2f}e8",
            f"{info.top1} %" if info.top1 else "",
            f"{info.paper}{', in part reconstructed' if info.reconstruction else ''}",
        )
    return table


def _trained() -> rich.table.Table | str:
    names = list_models(pretrained=True)
    if not names:
        return "No trained network comes with this version of larq_bcd."
    numbers = ("top-1", "classes", "BOPs", "FLOPs", "weights")
    table = _table(("name", "data", "images"), numbers, "card")
    for name in names:
        network, _, tag = name.partition(":")
        weights = model_info(network).weights[tag]
        height, width, channels = weights.preprocessing.input_shape
        table.add_row(
            name,
            f"{weights.dataset}, {weights.split}",
            f"{width}x{height}x{channels}",
            f"{weights.top1:.2f} %",
            f"{len(weights.class_names)}",
            f"{weights.bops / 1e9:.3f}e9",
            f"{weights.flops / 1e8:.3f}e8",
            f"{weights.size / 1e3:.0f} kB",
            f"models/{weights.card}",
        )
    return table


def _table(texts: tuple[str, ...], numbers: tuple[str, ...], last: str) -> rich.table.Table:
    """A table of columns of text, of numbers, and one more of text."""
    table = rich.table.Table(box=rich.box.SIMPLE)
    for column in texts:
        table.add_column(column, no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    return table
