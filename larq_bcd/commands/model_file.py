"""The model that a command is given."""

import argparse
import importlib
import sys

from larq_bcd.convert.load import LoadedModel, load_model
from larq_bcd.convert.load.imported import register_contents
from larq_bcd.errors import UserError


def load(source: str, arguments: argparse.Namespace) -> LoadedModel:
    """Loads a model with what the modules define that the user names.

    Raises:
        UserError: if a module cannot be imported, or the model cannot be loaded.
    """
    for module in arguments.imports:
        _import(module)
    return load_model(source, arguments.trust_code, arguments.random_weights)


def _import(module: str) -> None:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        register_contents(importlib.import_module(module))
    except ImportError as error:
        raise UserError(
            f"--import {module}: {error}; run the command in the folder of the module or set "
            "PYTHONPATH."
        ) from error
