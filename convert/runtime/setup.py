"""Compiles the delegate into the package; everything else stands in pyproject.toml.

LARQ_BCD_TARGET=x86_64 or aarch64 cross-compiles for any Linux with glibc 2.17 or later, with
the compiler of the package `ziglang`. Without it, $CC or cc compiles for this machine. $CFLAGS
are added to the flags.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
TARGETS = ("x86_64", "aarch64")
# -ffp-contract=off: a multiply-add would round differently where the machine has one.
CFLAGS = ["-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
CFLAGS += ["-Wall", "-Wextra", "-pthread", f"-I{HERE / 'native'}"]
LDFLAGS = ["-shared", "-Wl,-z,noexecstack", "-lm"]
# A sanitizer leaves symbols to its own library.
if "CFLAGS" not in os.environ:
    LDFLAGS += ["-Wl,--no-undefined", "-s"]


def target() -> str:
    """Returns the machine to cross-compile for, empty for this one."""
    name = os.environ.get("LARQ_BCD_TARGET", "")
    if name and name not in TARGETS:
        raise SystemExit(f"LARQ_BCD_TARGET is {name!r}, and has to be one of {TARGETS}.")
    return name


def compiler() -> list[str]:
    """Returns the command that compiles C."""
    if target():
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{target()}-linux-gnu.2.17"]
    return shlex.split(os.environ.get("CC", "cc"))


class BuildWithLibrary(build_py):
    """Builds liblarq_bcd.so beside the Python modules."""

    def run(self):
        """Copies the modules, and compiles."""
        super().run()
        package = HERE / "src" if self.editable_mode else Path(self.build_lib)
        library = package / "larq_bcd_runtime" / "liblarq_bcd.so"
        # An editable install hides a failure: an old library must not be left in its place.
        library.unlink(missing_ok=True)
        sources = sorted(str(path) for path in (HERE / "native").rglob("*.c"))
        flags = [*CFLAGS, *shlex.split(os.environ.get("CFLAGS", ""))]
        command = [*compiler(), *flags, *sources, *LDFLAGS, "-o", str(library)]
        print(shlex.join(command))
        subprocess.run(command, check=True)


class PlatformWheel(bdist_wheel):
    """Tags the wheel: any Python 3, one machine."""

    def get_tag(self):
        """Returns the tag's three parts."""
        if target():
            return "py3", "none", f"manylinux_2_17_{target()}.manylinux2014_{target()}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return "py3", "none", platform


class BinaryDistribution(Distribution):
    """A distribution with a compiled library, though not one of Python's."""

    def has_ext_modules(self):
        """Makes setuptools treat the package as bound to a machine."""
        return True


setup(
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
    distclass=BinaryDistribution,
)
