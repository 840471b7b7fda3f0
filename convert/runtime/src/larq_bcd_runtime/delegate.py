"""Finds the runtime that executes the file, and the library that it loads."""

import ctypes
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

# The same module under the names it has been published by, newest first.
_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def runtime() -> ModuleType:
    """Returns the installed runtime's module `interpreter`."""
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ImportError("larq_bcd_runtime needs LiteRT: run `pip install ai-edge-litert`.")


def library_path() -> Path:
    """Returns the shared library, for programs that load the delegate in their own way."""
    path = Path(__file__).with_name("liblarq_bcd.so")
    if not path.exists():
        raise ImportError(
            f"{path} is missing: run `pip install --force-reinstall larq-bcd-runtime`."
        )
    return path


def fastest_kernels() -> str:
    """Returns the name of the kernels that "auto" means on this machine."""
    library = ctypes.CDLL(str(library_path()))
    library.bcd_fastest_kernels.restype = ctypes.c_char_p
    return library.bcd_fastest_kernels().decode()


def load(num_threads: int = 1, kernels: str = "auto", fuse: bool = True) -> Any:
    """Loads the delegate, to be handed to a LiteRT interpreter.

    Args:
        num_threads: threads for the binary operators, 1 to 64.
        kernels: "auto" for the fastest on this machine; "reference", "avx2", "avx512" or
            "neon" to compare. All give the same bits.
        fuse: take over the elementwise operators beside the binary ones, and compute each
            stretch of them in one pass over memory; False to compare. Same bits again.

    Returns:
        What LiteRT's `Interpreter(experimental_delegates=[...])` takes.

    Raises:
        ValueError: an argument is not one of these, or this machine lacks the instructions.
    """
    options = {
        "num_threads": num_threads,
        "kernels": kernels,
        "fuse": "on" if fuse else "off",
    }
    return runtime().load_delegate(str(library_path()), options)
