"""Shapes of a model's inputs: a file has fixed ones."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.interface import input_names, output_names
from larq_bcd.models.weights import copy_between_builds


def require_fixed_shapes(model: tf.keras.Model) -> None:
    """Raises an error for a model that leaves the size of an input open, or holds nothing.

    Raises:
        ConversionError: with the input and what fixes it, or what has no elements.
    """
    tensors = [
        *(("input", *pair) for pair in zip(input_names(model), model.inputs, strict=True)),
        *(("output", *pair) for pair in zip(output_names(model), model.outputs, strict=True)),
    ]
    for kind, name, tensor in tensors:
        if 0 in tuple(tensor.shape):
            raise ConversionError(
                f"the model's {kind} '{name}' has the shape {tuple(tensor.shape)}, which holds "
                "nothing: build it with sizes of at least 1, or leave it out."
            )
    for name, tensor in zip(input_names(model), model.inputs, strict=True):
        shape = tuple(tensor.shape)
        if None in shape[1:]:
            fixed = (1, *(224 if size is None else size for size in shape[1:]))
            raise ConversionError(
                f"the model's input '{name}' has the open shape {shape}, and a file has a "
                f"fixed one: give the size that it shall have, such as --input-shape "
                f"{_text(name, fixed)} (larq_bcd.convert.with_input_shapes in Python)."
            )


def require_batch_of_one(model: tf.keras.Model) -> None:
    """Raises an error for a model that computes with a batch of its own size alone.

    Raises:
        ConversionError: if it has another batch than 1 and cannot do with that.
    """
    batches = {tensor.shape[0] for tensor in model.inputs} - {None, 1}
    if not batches:
        return
    try:
        InferenceGraph(model)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ConversionError(
            f"the model works on a batch of {min(batches)} alone, and a file of Larq Compute "
            "Engine has a batch of 1: build it with batch_size=1 and set the same weights."
        ) from error


def with_input_shapes(
    model: tf.keras.Model, shapes: Mapping[str, Sequence[int]]
) -> tf.keras.Model:
    """Builds a model anew with fixed shapes of its inputs.

    ```python
    convert(with_input_shapes(model, {"image": (1, 224, 224, 3)}))
    ```

    Args:
        model: a functional or Sequential model; it is not changed.
        shapes: by the name of the input, the whole shape with a batch of 1.

    Returns:
        A model with the same weights, or `model` itself if there is nothing to fix.

    Raises:
        ConversionError: if there is no such input, the shape is not one of it, or the model
            cannot be built anew.
    """
    names = input_names(model)
    layers = dict(zip(names, model.input_names, strict=True))
    wanted = {}
    for name, shape in shapes.items():
        if name not in layers:
            meant = did_you_mean(name, names, ", ")
            raise ConversionError(
                f"--input-shape {_text(name, shape)}: the model has no input '{name}'"
                f"{meant or ' but ' + ', '.join(map(repr, names))}."
            )
        _require_fit(name, shape, tuple(model.inputs[names.index(name)].shape))
        wanted[layers[name]] = [None, *shape[1:]]
    if all(
        list(tensor.shape[1:]) == wanted.get(layer, [None, *tensor.shape[1:]])[1:]
        for layer, tensor in zip(model.input_names, model.inputs, strict=True)
    ):
        return model
    try:
        config = model.get_config()
        for layer in config["layers"]:
            if layer["class_name"] == "InputLayer" and layer["config"]["name"] in wanted:
                layer["config"]["batch_input_shape"] = wanted[layer["config"]["name"]]
        fixed = type(model).from_config(config)
        copy_between_builds(model, fixed)
    # A model that is not a graph of layers has no such configuration; layers that cannot take
    # the shape raise ValueError.
    except (NotImplementedError, KeyError, TypeError, ValueError) as error:
        given = " ".join(f"--input-shape {_text(*item)}" for item in shapes.items())
        raise ConversionError(
            f"{given}: the model cannot be built with it "
            f"({' '.join(str(error).split())[:200]}): give another size, or build the model "
            "with fixed inputs."
        ) from error
    return fixed


def _require_fit(name: str, shape: Sequence[int], own: tuple[int | None, ...]) -> None:
    if shape[0] != 1:
        raise ConversionError(
            f"--input-shape {_text(name, shape)}: a batch of {shape[0]} is not supported, "
            "since Larq Compute Engine makes files for a batch of 1: give 1 for it; "
            "larq_bcd_runtime runs such a file on any number of samples."
        )
    fits = len(shape) == len(own) and all(
        size > 0 and one in (None, size) for one, size in zip(own[1:], shape[1:], strict=True)
    )
    if not fits:
        raise ConversionError(
            f"--input-shape {_text(name, shape)}: the model's input has the shape {own}: give "
            "sizes where that has None, and its own elsewhere."
        )


def _text(name: str, shape: Sequence[int]) -> str:
    return f"{name}={','.join(map(str, shape))}"
