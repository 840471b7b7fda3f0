"""Which program this process runs."""

import os
import sys

# The package's own, as pip installs them.
_SCRIPTS = frozenset({"larq-bcd", "lce_convert"})
_MODULE = "larq_bcd.commands"


def needs_keras_at_once() -> bool:
    """Whether `import larq_bcd` has to settle Keras and to register the layers.

    Always, but for the package's own commands. They call `_keras.register` themselves once
    they have parsed their arguments, so that help and a mistyped option need no TensorFlow.
    """
    return "tensorflow" in sys.modules or not _is_own_command()


def _is_own_command() -> bool:
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    if program == "-m":  # while `python -m` imports the packages of its module
        return sys.orig_argv[-len(sys.argv)].removeprefix("-m") == _MODULE
    return program in _SCRIPTS
