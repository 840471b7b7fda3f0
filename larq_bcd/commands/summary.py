"""Prints what a network costs, layer by layer and in total."""

import argparse

from larq_bcd._signals import Signals
from larq_bcd.convert.load import load_model
from larq_bcd.summary import render, summarize


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    """Runs `larq-bcd summary`."""
    summary = summarize(load_model(arguments.model).model)
    print(render.FORMATS[arguments.format](summary))
    return 0
