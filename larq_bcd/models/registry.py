"""The networks by name, with what is known of each."""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from larq_bcd._names import did_you_mean
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models.published import Weights, index, published_for
from larq_bcd.models.pytorch import Layout

_IMAGENET = Preprocessing()


@dataclass(frozen=True)
class Paper:
    """Where a network was published."""

    name: str
    venue: str
    arxiv: str

    def __str__(self) -> str:
        return f"{self.name} ({self.venue}, arXiv {self.arxiv})"


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network, at its own size: that of its default arguments.

    Attributes:
        name: its name, that of the function in `larq_bcd.models`.
        build: that function.
        paper: where it was published.
        parameters: trainable parameters, all heads included.
        binary_parameters: those of them that are one bit on the device.
        bops: binary multiply-accumulates of one image.
        flops: real multiply-accumulates of its convolutions and linear layers.
        top1: top-1 accuracy that the paper reports, in per cent; None if it reports none.
        dataset: data set of that accuracy.
        input_shape: `(height, width, channels)` of its images.
        num_classes: number of its classes.
        heads: names of its linear classifiers, whose mean is the output.
        official: the names of the official checkpoint's parameters, if there is one.
        reconstruction: what of it the sources leave open and is this package's choice; None
            if all of it is published.
        float_products: products that train as binary and that no conversion makes binary,
            as regular expressions of layer names; empty if it converts strictly.
        preprocessing: of the images of that data set, at its own size.
        settings: what its family knows it by, beside the defaults of its arguments.
        reduced: arguments of a network of a few thousand parameters with all of its parts,
            to try things in seconds.
    """

    name: str
    build: Callable[..., tf.keras.Model]
    paper: Paper
    parameters: int
    binary_parameters: int
    bops: int
    flops: int
    top1: float | None = None
    dataset: str = "ImageNet"
    input_shape: tuple[int, int, int] = (224, 224, 3)
    num_classes: int = 1000
    heads: tuple[str, ...] = ("fc",)
    official: Layout | None = None
    reconstruction: str | None = None
    float_products: tuple[str, ...] = ()
    preprocessing: Preprocessing = _IMAGENET
    settings: Mapping[str, Any] = field(default_factory=dict)
    reduced: Mapping[str, object] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, Weights]:
        """Its published weights by name, with what is known of each."""
        return published_for(self.name)

    @property
    def ops(self) -> float:
        """`bops / 64 + flops`, the papers' OPs."""
        return self.bops / 64 + self.flops

    @property
    def is_binary(self) -> bool:
        """Whether it is a binary network, and not a full-precision baseline."""
        return self.bops > 0


_MODELS: dict[str, ModelInfo] = {}


def register(info: ModelInfo) -> None:
    """Adds a network to the registry."""
    if info.name in _MODELS:
        raise ValueError(f"the network {info.name!r} is registered already")
    _MODELS[info.name] = info


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Returns the names of the networks, in alphabetical order.

    Args:
        pattern: what a name has to match, such as `"BCDNet*"`; case does not matter.
        pretrained: whether to list the trained ones instead, each by the names of the network
            and of its weights, such as `"BCDNetB:cifar10"`.

    Raises:
        UserError: if the pattern is not a text.
    """
    if not isinstance(pattern, str):
        raise UserError(
            f"pattern={pattern!r} is not supported: pass a text, such as 'BCDNet*'."
        )
    names = [weights.full_name for weights in index()] if pretrained else _MODELS
    return [name for name in sorted(names) if fnmatch.fnmatch(name.lower(), pattern.lower())]


def model_info(name: str) -> ModelInfo:
    """Returns what is known of a network.

    Args:
        name: its name, such as `"BCDNetB"`.

    Raises:
        UserError: if there is no network of that name; it names the nearest ones.
    """
    if isinstance(name, str) and name in _MODELS:
        return _MODELS[name]
    network, colon, _ = str(name).partition(":")
    if colon and network in _MODELS:
        raise UserError(
            f"{name!r} is the name of trained weights: what is known of them is in "
            f"model_info({network!r}).weights."
        )
    known = list_models()
    raise UserError(
        f"{name!r} is not the name of a network: "
        + (did_you_mean(str(name), known) or f"choose one of {', '.join(known)}.")
    )


def get_model(name: str, /, **arguments) -> tf.keras.Model:
    """Builds a network by name.

    Args:
        name: its name, such as `"BCDNetB"`; `list_models()` has all. `"BCDNetB:cifar10"` is
            that of `weights="cifar10"`; `list_models(pretrained=True)` has all of those.
        **arguments: arguments of the function of that name in `larq_bcd.models`.

    Returns:
        A functional `tf.keras.Model`.

    Raises:
        TypeError: if the network has no such argument, or the weights are given twice.
        UserError: if there is no network of that name, or an argument is out of its range.
    """
    network, colon, weights = name.partition(":") if isinstance(name, str) else (name, "", "")
    build = model_info(network).build
    return build(weights=weights, **arguments) if colon else build(**arguments)
