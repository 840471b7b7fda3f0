"""The set-up script of the Raspberry Pi, on made-up systems; qemu runs the real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "raspberry_pi" / "setup.sh"

# A Python of some system: it answers the script's questions as told, and makes an environment
# whose pip says what it is asked to install.
PYTHON = """#!/bin/bash
case "$*" in
  *version_info*) exit {too_old} ;;
  *calcsize*) echo {bits} ;;
  *picamera2*) exit {no_camera} ;;
  "-m venv"*)
    echo "venv ${{*:3}}" >>"$LOG"
    mkdir -p "${{@: -1}}/bin"
    printf '#!/bin/bash\\necho "pip $*" >>"$LOG"\\n' >"${{@: -1}}/bin/pip"
    chmod +x "${{@: -1}}/bin/pip" ;;
  *) exec {real} "$@" ;;
esac
"""


@pytest.fixture
def board(tmp_path):
    """Runs the script on a board; returns what it did, and its log."""

    def run(*arguments, machine="aarch64", bits=64, too_old=0, no_camera=1, **environment):
        tools = tmp_path / "tools"
        tools.mkdir()
        answers = {"bits": bits, "too_old": too_old, "no_camera": no_camera}
        programs = {
            "uname": f"#!/bin/bash\necho {machine}\n",
            "python3": PYTHON.format(real=sys.executable, **answers),
        }
        for name, text in programs.items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        (tmp_path / "a.whl").write_bytes(b"")
        log = tmp_path / "log"
        log.write_text("")
        variables = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        done = subprocess.run(
            ["bash", SCRIPT, *arguments],
            cwd=tmp_path,
            env={**variables, "LOG": str(log), **environment},
            capture_output=True,
            text=True,
        )
        return done, log.read_text().splitlines()

    return run


def test_the_wheel_is_installed_into_an_environment_of_its_own(board, tmp_path):
    done, log = board("a.whl")
    assert done.returncode == 0, done.stderr
    assert log == [f"venv {tmp_path}/bcd", "pip install --quiet a.whl[images]"]
    assert f"{tmp_path}/bcd/bin/bcd-run model.tflite image.jpg" in done.stdout


def test_the_environment_sees_the_system_s_camera(board, tmp_path):
    _, log = board("a.whl", no_camera=0, BCD_HOME=str(tmp_path / "else where"))
    assert log[0] == f"venv --system-site-packages {tmp_path}/else where"


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        ({"machine": "aarch64", "bits": 32}, "this is aarch64 with a 32-bit Python"),
        ({"machine": "armv7l", "bits": 32}, "this is armv7l with a 32-bit Python"),
        ({"machine": "x86_64"}, "this is x86_64 with a 64-bit Python"),
        ({"too_old": 1}, "python3 is missing or older than 3.9"),
        ({"PYTHON": "python-that-is-not-there"}, "python-that-is-not-there is missing"),
    ],
)
def test_do_not_install_on_another_system(board, system, reason):
    done, log = board("a.whl", **system)
    assert (done.returncode, log) == (1, [])
    assert reason in done.stderr
    assert "Raspberry Pi OS" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("missing.whl",), ("a.whl", "b.whl")])
def test_do_not_guess_the_wheel(board, arguments):
    done, log = board(*arguments)
    assert (done.returncode, log) == (1, [])
    assert "usage: bash setup.sh larq_bcd_runtime" in done.stderr
