"""Prints what a network costs, layer by layer and in total."""

import argparse

from larq_bcd.convert.load import load_model
from larq_bcd.summary import render, summarize

EXAMPLES = """  larq-bcd summary BCDNetB
  larq-bcd summary trained.keras --format json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `larq-bcd summary`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .keras or .h5 file, a SavedModel folder, or a name; `larq-bcd models` lists "
        "the names",
    )
    parser.add_argument(
        "--format", choices=sorted(render.FORMATS), default="table", help="by default table"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `larq-bcd summary`."""
    summary = summarize(load_model(arguments.model).model)
    print(render.FORMATS[arguments.format](summary))
    return 0
