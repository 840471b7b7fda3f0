import contextlib
import io
import os
import signal
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest

import larq_bcd
from larq_bcd._stderr import captured_stderr
from larq_bcd.commands import main
from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT
from larq_bcd.errors import UserError

# As pip writes it, and what has been loaded at its end.
SCRIPT = """
import sys
from larq_bcd.commands.main import {function}
status = {function}()
print(sorted({{"tensorflow", "larq", "numpy"}} & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


def process(command, *words):
    """What a command has printed that is not on a terminal, with its carriage returns."""
    result = subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return types.SimpleNamespace(
        returncode=result.returncode,
        stdout=result.stdout.decode(),
        stderr=result.stderr.decode(),
    )


@pytest.fixture
def script(tmp_path):
    """Runs a command by the script that pip installs for it."""

    def run(program, *words):
        path = tmp_path / program
        path.write_text(SCRIPT.format(function=program.replace("-", "_")))
        return process([sys.executable, str(path)], *words)

    return run


@pytest.mark.parametrize(
    ("program", "words", "status"),
    [
        ("larq-bcd", ["--help"], 0),
        ("larq-bcd", ["--version"], 0),
        ("larq-bcd", ["trian"], 2),
        ("lce_convert", ["--help"], 0),
        ("lce_convert", ["m.keras", "--ouput", "x.tflite"], 2),
        *(("larq-bcd", [name, "--help"], 0) for name in COMMANDS),
        *(("larq-bcd", [name, "--oops"], 2) for name in COMMANDS),
    ],
)
def test_help_and_a_mistyped_option_need_no_tensorflow(script, program, words, status):
    result = script(program, *words)
    assert result.returncode == status
    assert result.stderr.splitlines()[-1] == "[]"


def test_a_script_that_works_settles_keras_and_registers_the_layers(script):
    result = script("larq-bcd", "models")
    assert result.returncode == 0
    assert "BCDNetB" in result.stdout
    assert result.stderr == "['larq', 'numpy', 'tensorflow']\n"


# One entry is announced, and none is there.
BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0"


def test_a_log_has_no_chatter_and_no_bars(script, small_file, tmp_path, rng):
    for name in "abcde":
        (tmp_path / "images" / "test" / name).mkdir(parents=True)
        pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
        image = PIL.Image.fromarray(pixels)
        image.save(tmp_path / "images" / "test" / name / "0.jpg", exif=BROKEN_EXIF)
    normalization = ("--mean", "0.5", "--std", "0.25")
    folder = tmp_path / "images"
    result = script("larq-bcd", "evaluate", small_file, "--dataset", folder, *normalization)
    assert result.returncode == 0
    assert "top-1" in result.stdout
    assert result.stderr == "['larq', 'numpy', 'tensorflow']\n"
    assert {"\b", "\r", "\033"}.isdisjoint(result.stdout)


def test_the_package_is_a_command_too():
    command = [sys.executable, "-m", "larq_bcd.commands"]
    assert process(command, "--version").stdout == f"larq-bcd {larq_bcd.__version__}\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_at_once_that_tensorflow_is_starting(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")
    for stream, shown, left in (
        (Terminal(), "Starting TensorFlow ...", "\r\033[K"),
        (io.StringIO(), "", ""),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        with main._starting():
            assert stream.getvalue() == shown
        assert stream.getvalue() == shown + left


def test_the_version_is_printed(capsys):
    for run, name in ((main.larq_bcd, "larq-bcd"), (main.lce_convert, "lce_convert")):
        assert run(["--version"]) == 0
        assert capsys.readouterr().out == f"{name} {larq_bcd.__version__}\n"


def test_every_help_has_examples_and_the_exit_statuses(capsys):
    for command in (LCE_CONVERT, *COMMANDS.values()):
        assert main.run(command, ["--help"]) == 0
        out = capsys.readouterr().out
        assert f"examples:\n  {command.name}" in out
        assert "exit status:" in out
        assert "130" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a command: train, evaluate, import"),
        (["trian"], "there is no command 'trian', did you mean 'train'?"),
        (["zzz"], "there is no command 'zzz', use train, evaluate"),
        (["--verison"], "no option --verison, did you mean '--version'?"),
    ],
)
def test_a_command_that_there_is_not_is_one_line(capsys, words, message):
    assert main.larq_bcd(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert err.endswith("see larq-bcd --help\n")


@pytest.fixture
def running(monkeypatch, interrupts_raise):
    """Runs `larq-bcd models` with another body."""

    def run(body):
        module = types.SimpleNamespace(run=body)
        monkeypatch.setattr(main, "_imported", lambda name: module)
        return main.larq_bcd(["models"])

    return run


def test_a_fault_of_the_user_is_one_line_with_the_name_of_the_command(running, capsys):
    def body(arguments, signals):
        raise UserError("no\n  such thing.")

    assert running(body) == 2
    assert capsys.readouterr().err == "larq-bcd models: error: no such thing.\n"


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals_end_every_command(running, capsys, number, status, word):
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def lost(arguments, signals):
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
        signals.heed_no_more()
        pytest.fail("it was heeded")

    def other_error(arguments, signals):
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise UserError("the file is damaged") from error

    for body in (lost, other_error, lambda arguments, signals: signal.raise_signal(number)):
        assert running(body) == status
        assert capsys.readouterr().err == f"larq-bcd models: {word}, nothing is written\n"
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_a_signal_that_leaves_stderr_captured_is_told(running, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", buffering=1, closefd=False))

    def body(arguments, signals):
        capture = captured_stderr()
        capture.__enter__()
        signal.raise_signal(signal.SIGINT)

    assert running(body) == 130
    assert capfd.readouterr().err == "larq-bcd models: interrupted, nothing is written\n"


def test_what_a_signal_finds_in_writing_is_ended(running, capsys):
    def body(arguments, signals):
        signals.heed_no_more()
        signal.raise_signal(signal.SIGINT)
        return 0

    assert running(body) == 0
    assert capsys.readouterr().err == ""
