"""The programs of C that a page shows: they compile, and what one runs has the same bits."""

import re
import shutil
import subprocess
from pathlib import Path

import ai_edge_litert
import numpy as np
import pytest
from equations import Convolution, random_data
from files import convolution_file, same_bits

import larq_bcd_runtime
from larq_bcd_runtime import Interpreter

RUNTIME = Path(__file__).parents[1]
PAGE = RUNTIME.parents[1] / "docs" / "ship" / "c.md"
LITERT = Path(ai_edge_litert.__file__).parent
STRICT = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
C = Convolution(height=5, width=6, channels_in=40, channels_out=24, pad_values=0)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "run"
    litert = ["-L", LITERT, "-l", "LiteRt", f"-Wl,-rpath,{LITERT}", "-ldl"]
    source = RUNTIME / "examples" / "run.c"
    subprocess.run(["cc", *STRICT, source, "-o", path, *litert], check=True)
    return path


def run(program, *arguments, images=b""):
    return subprocess.run([program, *arguments], input=images, capture_output=True)


def test_a_program_of_c_computes_what_python_does(program, tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(convolution_file(C, random_data(C), quantize=True))
    images = np.random.default_rng(3).normal(size=(1, 5, 6, 40)).astype(np.float32)
    done = run(program, larq_bcd_runtime.library_path(), file, images=images.tobytes())
    assert done.returncode == 0, done.stderr.decode()
    expected = Interpreter(file).predict(images)
    same_bits(np.frombuffer(done.stdout, np.float32).reshape(expected.shape), expected)


def test_a_program_of_c_says_what_failed(program, tmp_path):
    library = larq_bcd_runtime.library_path()
    assert b"usage: run" in run(program).stderr
    assert b"failed: nothing.so" in run(program, "nothing.so", "model.tflite").stderr
    done = run(program, library, tmp_path / "missing.tflite")
    assert done.returncode == 1
    assert b"failed: LiteRtCreateModelFromFile" in done.stderr


def test_the_declarations_on_the_page_compile():
    [block] = re.findall(r"^```c\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    command = [shutil.which("cc"), *STRICT, "-fsyntax-only", "-x", "c", "-"]
    done = subprocess.run(command, input=block, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
