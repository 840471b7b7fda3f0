"""The micro-kernels by themselves: a program of C that is compiled with the kernels alone."""

import os
import shlex
import subprocess
from pathlib import Path

from conftest import KERNELS

HERE = Path(__file__).parent
NATIVE = HERE.parent / "native"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-ffp-contract=off", "-pthread", f"-I{NATIVE}"]


def test_kernels_give_the_bits_of_the_reference_over_a_grid(tmp_path):
    program = tmp_path / "grid"
    sources = [HERE / "kernels/grid.c", *sorted((NATIVE / "kernels").glob("*.c"))]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    # Of a library under the sanitizers Python is told to load theirs first.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    command = [*compiler, *FLAGS, *map(str, sources), "-lm", "-o", str(program)]
    subprocess.run(command, check=True, env=environment)
    done = subprocess.run(
        [program, *KERNELS], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" cases\n") == len(KERNELS)
