"""Lists the networks that can be given by name."""

import argparse

import rich.box
import rich.console
import rich.table

from larq_bcd._signals import Signals
from larq_bcd.models import list_models, model_info

_WIDTH = 140


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    table = rich.table.Table(box=rich.box.SIMPLE)
    table.add_column("name", no_wrap=True)
    for column in ("parameters", "BOPs", "FLOPs", "OPs", "top-1"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("paper", no_wrap=True)
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
    # One line for each, whatever the width of the terminal or the file that it goes to.
    rich.console.Console(width=_WIDTH).print(table)
    return 0
