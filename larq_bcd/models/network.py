"""What all networks share: their arguments, their documentation and their way into Keras.

A network is a function from an image to its features, under the decorator `network`. The
decorator makes it a function in the manner of `tf.keras.applications`, whose signature and
docstring have the common arguments beside its own, and registers it.
"""

import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable

import tensorflow as tf

from larq_bcd.models import _arguments, blocks
from larq_bcd.models.blocks import Binarization
from larq_bcd.models.pytorch import Layout
from larq_bcd.models.registry import ModelInfo, Paper, register

_IMAGE_ARGUMENTS = {
    "input_shape": "`(height, width, channels)`, by default `{input_shape}`; height and width "
    "may be `None`, where the network has no learned positions.",
    "input_tensor": "Keras tensor to use as the image instead.",
    "weights": "name of published weights, path to a file of Keras weights{official}, or "
    "`None` for random weights.",
    "include_top": "whether to end in the classifier; otherwise the network returns its "
    "features, `(batch, new_height, new_width, channels)`.",
    "num_classes": "number of classes.",
}
_ARCHITECTURE_ARGUMENTS = {
    "width": "factor of the channels.",
    "strides": "strides of the stem and of the first block of each stage, 1 or 2.",
    "blocks": "number of blocks of each of the five stages.",
    "units": "number of units of one convolution of each of the four stages.",
    "mlp_blocks": "number of blocks of three BiMLPs and a pointwise unit.",
    "mlp_stages": "the stages, from 1 to 4, whose convolutions that keep the image size are "
    "BiMLP blocks.",
    "bi_mlps": "number of BiMLP blocks in place of one convolution.",
    "channels": "number of channels of a token, divisible by the heads.",
    "layers": "number of blocks of attention and MLP.",
    "heads": "number of heads of the attention.",
    "expansion": "hidden channels per channel of the MLP.",
    "short_range": 'shift in pixels of the short-range branch, or `"half"`.',
    "long_range": 'shift in pixels of the long-range branch, or `"half"` for half of the '
    "feature map.",
}
_BINARY_ARGUMENTS = {
    "input_quantizer": "quantizer of the binary layers' inputs.",
    "kernel_quantizer": "quantizer of their kernels; `None` for the real kernels of the first "
    "training step.",
    "pad_values": "what a binary convolution sees outside of the image: 0.0 as in the papers, "
    "or 1.0, which costs less on the device.",
    "threshold": 'the thresholds of the signs: `"zero"`; `"static"`, learned; `"contextual"`, '
    'from the contextual embedding of BCDNet-B; or `"dysign"`, from channel statistics.',
    "activation": 'what ends a unit: `"rprelu"`, `"dynamic_rprelu"`, or `None` for nothing.',
}
_OFFICIAL = " or to an official PyTorch checkpoint of either training step"
_DEFAULTS = {
    "input_shape": None,
    "input_tensor": None,
    "weights": None,
    "include_top": True,
}
_RETURNS = (
    "A functional `tf.keras.Model` of normalized float32 images `(batch, height, width, "
    "channels)`; its logits `(batch, num_classes)` are float32."
)
_RAISES = {
    "ImportError": "if `weights` is a PyTorch checkpoint and PyTorch is not installed.",
    "UserError": "if an argument is out of its range.",
}
_WIDTH = 96


def network(
    name: str,
    *,
    paper: Paper,
    binarization: Binarization | None = None,
    official: Layout | None = None,
    classifier: Callable = blocks.classifier,
    **facts,
) -> Callable[[Callable], Callable[..., tf.keras.Model]]:
    """Makes a network of a function from an image to its features, and registers it.

    The function takes an NHWC tensor and keyword arguments of its own, which are documented
    in its docstring unless they have their usual meaning; a binary network also takes
    a `Binarization` as its second argument. It returns an NHWC tensor.

    Args:
        name: default name of the Keras model.
        paper: where the network was published.
        binarization: how its binary layers are binary by default; None if it has none.
        official: the names of the official checkpoint's parameters, if there is one.
        classifier: from features, number of classes and names of heads to logits.
        **facts: the other attributes of `ModelInfo`.
    """

    def decorate(features: Callable) -> Callable[..., tf.keras.Model]:
        own = _own_parameters(features, 1 if binarization is None else 2)

        @functools.wraps(features)
        def build(*args, **kwargs) -> tf.keras.Model:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{features.__name__}: {error}") from None
            bound.apply_defaults()
            return _build(info, features, binarization, official, classifier, bound.arguments)

        info = ModelInfo(name=features.__name__, build=build, paper=paper, **facts)
        signature = _signature(name, info, binarization, own)
        # The signature of what is called, and not of the function that it wraps.
        vars(build)["__signature__"] = signature
        build.__doc__ = _docstring(info, features, signature, official is not None)
        del vars(build)["__wrapped__"]
        register(info)
        return build

    return decorate


def _own_parameters(features: Callable, tensors: int) -> list[inspect.Parameter]:
    return list(inspect.signature(features).parameters.values())[tensors:]


def _signature(
    name: str,
    info: ModelInfo,
    binarization: Binarization | None,
    own: Iterable[inspect.Parameter],
) -> inspect.Signature:
    positional = {**_DEFAULTS, "num_classes": info.num_classes}
    binary = {} if binarization is None else dataclasses.asdict(binarization)
    keyword = {parameter.name: parameter.default for parameter in own} | binary
    parameters = [
        inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for key, default in positional.items()
    ] + [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default)
        for key, default in {**keyword, "name": name}.items()
    ]
    return inspect.Signature(parameters, return_annotation=tf.keras.Model)


def _build(
    info: ModelInfo,
    features: Callable,
    binarization: Binarization | None,
    official: Layout | None,
    classifier: Callable,
    given: dict,
) -> tf.keras.Model:
    names = [] if binarization is None else dataclasses.fields(binarization)
    binary = {entry.name: given.pop(entry.name) for entry in names}
    name, weights = given.pop("name"), given.pop("weights")
    include_top = given.pop("include_top")
    num_classes = _arguments.positive("num_classes", given.pop("num_classes"))
    shape, tensor = given.pop("input_shape"), given.pop("input_tensor")
    image, inputs = _arguments.image_input(shape, tensor, info.input_shape)
    how = () if binarization is None else (Binarization(**binary),)
    x = features(image, *how, **given)
    if include_top:
        x = classifier(x, num_classes, info.heads)
    model = tf.keras.Model(inputs, x, name=name)
    return _arguments.load_weights(model, weights, info.weights, official)


def _docstring(
    info: ModelInfo, features: Callable, signature: inspect.Signature, has_official: bool
) -> str:
    text, _, own = inspect.cleandoc(features.__doc__ or "").partition("\nArgs:\n")
    described = {
        **_IMAGE_ARGUMENTS,
        **_ARCHITECTURE_ARGUMENTS,
        **_sections(own),
        **_BINARY_ARGUMENTS,
        "name": "name of the model.",
    }
    described["input_shape"] = described["input_shape"].format(input_shape=info.input_shape)
    official = _OFFICIAL if has_official else ""
    described["weights"] = described["weights"].format(official=official)
    arguments = {key: described[key] for key in signature.parameters}
    parts = [
        text.strip(),
        _paragraph(_facts(info)),
        *([_paragraph(f"A reconstruction: {info.reconstruction}")] * bool(info.reconstruction)),
        f"Source: {info.paper}.",
        "Args:\n" + _entries(arguments),
        "Returns:\n" + _paragraph(_RETURNS, indent="    "),
        "Raises:\n" + _entries(_RAISES),
    ]
    return "\n\n".join(parts)


def _facts(info: ModelInfo) -> str:
    reported = f"{info.top1} % top-1 on {info.dataset} in the paper. " if info.top1 else ""
    height, width, _ = info.input_shape
    return (
        f"{reported}{info.parameters:,} parameters, {info.binary_parameters:,} of them binary; "
        f"{info.bops / 1e9:.2f}e9 BOPs and {info.flops / 1e8:.2f}e8 FLOPs, that is "
        f"{info.ops / 1e8:.2f}e8 OPs, at {height}x{width} with {info.num_classes} classes."
    )


def _sections(text: str) -> dict[str, str]:
    """The arguments that a docstring describes, by name."""
    found: dict[str, str] = {}
    for line in textwrap.dedent(text).splitlines():
        if line[:1].strip():
            name, _, line = line.partition(":")
            found[name] = ""
        if line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _entries(entries: dict[str, str]) -> str:
    return "\n".join(
        textwrap.fill(
            f"{name}: {text}", _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8
        )
        for name, text in entries.items()
    )
