"""What all networks share: the image at the front, the classifier at the end, the weights.

A network is a function of a `ModelInfo` and of all of its arguments, under the decorator
`network`, which takes what is known of it; or, by `variant`, defaults of such a function for
a family. The arguments that many networks have are documented here alone.
"""

import inspect
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeAlias, get_args

import numpy as np
import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.errors import UserError
from larq_bcd.models import _arguments, blocks
from larq_bcd.models._pixels import warn_of_pixels
from larq_bcd.models.described import around
from larq_bcd.models.packed import unpack
from larq_bcd.models.published import SUFFIX, Weights, arrays_of, read_file
from larq_bcd.models.registry import ModelInfo, register
from larq_bcd.models.state_dict import is_checkpoint

ImageShape: TypeAlias = Sequence[int | None]
KerasTensor: TypeAlias = Any  # for which Keras 2 has no public name
PathLike: TypeAlias = os.PathLike[str]
Shift: TypeAlias = int | Literal["half"]
Pooling: TypeAlias = Literal["avg", "max", None]
P = ParamSpec("P")
Arrays: TypeAlias = Mapping[str, np.ndarray]
Family: TypeAlias = Callable[Concatenate[ModelInfo, P], tf.keras.Model]

# The default of an argument of a family for which each of its networks has its own.
OWN: Any = "own"

# Arguments of many networks, each of which has those that are in its signature.
_ARGUMENTS = """\
    input_shape: `(height, width, channels)`, by default that of its data set; height and width
        may be `None` where no layer depends on the positions.
    input_tensor: Keras tensor to use as the image instead.
    weights: name of published weights, whose architecture the network takes where arguments
        are left out; path to a file of Keras weights or, where there is one, to an official
        PyTorch checkpoint of either training step; or `None` for random weights.
    include_top: whether to end in the classifier; otherwise the network returns its features,
        `(batch, new_height, new_width, channels)`, or pooled.
    num_classes: number of classes.
    pooling: of the features of a network without classifier: `"avg"` or `"max"` over all
        positions, `(batch, channels)`, or `None`.
    width: factor of the channels.
    strides: strides of the stem and of the first block of each stage, 1 or 2.
    blocks: number of blocks of each of the five stages.
    units: number of units of each of the four stages, of one convolution each, in ResNet-18 of
        two.
    short_range: shift in pixels of the short-range branch, or `"half"`.
    long_range: shift in pixels of the long-range branch, or `"half"` for half of the feature
        map.
    token_expansion: hidden positions per position of the token-mixing MLP.
    expansion: hidden channels per channel of the MLP over the channels.
    input_quantizer: quantizer of the binary layers' inputs.
    kernel_quantizer: quantizer of their kernels; `None` for the real kernels of the first
        training step.
    pad_values: what a binary convolution sees outside of the image: 0.0 as in the papers, or
        1.0, which costs less on the device.
    threshold: the thresholds of the signs: `"zero"`; `"static"`, learned; `"contextual"`, from
        the contextual embedding of BCDNet-B; or `"dysign"`, from channel statistics.
    activation: what ends a unit: `"rprelu"`, `"dynamic_rprelu"`, or `None` for nothing.
    name: name of the model."""
_RETURNS = """\
Returns:
    A functional `tf.keras.Model` of normalized float32 images `(batch, height, width,
    channels)`; its logits `(batch, num_classes)` are float32.

Raises:
    ImportError: if `weights` is a PyTorch checkpoint and PyTorch is not installed.
    UserError: if an argument is out of its range."""


def network(**facts) -> Callable[[Family[P]], Callable[P, tf.keras.Model]]:
    """Makes a network of a function of a `ModelInfo` and its arguments, and registers it."""
    return lambda function: variant(function, **facts)(function)


def variant(family: Family[P], **facts) -> Callable[[Callable], Callable[P, tf.keras.Model]]:
    """Makes a network of a family, and registers it.

    What is decorated is never called: its arguments are those for which the network has a
    default of its own, and its docstring is what it is. The network has all arguments of the
    family, and its docstring too.

    Args:
        family: the function that has the architecture; its docstring ends in the `Args`
            that no other family has.
        **facts: the attributes of `ModelInfo` but `name` and `build`.
    """

    def made(own: Callable) -> Callable[P, tf.keras.Model]:
        name, defaults = own.__name__, inspect.signature(own).parameters
        _, *parameters = inspect.signature(family).parameters.values()
        signature = inspect.Signature(
            [x.replace(default=defaults.get(x.name, x).default) for x in parameters],
            return_annotation=tf.keras.Model,
        )

        def build(*args: P.args, **kwargs: P.kwargs) -> tf.keras.Model:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                unknown = [key for key in kwargs if key not in signature.parameters]
                meant = did_you_mean(unknown[0], signature.parameters, "; ") if unknown else ""
                raise TypeError(f"{name}: {error}{meant}") from None
            found = _published(info, bound.arguments.get("weights"))
            if found is None:
                bound.arguments |= _of_checkpoint(info, bound.arguments)
            else:
                bound.arguments |= found[0].completed(bound.arguments)
                bound.arguments["weights"] = None
            bound.apply_defaults()
            model = family(info, *bound.args, **bound.kwargs)
            return model if found is None else _trained(model, info, bound.arguments, *found)

        info = ModelInfo(name=name, build=build, **facts)
        register(info)
        build.__name__, build.__qualname__, build.__module__ = name, name, own.__module__
        build.__doc__ = _docstring(info, own, family, signature.parameters)
        vars(build)["__signature__"] = signature
        return build

    return made


def _of_checkpoint(info: ModelInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that an official checkpoint was trained with and that are not given."""
    if info.official is None or not is_checkpoint(given.get("weights")):
        return {}
    return {key: value for key, value in info.official.arguments.items() if key not in given}


def _docstring(info: ModelInfo, own: Callable, family: Callable, arguments) -> str:
    """That of the function, that of its family, and what is said of many networks."""
    text, _, of_family = str(inspect.getdoc(family)).partition("\n\nArgs:\n")
    shared = dict(re.findall(r"^    (\w+)(: .*(?:\n        .*)*)", _ARGUMENTS, re.MULTILINE))
    entries = [f"    {name}{shared[name]}" for name in arguments if name in shared]
    described = [] if own is family else [inspect.getdoc(own)]
    described += [text, "\n".join(["Args:", *filter(None, [of_family]), *entries]), _RETURNS]
    if info.reconstruction:
        described.append(f"A reconstruction: {info.reconstruction}")
    return "\n\n".join(map(str, described))


def build_model(
    info: ModelInfo,
    features: Callable[[KerasTensor], KerasTensor],
    input_shape: ImageShape | None,
    input_tensor: KerasTensor | None,
    weights: str | PathLike | None,
    include_top: bool,
    num_classes: int,
    name: str,
    pooling: Pooling,
    classifier: Callable = blocks.classifier,
) -> tf.keras.Model:
    """Builds a network around its features, an NHWC tensor of the image.

    The classifier makes logits of them, the number of classes and the names of the heads.

    Raises:
        UserError: if an argument is out of its range.
    """
    num_classes = _arguments.positive("num_classes", num_classes)
    if pooling not in get_args(Pooling):
        raise UserError(
            f"{info.name}: pooling={pooling!r} is not supported: pass 'avg', 'max' or None."
        )
    image, inputs = _arguments.image_input(input_shape, input_tensor, info.input_shape)
    x = features(image)
    if include_top:
        x = classifier(x, num_classes, info.heads)
    elif pooling is not None:
        x = blocks.pooled(x, pooling)
    model = tf.keras.Model(inputs, x, name=name)
    if input_tensor is None:
        warn_of_pixels(model, repr(info.name))
    if weights is None:
        return model
    return _arguments.load_weights(model, weights, info.weights, info.official)


def _published(info: ModelInfo, weights) -> tuple[Weights, Arrays] | None:
    """Published weights by their name or by the path of their file; None of anything else."""
    if not isinstance(weights, str | os.PathLike):
        return None
    if found := info.weights.get(str(weights).removeprefix(f"{info.name}:")):
        return found, arrays_of(found)
    path = Path(weights).expanduser()
    if path.suffix != SUFFIX or not path.is_file():
        return None
    found, arrays = read_file(path)
    if found.network != info.name:
        raise UserError(
            f"{info.name}: weights={str(weights)!r} are of {found.network}: build that, or "
            "build both and take over what fits with larq_bcd.models.copy_weights."
        )
    return found, arrays


def _trained(
    model: tf.keras.Model,
    info: ModelInfo,
    arguments: Mapping[str, Any],
    weights: Weights,
    arrays: Arrays,
) -> tf.keras.Model:
    """Gives a network published weights, and what is known of its images and classes.

    A network of an input tensor is described by nobody: what is before it is not known here.
    """
    has_top, classes = arguments["include_top"], weights.arguments["num_classes"]
    is_whole = has_top and arguments["num_classes"] == classes
    if has_top and not is_whole:
        warnings.warn(
            f"{info.name}: the classifier is a new one of num_classes="
            f"{arguments['num_classes']}, as the weights {weights.name!r} are of {classes}: "
            "train it.",
            stacklevel=3,
        )
    try:
        unpack(arrays, model, without=() if is_whole else info.heads)
    except ValueError as error:
        raise UserError(
            f"{info.name}: the weights {weights.name!r} do not fit the network ({error}): they "
            "are of another version of larq_bcd; install the newest."
        ) from error
    if arguments["input_tensor"] is not None:
        return model
    return around(model, weights.preprocessing, weights.class_names if is_whole else None)
