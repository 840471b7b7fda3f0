"""The networks of a recipe's stages, and what they start from."""

import fnmatch
import inspect
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.errors import UserError
from larq_bcd.models import copy_weights, get_model, model_info
from larq_bcd.training.recipe import Recipe, Start

_QUANTIZERS: dict[str, dict[str, None]] = {
    "none": {"input_quantizer": None, "kernel_quantizer": None},
    "activations": {"kernel_quantizer": None},
    "all": {},
}


def build_network(
    recipe: Recipe, index: int, num_classes: int, precision: str = "float32"
) -> tf.keras.Model:
    """Builds the network of a stage.

    Raises:
        UserError: if the network cannot be built with the recipe's arguments.
    """
    arguments = {**arguments_of(recipe, index), "num_classes": num_classes}
    return _built(recipe.network_of(index), precision, arguments)


def arguments_of(recipe: Recipe, index: int) -> dict[str, Any]:
    """Returns the arguments of the network of a stage, but the number of classes."""
    allowed = inspect.signature(model_info(recipe.network_of(index)).build).parameters
    quantizers = _QUANTIZERS[recipe.stages[index].binary]
    quantizers = {key: value for key, value in quantizers.items() if key in allowed}
    return {**_arguments(recipe), **quantizers}


def _arguments(recipe: Recipe) -> dict[str, Any]:
    return {"input_shape": recipe.preprocessing.input_shape, **recipe.arguments}


def _built(name: str, precision: str, arguments: Mapping[str, Any]) -> tf.keras.Model:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(precision)
    # Dropout and its like keep the state of their random numbers in variables then, and not
    # in operations, from which no checkpoint has it.
    random = tf.keras.backend.experimental
    was_enabled = random.is_tf_random_generator_enabled()
    random.enable_tf_random_generator()
    try:
        return get_model(name, **arguments)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"the network {name} cannot be built: {error}") from error
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
        if not was_enabled:
            random.disable_tf_random_generator()


def random_generators(network: tf.keras.Model) -> list[tf.random.Generator]:
    """Returns what the random layers of a network draw from, dropout for example.

    Keras itself leaves their states out of checkpoints.
    """
    kind = tf.keras.__internal__.layers.BaseRandomLayer
    generators = [
        layer._random_generator._generator
        for layer in network.submodules
        if isinstance(layer, kind)
    ]
    return [generator for generator in generators if generator is not None]


def freeze(recipe: Recipe, index: int, network: tf.keras.Model) -> None:
    """Lets a stage train the layers that the recipe names, and no others.

    Raises:
        UserError: if a pattern fits no layer that could be trained.
    """
    name, where = recipe.network_of(index), f"stages.{index}.trainable"
    patterns: list[str] = []
    for pattern in recipe.stages[index].trainable:
        known = {"all": ("*",), "head": model_info(name).heads}
        patterns += known.get(pattern, (pattern,))
    layers = {layer.name: layer for layer in network.layers if layer.trainable_weights}
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            meant = did_you_mean(pattern, layers, "; ") or (
                ". Use all, head, or names and patterns of the layers that `larq-bcd summary` "
                "lists."
            )
            raise UserError(
                f"{where}: {pattern!r} fits no layer of {name} that has weights{meant}"
            )
    for key, layer in layers.items():
        layer.trainable = any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def load_start(recipe: Recipe, index: int, start: Start, network: tf.keras.Model) -> None:
    """Gives a network the weights of a file.

    With other classes than the file's, its classifier stays as it is.

    Raises:
        UserError: if there is no such file, or it is of another network.
    """
    name = start.network or recipe.network_of(index)
    classes = start.num_classes or network.output_shape[-1]
    try:
        arguments = {**_arguments(recipe), "num_classes": classes, "weights": start.file}
        source = _built(name, "float32", arguments)
        if classes == network.output_shape[-1]:
            copy_weights(source, network)
        else:
            copy_weights(_features(source, name), _features(network, recipe.network_of(index)))
    except ValueError as error:
        raise UserError(f"stages.{index}.start: {error}") from error


def _features(network: tf.keras.Model, name: str) -> tf.keras.Model:
    """A network without its classifier."""
    head = network.get_layer(model_info(name).heads[0])
    return tf.keras.Model(network.inputs, head.input)
