"""Finds the runtime that executes the file, and the library that it loads."""

import ctypes
import importlib
import json
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


def load(
    num_threads: int = 1, kernels: str = "auto", fuse: bool = True, profile: bool = False
) -> Any:
    """Loads the delegate, to be handed to a LiteRT interpreter.

    Args:
        num_threads: threads for the binary operators, 1 to 64.
        kernels: "auto" for the fastest on this machine; "reference", "avx2", "avx512bw",
            "avx512" or "neon" to compare. All give the same bits.
        fuse: take over the elementwise operators beside the binary ones, and compute each
            stretch of them in one pass over memory; False to compare. Same bits again.
        profile: time what the delegate executes, for `describe`.

    Returns:
        What LiteRT's `Interpreter(experimental_delegates=[...])` takes.

    Raises:
        ValueError: an argument is not one of these, or this machine lacks the instructions.
    """
    options = {
        "num_threads": num_threads,
        "kernels": kernels,
        "fuse": "on" if fuse else "off",
        "profile": "on" if profile else "off",
    }
    try:
        return runtime().load_delegate(str(library_path()), options)
    except ValueError as error:
        # LiteRT puts the library's path before what the library says.
        raise ValueError(str(error).split("larq-bcd-runtime: ")[-1].strip()) from None


def describe(delegate: Any) -> list[dict[str, Any]]:
    """Returns what a delegate executes, once its interpreter has allocated its tensors.

    Args:
        delegate: from `load`; it must not be running.

    Returns:
        For each stretch of the graph a dict: `stages`, each with its `operators` as pairs of
        index and name, `runs`, `nanoseconds` in all of them, and `bytes_read` and
        `bytes_written` of activations in one; `operator_bytes`, what the operators would read
        and write one by one; `memory`, the bytes of the stretch's own activations and scratch;
        and `largest_live`, the most bytes of activations alive at once, operator by operator.
    """
    library = ctypes.CDLL(str(library_path()))
    library.bcd_describe.restype = ctypes.c_void_p
    library.bcd_describe.argtypes = library.bcd_free.argtypes = [ctypes.c_void_p]
    text = library.bcd_describe(delegate._get_native_delegate_pointer())
    if not text:
        raise MemoryError("there is no memory for the description")
    try:
        return json.loads(ctypes.string_at(text).decode("utf-8", "replace"))
    finally:
        library.bcd_free(text)
