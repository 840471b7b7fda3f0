"""The entry points `larq-bcd` and `lce_convert`."""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence

from larq_bcd._names import did_you_mean
from larq_bcd._signals import Signals
from larq_bcd._stderr import release_stderr
from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT, Command
from larq_bcd.commands.parser import Parser
from larq_bcd.errors import UserError

_EPILOG = "larq-bcd COMMAND --help has its arguments and examples."


def larq_bcd(argv: Sequence[str] | None = None) -> int:
    """Runs `larq-bcd`.

    Args:
        argv: its arguments; by default those of the process.

    Returns:
        The exit status, as the help of the command explains.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return run(COMMANDS[argv[0]], argv[1:])
    try:
        _overview(argv)
    except SystemExit as end:  # all has been said
        return int(end.code or 0)
    return 0


def lce_convert(argv: Sequence[str] | None = None) -> int:
    """Runs `lce_convert`; arguments and result as of `larq_bcd`."""
    return run(LCE_CONVERT, sys.argv[1:] if argv is None else argv)


def _overview(argv: Sequence[str]) -> None:
    """Prints the commands or the version, or says that there is no such command."""
    parser = Parser("larq-bcd", "Binary networks with contextual dependencies.", _EPILOG)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary)
    if argv and not argv[0].startswith("-"):
        meant = did_you_mean(argv[0], COMMANDS) or f"use {', '.join(COMMANDS)}"
        parser.error(f"there is no command {argv[0]!r}, {meant}")
    parser.parse(argv[:1])
    parser.error(f"name a command: {', '.join(COMMANDS)}")


def run(command: Command, argv: Sequence[str]) -> int:
    """Runs a command."""
    parser = command.parser()
    try:
        arguments = parser.parse(argv)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    signals = Signals()
    try:
        with signals.raised():
            parser.check_outputs(arguments)
            with _starting():
                module = _imported(command.module)
            return module.run(arguments, signals)
    except BaseException as error:
        interrupt = isinstance(error, KeyboardInterrupt)
        number = signals.received or (signal.SIGINT if interrupt else None)
        if number is not None:
            release_stderr()
            how = "interrupted" if number == signal.SIGINT else "terminated"
            print(f"{command.name}: {how}, nothing is written", file=sys.stderr)
            return 128 + number
        if isinstance(error, UserError):
            print(f"{command.name}: error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        raise


def _imported(module_name: str):
    # TensorFlow's errors come as exceptions; what it logs is for its developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # An image of broken EXIF data is read without them.
    warnings.filterwarnings("ignore", module="PIL")
    importlib.import_module("larq_bcd._keras").register()
    return importlib.import_module(module_name)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Shows on a terminal that something happens while TensorFlow is imported."""
    if "tensorflow" in sys.modules or not sys.stderr.isatty():
        yield
        return
    print("Starting TensorFlow ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
