"""The parser of every command, and the types of its arguments."""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import larq_bcd
from larq_bcd._files import FileError, check_writable
from larq_bcd._names import did_you_mean
from larq_bcd.errors import UserError

_NUMBER = re.compile(r"-\.?\d")
_SETTING = re.compile(r"[A-Za-z_*][\w.*]*=")


class Parser(argparse.ArgumentParser):
    """Takes options, names and `KEY=VALUE` in any order, and lists with commas or blanks.

    An error is one line, which points to the help of the command that it is about.

    Args:
        prog: name of the command.
        description: first line or lines of its help.
        epilog: last lines.
    """

    def __init__(self, prog: str, description: str, epilog: str):
        self._options: dict[str, argparse.Action] = {}
        self._outputs: list[argparse.Action] = []
        self._takes_settings = False
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        program = prog.split()[0]
        self.add_argument(
            "--version", action="version", version=f"{program} {larq_bcd.__version__}"
        )

    def add_argument(self, *names: Any, **how: Any) -> argparse.Action:
        """Adds an argument, as argparse does."""
        action = super().add_argument(*names, **how)
        self._options.update(dict.fromkeys(action.option_strings, action))
        return action

    def add_output(self, *names: str, suffixes: Sequence[str] = (), **how: Any) -> None:
        """Adds an option for a file to be written, which --force lets replace an older one.

        Args:
            *names: of the option.
            suffixes: those that the file may have; any, if there are none.
            **how: as for `add_argument`.
        """
        if not self._outputs:
            self.add_argument("--force", action="store_true", help="replace files that exist")
        self._outputs.append(self.add_argument(*names, type=_output(suffixes), **how))

    def add_settings(self, what: str) -> None:
        """Adds `KEY=VALUE`, any number of which may stand between the other arguments.

        Args:
            what: what they are, for the help.
        """
        self._takes_settings = True
        self.add_argument(
            "settings", metavar="KEY=VALUE", type=_setting, nargs="*", default=[], help=what
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses the arguments.

        Raises:
            SystemExit: if there is nothing more to do; what there is to say has been said.
        """
        return self.parse_args(self._in_order(argv))

    def check_outputs(self, arguments: argparse.Namespace) -> None:
        """Checks before the work begins that its results can be written.

        Raises:
            UserError: if a file exists and may not be replaced, cannot be written, or is named
                by two options.
        """
        seen: dict[Path, str] = {}
        for action in self._outputs:
            path = getattr(arguments, action.dest)
            if path is None:
                continue
            name = action.option_strings[-1]
            try:
                check_writable(path, arguments.force)
            except FileError as error:
                raise FileError(f"{name}: {error}") from error
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise UserError(f"{other} and {name} are both {path}: name two files.")

    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, without the usage."""
        mark = " " if message.endswith("?") else "; "
        self.exit(2, f"{self.prog}: error: {message}{mark}see {self.prog} --help\n")

    def _in_order(self, argv: Sequence[str]) -> list[str]:
        """Options first, each in one word with its value, then names, then settings."""
        options: list[str] = []
        others: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--":
                others += words
                break
            if not _is_option(word):
                others.append(word)
                continue
            flag, value = self._option(word)
            action = self._options[flag]
            if action.nargs == 0:
                options.append(flag if value is None else f"{flag}={value}")
                continue
            if value is None and not _has_value(words):
                self.error(f"{flag} needs a value")
            values = [words.pop(0) if value is None else value]
            if isinstance(action.type, ListType):
                while words and action.type.takes(words[0]):
                    values.append(words.pop(0))
            options.append(f"{action.option_strings[-1]}={','.join(values)}")
        if self._takes_settings:
            others.sort(key=lambda word: _SETTING.match(word) is not None)
        # What was given after "--" may begin with a hyphen.
        mark = ["--"] if any(word.startswith("-") for word in others) else []
        return [*options, *mark, *others]

    def _option(self, word: str) -> tuple[str, str | None]:
        """Flag and value, if any, of a word such as `--output`, `--output=X`, `-oX`."""
        if not word.startswith("--"):
            flag, value = word[:2], word[2:].removeprefix("=") or None
        else:
            flag, equals, text = word.partition("=")
            value = text if equals else None
        if flag in self._options:
            return flag, value
        begun = [name for name in self._options if flag != "--" and name.startswith(flag)]
        shortest = min(begun, key=len, default="")
        # --out is --output, although there is an --output-type.
        if word.startswith("--") and begun and all(n.startswith(shortest) for n in begun):
            return shortest, value
        meant = did_you_mean(flag, [name for name in self._options if name.startswith("--")])
        self.error(f"there is no option {flag}{f', {meant}' if meant else ''}")


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NUMBER.match(word)


def _has_value(words: list[str]) -> bool:
    return bool(words) and not _is_option(words[0])


class ListType:
    """A type of several values, with commas or blanks between them.

    Args:
        convert: makes a value of a text, or raises ValueError.
        what: what the values are, for a message, such as "numbers".
        example: of such a list.
    """

    def __init__(self, convert: Callable[[str], Any], what: str, example: str):
        self._convert = convert
        self._what = what
        self._example = example

    def __call__(self, text: str) -> tuple:
        """Returns the values of a text."""
        try:
            values = tuple(self._convert(part) for part in _parts(text))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} are not {self._what} with commas or blanks between them, such as "
                f"{self._example}"
            ) from None
        return values

    def takes(self, word: str) -> bool:
        """Whether a word of its own can go on with the list."""
        try:
            return all(self._convert(part) is not None for part in _parts(word))
        except ValueError:
            return False


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


FLOATS = ListType(float, "numbers", "0.5,0.5,0.5")


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Returns the type of whole numbers from `low` on, up to `high` if it is given."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        if high is not None and value > high:
            raise argparse.ArgumentTypeError(f"{value} is above {high}")
        return value

    return convert


def named_shape(text: str) -> tuple[str | None, tuple[int, ...]]:
    """Returns a shape, and the name before it if there is one: `image=1,224,224,3`."""
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shape such as 1,224,224,3 or image=1,224,224,3"
        ) from None
    if min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a size below 1")
    return name or None, shape


def positive_number(text: str) -> float:
    """Returns a number above 0, the type of a factor."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return value


class SomeOf(ListType):
    """The type of `all`, `none` or a list of some names.

    Args:
        known: the names.
    """

    def __init__(self, known: Sequence[str]):
        super().__init__(self._known, "names", ",".join(known[:2]))
        self._names = tuple(known)

    def _known(self, name: str) -> str:
        allowed = ("all", "none", *self._names)
        if name not in allowed:
            meant = did_you_mean(name, allowed) or f"use {', '.join(allowed)}"
            raise UserError(f"there is no {name!r}, {meant}")
        return name

    def __call__(self, text: str) -> tuple[str, ...]:
        """Returns the names of a text."""
        try:
            chosen = tuple(self._known(part) for part in _parts(text))
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if len(chosen) > 1 and not {"all", "none"}.isdisjoint(chosen):
            raise argparse.ArgumentTypeError(f"{text!r} are all or none beside other names")
        return self._names if chosen == ("all",) else () if chosen == ("none",) else chosen


def not_a_setting(text: str) -> str:
    """The type of a name that has to stand beside settings."""
    if _SETTING.match(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a setting, and nothing else is given")
    return text


def _setting(text: str) -> str:
    if not _SETTING.match(text):
        raise argparse.ArgumentTypeError(f"{text!r} has not the form KEY=VALUE")
    return text


def _output(suffixes: Sequence[str]) -> Callable[[str], Path]:
    def convert(text: str) -> Path:
        path = Path(text)
        if suffixes and path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(
                f"{text} needs another suffix: name it {path.stem or 'it'}{suffixes[0]}"
                + (f", or {', '.join(suffixes[1:])}" if suffixes[1:] else "")
            )
        return path

    return convert
