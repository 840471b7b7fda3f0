"""Runs Larq Compute Engine's converter and nothing else, in a process of its own.

The converter is one library with a TensorFlow inside, and needs no other: it is loaded in a
tenth of a second, from its file, since its package would import TensorFlow. It aborts and
overruns memory on some models, which here ends this process alone.
"""

import importlib.machinery
import importlib.util
import pickle
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Exit statuses; others are the deaths of a process.
REFUSED, OUT_OF_MEMORY = 3, 4


def main(arguments: Sequence[str]) -> int:
    """Calls a function of the converter.

    Args:
        arguments: the library's file; one with the name of the function and what it is called
            with; and one for the bytes that it returns, or for what it says of its failure.

    Returns:
        The exit status.
    """
    # While native code runs, Python's own handler would wait for its end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    library, request, result = map(Path, arguments)
    name = library.name.split(".")[0]
    loader = importlib.machinery.ExtensionFileLoader(name, str(library))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    converter = importlib.util.module_from_spec(spec)
    loader.exec_module(converter)
    function, called_with = pickle.loads(request.read_bytes())
    try:
        content = getattr(converter, function)(*called_with)
    except MemoryError:
        return OUT_OF_MEMORY
    # The bindings raise an Exception of no class of its own for what the converter refuses,
    # and what pybind11 makes of whatever C++ throws.
    except Exception as error:
        result.write_text(str(error), encoding="utf-8")
        return REFUSED
    result.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
