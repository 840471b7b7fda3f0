"""Runs a file in a process of its own first, so that a crash there is an error here.

The checks of `model_file` and `operator_rules` refuse every damage that is known to crash
LiteRT. They know the operators that binary networks are made of; LiteRT has many more.
"""

import signal
import subprocess
import sys
from typing import Optional

import numpy as np


def crash(content: bytes, num_threads: int) -> Optional[str]:
    """Returns how the process that ran a file died, None if it did not.

    Args:
        content: the file.
        num_threads: threads for all operators.
    """
    command = [sys.executable, "-m", "larq_bcd_runtime.trial", str(num_threads)]
    done = subprocess.run(command, input=content, capture_output=True)
    if done.returncode >= 0:
        return None
    return signal.Signals(-done.returncode).name


def main() -> None:
    """Runs the file on standard input once, on zeros; the parent says what is refused."""
    from larq_bcd_runtime.interpreter import Interpreter, ModelError

    try:
        interpreter = Interpreter(sys.stdin.buffer.read(), int(sys.argv[1]))
        details = interpreter.input_details
        interpreter.predict([np.zeros(detail.shape, detail.dtype) for detail in details])
    except (ModelError, RuntimeError, ValueError):
        pass


if __name__ == "__main__":
    main()
