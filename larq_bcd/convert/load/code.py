"""Refuses what would run when the configuration of a model is turned into objects.

A configuration is JSON. Keras makes an object of every dictionary with a `class_name` in it,
nested however deep, and looks for its class or function in TensorFlow, in Keras, and in any
Python module that the dictionary names. Here it may only find what `allowed` lists, and what
this program has registered: the layers of larq and larq_bcd, and those of modules that the user
has imported.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tf_keras.src.layers.serialization import get_builtin_layer

from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.load.allowed import ACTIVATIONS, CLASSES, FUNCTIONS, MODULES

TRUST = "give --trust-code (trust_code=True in Python) if you know its author"
_PACKAGES = frozenset({"keras", "tf_keras", "tensorflow", "larq", "larq_bcd"})
# Functions that Larq Zoo registers, and that its files name without its module.
_LARQ_ZOO = frozenset(
    {
        "blurpool_initializer",
        "clip_by_value_activation",
        "magnitude_aware_sign_unclipped",
        "xnor_weight_scale",
    }
)
# What Keras writes as the module of a function, and of what is defined in a script.
_NO_MODULE = (None, "builtins", "__main__")


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


def _registered(name):
    return tf.keras.utils.get_registered_object(name) if isinstance(name, str) else None


def is_registered(name) -> bool:
    """Whether this program has registered a class or function by this name with Keras."""
    return _registered(name) is not None


def is_known_to_keras(name) -> bool:
    """Whether Keras has a layer of its own by this name, allowed or not."""
    return isinstance(name, str) and get_builtin_layer(name) is not None


def advice_for(name, module=None) -> str:
    """How to let a class or function be found, in words.

    Args:
        name: of the class or function.
        module: the Python module that the file names, if it does.
    """
    if _among(name, _LARQ_ZOO):
        return "give --import larq_zoo (in Python, import it)"
    where = "with the module that defines it" if module in _NO_MODULE else module
    return (
        f"give --import {where} (in Python, load it within tf.keras.utils.custom_object_scope)"
    )


def _of(layer: str) -> str:
    return f" of the layer '{layer}'" if layer else ""


def _refuse_activation(path: Path, entry: dict, layer: str) -> None:
    for key, name in entry.items():
        if not key.endswith("activation") or not isinstance(name, str):
            continue
        if name not in ACTIVATIONS and not is_registered(name):
            raise ConversionError(
                f"{path} has the unknown activation '{name}'{_of(layer)}: "
                f"{advice_for(name)}, or {TRUST}."
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
        # The older formats look for the class by its own name alone, and call a function that
        # they find in its place with whatever the file gives.
        allowed = _among(kind, CLASSES) or not is_known_to_keras(kind)
        if inspect.isfunction(_registered(kind)):
            allowed = not entry.get("config")
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
    kind = "function" if entry["class_name"] == "function" else "layer or quantizer"
    around = "" if layer == name else _of(layer)
    if module in _NO_MODULE and not is_known_to_keras(name):
        looked = f", which it would look for in '{module}'" if module else ""
        return ConversionError(
            f"{path} has the unknown {kind} '{name}'{around}{looked}: {advice_for(name)}, or "
            f"{TRUST}."
        )
    if _public(str(module)).startswith("keras.applications."):
        return ConversionError(
            f"{path} has Keras's own layer '{name}'{around}, which Keras does not find: give "
            f"--import {module} (in Python, load it within tf.keras.utils.custom_object_scope)."
        )
    if module is None or str(module).split(".")[0] in _PACKAGES:
        where = f" of {module}" if module else ""
        return ConversionError(
            f"{path} has the class or function '{name}'{where}{around}, which is not known to "
            f"only compute tensors from tensors: {TRUST}."
        )
    return ConversionError(
        f"{path} has the unknown {kind} '{name}' of the Python module '{module}'{around}, "
        f"which would run on loading: {advice_for(name, module)} if it is yours, or {TRUST}."
    )
