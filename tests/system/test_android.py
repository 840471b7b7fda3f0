"""The Kotlin class of the Android module, compiled and run on this machine's JVM.

LiteRT's Java package is not at hand: of it the class needs one interface, which stands here.
The library is the one that Android gets, compiled for this machine.
"""

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANDROID = ROOT / "convert" / "android"
NATIVE = ROOT / "convert" / "runtime" / "native"

# As in org.tensorflow.lite.Delegate of LiteRT 1.0.1.
INTERFACE = """
package org.tensorflow.lite

interface Delegate : java.io.Closeable {
    fun getNativeHandle(): Long
    override fun close() {}
}
"""
PROGRAM = """
import org.larqbcd.BinaryDelegate

fun main(arguments: Array<String>) {
    val delegate = BinaryDelegate(arguments[0].toInt())
    println("open: ${delegate.getNativeHandle() != 0L}")
    delegate.close()
    delegate.close()
    println("closed: ${delegate.getNativeHandle() == 0L}")
    BinaryDelegate().use { println("of one thread: ${it.getNativeHandle() != 0L}") }
}
"""


def run(command, **options):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=540, **options
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the program as classes, and the library."""
    folder = tmp_path_factory.mktemp("android")
    (folder / "Delegate.kt").write_text(INTERFACE)
    (folder / "Program.kt").write_text(PROGRAM)
    sources = [
        *(ANDROID / "src" / "main" / "java").rglob("*.kt"),
        folder / "Delegate.kt",
        folder / "Program.kt",
    ]
    compiled = run(["kotlinc", *sources, "-include-runtime", "-d", folder / "program.jar"])
    assert compiled.returncode == 0, compiled.stderr
    notes = [line for line in compiled.stderr.splitlines() if not line.startswith("OpenJDK")]
    assert notes == []
    compiler = Path(
        run(["readlink", "-f", run(["which", "javac"]).stdout.strip()]).stdout.strip()
    )
    headers = compiler.parents[1] / "include"
    flags = "-std=c11 -O2 -fPIC -fvisibility=hidden -ffp-contract=off -pthread -Wall -Wextra"
    linked = run(
        [
            *("cc", "-shared", *shlex.split(flags)),
            *(f"-I{path}" for path in (NATIVE, headers, headers / "linux")),
            *(
                *sorted(NATIVE.rglob("*.c")),
                ANDROID / "src" / "main" / "cpp" / "delegate_jni.c",
            ),
            *("-Wl,--no-undefined", "-lm", "-o", folder / "liblarq_bcd.so"),
        ]
    )
    assert linked.returncode == 0, linked.stderr
    return folder


def program(folder, threads):
    return run(
        [
            "java",
            f"-Djava.library.path={folder}",
            "-cp",
            folder / "program.jar",
            "ProgramKt",
            threads,
        ]
    )


@pytest.mark.parametrize("threads", [1, 4, 64])
def test_a_delegate_is_created_and_closed_more_than_once(folder, threads):
    result = program(folder, threads)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:3] == [
        "open: true",
        "closed: true",
        "of one thread: true",
    ]


@pytest.mark.parametrize("threads", [-1, 0, 65])
def test_a_number_of_threads_that_there_is_not_is_told(folder, threads):
    result = program(folder, threads)
    assert result.returncode != 0
    assert f"threads is {threads}, and has to be 1 to 64" in result.stderr
