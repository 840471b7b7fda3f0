"""Refuses what would run when the configuration of a model is turned into objects.

A configuration is JSON. Keras makes an object of every dictionary with a `class_name` in it,
nested however deep, and looks for its class or function in TensorFlow, in Keras, and in any
Python module that the dictionary names. Here it may only find what `allowed` lists, and what
this program has registered: the layers of larq and larq_bcd, and those of modules that the user
has imported.
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tf_keras.src.layers.serialization import get_builtin_layer

from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.allowed import ACTIVATIONS, CLASSES, FUNCTIONS, MODULES

TRUST = "give --trust-code (trust_code=True in Python) if you know its author"
_PACKAGES = frozenset({"keras", "tf_keras", "tensorflow", "larq", "larq_bcd"})


def refuse_code(path: Path, config) -> None:
    """Raises an error if a configuration names more than functions from tensors to tensors.

    Args:
        path: the file it is from, for the message.
        config: parsed JSON.

    Raises:
        ConversionError: with the function or class, the layer, and the option that allows it.
    """
    for entry, layer in _entries(config, ""):
        _refuse_activation(path, entry, layer)
        if "class_name" in entry:
            _refuse_entry(path, entry, layer)


def _entries(config, layer: str) -> Iterator[tuple[dict, str]]:
    """Every dictionary, and the name of the innermost layer around it."""
    if isinstance(config, dict):
        inner = config.get("config")
        if "class_name" in config and isinstance(inner, dict) and "name" in inner:
            layer = str(inner["name"])
        yield config, layer
        for value in config.values():
            yield from _entries(value, layer)
    elif isinstance(config, list):
        for value in config:
            yield from _entries(value, layer)


def is_registered(name) -> bool:
    """Whether this program has registered a class or function by this name with Keras."""
    return isinstance(name, str) and tf.keras.utils.get_registered_object(name) is not None


def is_known_to_keras(name) -> bool:
    """Whether Keras has a layer of its own by this name, allowed or not."""
    return isinstance(name, str) and get_builtin_layer(name) is not None


def _of(layer: str) -> str:
    return f" of the layer '{layer}'" if layer else ""


def _refuse_activation(path: Path, entry: dict, layer: str) -> None:
    for key, name in entry.items():
        if not key.endswith("activation") or not isinstance(name, str):
            continue
        if name not in ACTIVATIONS and not is_registered(name):
            raise ConversionError(
                f"{path} has the unknown activation '{name}'{_of(layer)}: give --import with "
                f"the module that registers it, or {TRUST}."
            )


def _refuse_entry(path: Path, entry: dict, layer: str) -> None:
    kind = entry["class_name"]
    if kind in ("Lambda", "__lambda__") or entry.get("function_type") == "lambda":
        named = f" '{layer}'" if layer else ""
        raise ConversionError(
            f"{path} carries Python code in a Lambda layer{named}, which would run on "
            f"loading: {TRUST}."
        )
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        _refuse_function(path, entry, layer)
    name = kind
    if kind == "function":
        name = entry.get("config")
        allowed = is_registered(name) or (_among(name, ACTIVATIONS) and _in_keras(entry))
    elif kind == "TypeSpec":
        name = entry.get("type_spec")
        allowed = name == "tf.TensorSpec"
    elif is_registered(entry.get("registered_name", kind)):
        # The older formats look for the class by its own name alone.
        allowed = _among(kind, CLASSES) or not is_known_to_keras(kind)
    else:
        allowed = _among(kind, CLASSES) and _in_keras(entry)
    if not allowed:
        raise _unknown(path, name, entry, layer)


def _among(name, names: frozenset[str]) -> bool:
    return isinstance(name, str) and name in names


def _in_keras(entry: dict) -> bool:
    """Whether Keras looks for a name of an allowed list where it found that of the list."""
    module = entry.get("module")
    # Keras falls back on this name, which it repeats for its own internal classes.
    again = entry.get("registered_name")
    if again is not None and again not in (entry["class_name"], entry.get("config")):
        return False
    return module is None or (isinstance(module, str) and _public(module) in MODULES)


def _public(module: str) -> str:
    return module.removeprefix("tf_").replace("keras.src.", "keras.", 1)


def _refuse_function(path: Path, entry: dict, layer: str) -> None:
    inner = entry.get("config")
    name = inner.get("function") if isinstance(inner, dict) else None
    if not _among(name, FUNCTIONS):
        raise ConversionError(
            f"{path} names the function '{name}'{_of(layer)}, which is not known to only "
            f"compute tensors from tensors, and would run on loading: {TRUST}."
        )


def _unknown(path: Path, name, entry: dict, layer: str) -> ConversionError:
    module = entry.get("module")
    package = str(module or "").split(".")[0]
    if module is None and not is_known_to_keras(name):
        return ConversionError(
            f"{path} has the unknown layer or quantizer '{name}': register its class with "
            "tf.keras.utils.register_keras_serializable and give its module with --import."
        )
    around = "" if layer == name else _of(layer)
    if module is None or package in _PACKAGES:
        where = f" of {module}" if module else ""
        return ConversionError(
            f"{path} has the class or function '{name}'{where}{around}, which is not known to "
            f"only compute tensors from tensors: {TRUST}."
        )
    return ConversionError(
        f"{path} has the unknown layer or function '{name}' of the Python module "
        f"'{module}'{around}, which would run on loading: give --import {module} if it "
        f"is yours and registers the class, or {TRUST}."
    )
