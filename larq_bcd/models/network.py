"""What all networks share: the image at the front, the classifier at the end, the weights.

A family is a function that has the architecture and documents the arguments. Its networks are
functions with defaults of their own, which hand their name in the registry and all of their
arguments on to it; the decorator `network` registers them with what is known of them.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

import tensorflow as tf
from typing_extensions import Unpack

from larq_bcd.models import _arguments, blocks
from larq_bcd.models.blocks import Activation, Binarization, Quantizer, Threshold
from larq_bcd.models.registry import ModelInfo, model_info, register

ImageShape: TypeAlias = Sequence[int | None]
KerasTensor: TypeAlias = Any  # for which Keras 2 has no public name
PathLike: TypeAlias = os.PathLike[str]
Shift: TypeAlias = int | Literal["half"]

Build = TypeVar("Build", bound=Callable[..., tf.keras.Model])


class Arguments(TypedDict):
    """The arguments of every network, in the manner of `tf.keras.applications`."""

    input_shape: ImageShape | None
    input_tensor: KerasTensor | None
    weights: str | PathLike | None
    include_top: bool
    num_classes: int
    name: str


class BinaryArguments(Arguments):
    """The arguments of every binary network; see `Binarization`."""

    input_quantizer: Quantizer
    kernel_quantizer: Quantizer
    pad_values: float
    threshold: Threshold
    activation: Activation


def network(family: Callable[..., tf.keras.Model], **facts) -> Callable[[Build], Build]:
    """Registers a function as a network of a family.

    Its docstring goes on with what of it is a reconstruction and with that of the family.

    Args:
        family: the function that has the architecture.
        **facts: the attributes of `ModelInfo` but `name` and `build`.
    """

    def registered(build: Build) -> Build:
        register(ModelInfo(name=build.__name__, build=build, **facts))
        what = facts.get("reconstruction")
        parts = [
            inspect.getdoc(build),
            what and f"A reconstruction: {what}",
            inspect.getdoc(family),
        ]
        build.__doc__ = "\n\n".join(filter(None, parts))
        return build

    return registered


def real_model(
    network: str,
    features: Callable[[KerasTensor], KerasTensor],
    classifier: Callable = blocks.classifier,
    *,
    input_shape: ImageShape | None,
    input_tensor: KerasTensor | None,
    weights: str | PathLike | None,
    include_top: bool,
    num_classes: int,
    name: str,
) -> tf.keras.Model:
    """Builds a network around its features.

    Args:
        network: its name in the registry, which has its image size, heads and weights.
        features: from the image to an NHWC tensor.
        classifier: from features, number of classes and names of heads to logits.
        input_shape: as in every family, like the following.
        input_tensor: Keras tensor to use as the image instead.
        weights: name of published weights, or path.
        include_top: whether to end in the classifier.
        num_classes: number of classes.
        name: name of the model.

    Raises:
        UserError: if an argument is out of its range.
    """
    info = model_info(network)
    num_classes = _arguments.positive("num_classes", num_classes)
    image, inputs = _arguments.image_input(input_shape, input_tensor, info.input_shape)
    x = features(image)
    if include_top:
        x = classifier(x, num_classes, info.heads)
    model = tf.keras.Model(inputs, x, name=name)
    return _arguments.load_weights(model, weights, info.weights, info.official)


def binary_model(
    network: str,
    features: Callable[[KerasTensor, Binarization], KerasTensor],
    classifier: Callable = blocks.classifier,
    *,
    input_quantizer: Quantizer,
    kernel_quantizer: Quantizer,
    pad_values: float,
    threshold: Threshold,
    activation: Activation,
    **arguments: Unpack[Arguments],
) -> tf.keras.Model:
    """Builds a binary network around its features, which take a `Binarization` too.

    The other arguments are those of `real_model`.
    """
    binarization = Binarization(
        input_quantizer, kernel_quantizer, pad_values, threshold, activation
    )
    return real_model(network, lambda x: features(x, binarization), classifier, **arguments)
