"""Prints what a network costs, layer by layer and in total."""

import argparse
import shutil
import sys

from larq_bcd._signals import Signals
from larq_bcd.commands.model_file import load
from larq_bcd.summary import render, summarize


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    summary = summarize(load(arguments.model, arguments).model)
    if arguments.format == "table" and sys.stdout.isatty():
        print(render.as_table(summary, shutil.get_terminal_size().columns))
    else:
        print(render.FORMATS[arguments.format](summary))
    return 0
