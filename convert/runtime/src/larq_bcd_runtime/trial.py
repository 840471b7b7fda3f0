"""Asks LiteRT about a file in a process of its own, so that a crash there is an error here."""

import json
import signal
import subprocess
import sys
from typing import Optional

import numpy as np


def has_python() -> bool:
    """Returns whether another Python can be started: a frozen program would start itself."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def crash(content: bytes, num_threads: int) -> Optional[str]:
    """Returns how the process that ran a file died, None if it did not.

    The checks of `model_file` and `rules` refuse every damage that is known to crash LiteRT.
    They know the operators that binary networks are made of; LiteRT has many more.

    Args:
        content: the file.
        num_threads: threads for all operators.
    """
    done = _ask(content, "run", str(num_threads))
    if done.returncode >= 0:
        return None
    return signal.Signals(-done.returncode).name


def computed_shapes(content: bytes) -> dict[int, list[int]]:
    """Returns the shapes that LiteRT computes for a file's tensors, none if it cannot.

    LiteRT goes by the inputs' shapes, whatever the file says of activations: a program may have
    changed the former alone, and older converters write 1 for a size that they do not know.

    Args:
        content: the file.
    """
    done = _ask(content, "shapes")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _ask(content: bytes, *question: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "larq_bcd_runtime.trial", *question]
    return subprocess.run(command, input=content, capture_output=True)


def _run(content: bytes, num_threads: int) -> None:
    """Runs a file once, on zeros; the parent says what is refused."""
    from larq_bcd_runtime.interpreter import Interpreter, ModelError

    try:
        interpreter = Interpreter(content, num_threads, trial=False)
        details = interpreter.input_details
        interpreter.predict([np.zeros(detail.shape, detail.dtype) for detail in details])
    except (ModelError, RuntimeError, ValueError):
        pass


def _shapes(content: bytes) -> list[tuple[int, list[int]]]:
    """Returns the index and the shape of each tensor, without XNNPACK, which hides some.

    Some shapes are known when the graph has run only, those that a RESHAPE computes for one.
    """
    from larq_bcd_runtime.delegate import load, runtime

    interpreter = runtime().Interpreter(
        model_content=content,
        experimental_delegates=[load(fuse=False)],
        experimental_op_resolver_type=runtime().OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    details = interpreter.get_tensor_details()
    return [(detail["index"], detail["shape"].tolist()) for detail in details]


if __name__ == "__main__":
    model = sys.stdin.buffer.read()
    if sys.argv[1] == "run":
        _run(model, int(sys.argv[2]))
    else:
        print(json.dumps(_shapes(model)))
