"""Prints what a network costs: parameters, binary and real operations."""

import argparse

from larq_bcd.models import get_model
from larq_bcd.summary import cost

EXAMPLES = "  larq-bcd summary BCDNetB\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `larq-bcd summary`."""
    parser.add_argument("model", metavar="MODEL", help="name of a network")


def run(arguments: argparse.Namespace) -> int:
    """Runs `larq-bcd summary`."""
    counted = cost(get_model(arguments.model))
    print(f"parameters {counted.parameters:,}, of them binary {counted.binary_parameters:,}")
    print(f"BOPs {counted.bops:,}, FLOPs {counted.flops:,}, OPs {counted.ops:,.0f}")
    return 0
