"""The command `larq-bcd`, whose subcommands live beside what they run.

It lies beside the package, whose import is that of TensorFlow: here, its help is quick, and
TensorFlow can be told to keep its notes about itself to itself.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

_PROGRAM = "larq-bcd"
# A module has `EXAMPLES`, `add_arguments(parser)` and `run(arguments) -> exit status`.
_COMMANDS = {
    "train": ("larq_bcd.commands.train", "train a network by a recipe"),
    "evaluate": ("larq_bcd.commands.evaluate", "accuracy of a model or .tflite file"),
    "import": (
        "larq_bcd.commands.import_checkpoint",
        "PyTorch checkpoint to Keras model",
    ),
    "models": ("larq_bcd.commands.models", "the networks by name"),
    "summary": ("larq_bcd.commands.summary", "what a network costs"),
    "explain": ("larq_bcd.commands.explain", "what a network makes of an image"),
    "show": ("larq_bcd.commands.show", "what a .tflite file is made of"),
}
_EPILOG = """larq-bcd COMMAND --help has examples. Exit status:
  0    done
  2    the arguments or the files they name are at fault
  130  interrupted; train has kept its state, and 143 after SIGTERM
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The arguments of the command, and of the subcommand that was chosen."""
    arguments = _Parser(
        prog=_PROGRAM,
        description="Binary networks with contextual dependencies.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = arguments.add_subparsers(metavar="COMMAND", required=True)
    for name, (module_name, summary) in _COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=summary)
            continue
        module = importlib.import_module(module_name)
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; by default those of the process.

    Returns:
        The exit status, as `--help` explains.
    """
    # Its errors come as exceptions; what it logs is for its developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parser(argv[0] if argv else None).parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    from larq_bcd.errors import UserError

    try:
        return arguments.run(arguments)
    except UserError as error:
        print(f"{_PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{_PROGRAM}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
