"""Official PyTorch checkpoints of the papers' networks, read into the networks here."""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.layers import (
    DynamicThresholdQuantConv2D,
    InformationRecoupling,
    LearnableBias,
)
from larq_bcd.models.state_dict import read_state_dict

_MOST_KEYS = 10  # in a message
# Below, BNext's kernels are their signs.
_COLDEST = 1e-7


@dataclass(frozen=True)
class Unit:
    """The official names of the parts of a residual unit.

    Attributes:
        module: what holds the parts, from the numbers in the unit's name here.
        threshold: the learned bias of the sign.
        kernels: the binary convolutions: one; two that are one here, in the order of their
            output channels; or the point, short and long one of a `QuantShiftMLP`.
        norms: the batch norms, as many as there are groups of output channels.
        activation: the bias before, the PReLU, and the bias after.
    """

    module: Callable[..., str]
    threshold: str
    kernels: tuple[str, ...]
    norms: tuple[str, ...]
    activation: tuple[str, str, str]


@dataclass(frozen=True)
class Layout:
    """Where the official network keeps what the layers here hold.

    Attributes:
        network: the network here that it is.
        mark: a key that tells it from the networks after it in `LAYOUTS`, as a regular
            expression.
        layers: module by layer name, both as regular expressions and their replacements, for
            what is outside of the units.
        units: unit by regular expression of its name, with a group for each number.
        doubling: the same for the units whose shortcut is repeated.
        heads: modules that a network with `include_top=False` does without.
        arguments: those of the network here that its code has fixed, for any image size.
        unused: keys that the official network has and does not compute with.
        flat_from: the training step from which on binary kernels are columns named
            `weights`; None if their names tell nothing of the step.
    """

    network: str
    mark: str
    layers: Mapping[str, str]
    units: Mapping[str, Unit]
    doubling: Mapping[str, Unit]
    heads: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    unused: str = r"(?!)"
    flat_from: int | None = None

    def module(self, name: str) -> str | None:
        """Returns the module of a layer outside of the units."""
        for pattern, module in self.layers.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(module)
        return None

    def find(self, name: str, names: set[str]) -> tuple[Unit, str] | None:
        """Returns the unit of a name and its module, or None for a layer in no unit."""
        units = self.doubling if f"{name}_repeat" in names else self.units
        for pattern, unit in units.items():
            if match := re.fullmatch(pattern, name):
                return unit, unit.module(*map(int, match.groups()))
        return None


_POINTWISE = Unit(
    lambda block: f"feature.{block}",
    "move21",
    ("binary_pw",),
    ("bn2",),
    ("move22", "prelu2", "move23"),
)
_POINT = Unit(
    lambda block: f"mlp_layer.{block - 1}.mlp_layer.3",
    "move0",
    ("binary_conv",),
    ("bn1",),
    ("move1", "prelu", "move2"),
)
# ReActNet-A, on the stages of MobileNetV1.
MOBILENET = Layout(
    network="ReActNetA",
    mark=r"feature\.1\.move11\.bias",
    layers={
        "stem_conv": "feature.0.conv1",
        "stem_bn": "feature.0.bn1",
        "fc": "fc",
        "fc_dist": "fc_dist",
    },
    units={
        r"block(\d+)_3x3": Unit(
            lambda block: f"feature.{block}",
            "move11",
            ("binary_3x3",),
            ("bn1",),
            ("move12", "prelu1", "move13"),
        ),
        r"block(\d+)_1x1": _POINTWISE,
        r"mlp(\d+)_(\d+)": replace(
            _POINT,
            module=lambda block, unit: f"mlp_layer.{block - 1}.mlp_layer.{unit - 1}",
            kernels=("binary_conv", "binary_conv1", "binary_conv2"),
        ),
        r"mlp(\d+)_point": _POINT,
    },
    doubling={
        r"block(\d+)_1x1": replace(
            _POINTWISE,
            kernels=("binary_pw_down1", "binary_pw_down2"),
            norms=("bn2_1", "bn2_2"),
        ),
    },
    heads=("fc", "fc_dist"),
    flat_from=2,
)

# BCDNet, whose long shift is half of its 7x7 map, written as a number.
BCDNET = replace(
    MOBILENET,
    network="BCDNetA",
    mark=r"mlp_layer\.0\..*",
    arguments={"long_range": 3},
    flat_from=None,
)

# ReActNet-18, on the stages of ResNet-18.
RESNET_18 = Layout(
    network="ReActNet18",
    mark=r"layer1\.0\.move0\.bias",
    layers={
        "stem_conv": "conv1",
        "stem_bn": "bn1",
        **{f"stage{i}_1_shortcut_conv": f"layer{i}.0.downsample.1" for i in range(1, 5)},
        **{f"stage{i}_1_shortcut_bn": f"layer{i}.0.downsample.2" for i in range(1, 5)},
        "fc": "fc",
    },
    units={
        r"stage(\d+)_(\d+)": replace(
            _POINT, module=lambda stage, unit: f"layer{stage}.{unit - 1}"
        )
    },
    doubling={},
    heads=("fc",),
)

# Bi-Real Net, which has one training step, and neither thresholds nor activations.
BIREAL_18 = replace(
    RESNET_18,
    network="BiRealNet18",
    mark=r"layer1\.0\.binary_conv\.weights?",
    flat_from=1,
)
BIREAL_34 = replace(BIREAL_18, network="BiRealNet34", mark=r"layer1\.5\.binary_conv\.weights?")

_BNEXT_UNITS = {
    r"block(\d+)_3x3": r"feature.\1.Attention",
    r"block(\d+)_1x1": r"feature.\1.FFN",
    r"block(\d+)_1x1_([12])": r"feature.\1.FFN_\2",
}
_BNEXT_PARTS = {
    "threshold": ".move",
    "conv": ".binary_conv",
    "bn1": ".norm1",
    "prelu": ".activation2",
    "shortcut_prelu": ".activation1",
    "recoupling": "",
    "bn2": ".norm2",
}
BNEXT = Layout(
    network="BNextT",
    mark=r"feature\.1\.Attention\.move\.bias",
    layers={
        "stem_conv": "feature.0.conv1",
        "stem_bn": "feature.0.bn1",
        "prelu": "prelu",
        "fc": "fc",
        **{
            f"{unit}_{part}": module + name
            for unit, module in _BNEXT_UNITS.items()
            for part, name in _BNEXT_PARTS.items()
        },
    },
    units={},
    doubling={},
    heads=("fc",),
    unused=r"feature\.0\.prelu\.weight|.*\.activation1\.weight|.*\.temperature",
)

# The first whose mark a file has is the network of the file.
LAYOUTS = (BCDNET, BNEXT, MOBILENET, RESNET_18, BIREAL_34, BIREAL_18)


@dataclass(frozen=True)
class _Form:
    """How PyTorch lays out a parameter.

    Attributes:
        shape: its shape, from the one it has here.
        value: its value here, from the tensor and the shape here.
    """

    shape: Callable[[tuple[int, ...]], tuple[int, ...]]
    value: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def _oihw(hwio: tuple[int, ...]) -> tuple[int, ...]:
    height, width, inputs, outputs = hwio
    return outputs, inputs, height, width


_VECTOR = _Form(lambda shape: shape, lambda tensor, _: tensor)
_BIAS = _Form(lambda shape: (1, *shape, 1, 1), lambda tensor, shape: tensor.reshape(shape))
_LINEAR = _Form(lambda shape: shape[::-1], lambda tensor, _: tensor.T)
_KERNEL = _Form(_oihw, lambda tensor, _: tensor.transpose(2, 3, 1, 0))
_SLOPE = _Form(lambda shape: shape[-1:], lambda tensor, shape: tensor.reshape(shape))
_SQUEEZE = _Form(lambda shape: (*shape[::-1], 1, 1), lambda tensor, _: tensor[:, :, 0, 0].T)
_FLAT_KERNEL = _Form(
    lambda shape: (math.prod(shape), 1),
    lambda tensor, shape: tensor.reshape(_oihw(shape)).transpose(2, 3, 1, 0),
)


@dataclass(frozen=True)
class _Parameter:
    """A variable here, and the official tensors that are it, side by side on the last axis."""

    variable: tf.Variable
    keys: tuple[str, ...]
    form: _Form

    @property
    def shape(self) -> tuple[int, ...]:
        """The share that each of the tensors has in the variable."""
        *rest, last = self.variable.shape
        return (*rest, last // len(self.keys))

    def value(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the variable's value."""
        parts = [self.form.value(tensors[key], self.shape) for key in self.keys]
        return np.concatenate(parts, axis=-1).astype(np.float32)


_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _batch_norm(layer, modules: tuple[str, ...]) -> Iterator[_Parameter]:
    for variable, name in _BATCH_NORM.items():
        keys = tuple(f"{module}.{name}" for module in modules)
        yield _Parameter(getattr(layer, variable), keys, _VECTOR)


def _of_layer(layer, module: str) -> Iterator[_Parameter]:
    """The parameters of a layer outside of the units."""
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        yield from _batch_norm(layer, (module,))
    elif isinstance(layer, tf.keras.layers.Dense):
        yield _Parameter(layer.kernel, (f"{module}.weight",), _LINEAR)
        yield _Parameter(layer.bias, (f"{module}.bias",), _VECTOR)
    elif isinstance(layer, LearnableBias):
        yield _Parameter(layer.bias, (f"{module}.bias",), _BIAS)
    elif isinstance(layer, tf.keras.layers.PReLU):
        yield _Parameter(layer.alpha, (f"{module}.weight",), _SLOPE)
    elif isinstance(layer, InformationRecoupling):
        squeeze = layer.hyper_function
        yield _Parameter(layer.share, (f"{module}.scale",), _BIAS)
        yield _Parameter(squeeze.hidden_kernel, (f"{module}.se.se.1.weight",), _SQUEEZE)
        yield _Parameter(squeeze.hidden_bias, (f"{module}.se.se.1.bias",), _VECTOR)
        yield _Parameter(squeeze.output_kernel, (f"{module}.se.se.3.weight",), _SQUEEZE)
        yield _Parameter(squeeze.output_bias, (f"{module}.se.se.3.bias",), _VECTOR)
    else:
        yield _Parameter(layer.kernel, (f"{module}.weight",), _KERNEL)


def _of_part(layer, part: str, unit: Unit, module: str, flat: bool) -> Iterator[_Parameter]:
    """The parameters of a layer in a unit."""

    def kernel(variable, *names: str) -> _Parameter:
        keys = tuple(f"{module}.{name}.weight{'s' if flat else ''}" for name in names)
        return _Parameter(variable, keys, _FLAT_KERNEL if flat else _KERNEL)

    def bias(variable, name: str) -> _Parameter:
        return _Parameter(variable, (f"{module}.{name}.bias",), _BIAS)

    if part == "threshold":
        yield bias(layer.bias, unit.threshold)
    elif part == "conv":
        yield kernel(layer.kernel, *unit.kernels)
        if isinstance(layer, DynamicThresholdQuantConv2D):
            yield bias(layer.threshold, unit.threshold)
    elif part == "shift_mlp":
        branches = (layer.pointwise, layer.short_range, layer.long_range)
        for branch, name in zip(branches, unit.kernels, strict=True):
            yield kernel(branch.kernel, name)
    elif part == "bn":
        yield from _batch_norm(layer, tuple(f"{module}.{norm}" for norm in unit.norms))
    else:
        before, prelu, after = unit.activation
        yield bias(layer.bias_before, before)
        yield _Parameter(layer.slope, (f"{module}.{prelu}.weight",), _VECTOR)
        yield bias(layer.bias_after, after)


def _parameters(model: tf.keras.Model, layout: Layout, flat: bool) -> Iterator[_Parameter]:
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        if module := layout.module(layer.name):
            # Layers without weights have the names of modules too.
            yield from _of_layer(layer, module) if layer.weights else ()
            continue
        match = re.fullmatch(r"(.+)_(threshold|conv|shift_mlp|bn|rprelu)", layer.name)
        found = layout.find(match[1], names) if match else None
        if match and found:
            yield from _of_part(layer, match[2], *found, flat)


def load_checkpoint(model: tf.keras.Model, path: Path, layout: Layout) -> tuple[str, ...]:
    """Loads an official PyTorch checkpoint into a network.

    The checkpoints of both training steps fit a network of real as well as of binary
    kernels; where a file shows that it is of the other step, a warning says so. The contextual
    embeddings of a BCDNet-B, which BCDNet-A has not, stay as they are.

    Args:
        model: the network; unchanged if an error is raised.
        path: file of PyTorch, for which PyTorch has to be installed, or of safetensors, for
            which safetensors has to be.
        layout: names of the official network's parameters.

    Returns:
        What was around the tensors in the file, in words.

    Raises:
        ImportError: if the package that reads the file is not installed, or too old.
        UserError: if the file cannot be read or holds more than tensors; if keys are
            missing, unknown or of another shape; if values are not finite, or variances
            negative. It names the first ten.
    """
    read = read_state_dict(path)
    tensors = read.tensors
    # ReActNet's second step keeps its binary kernels as one column each, named "weights".
    flat = any(key.endswith(".weights") for key in tensors)
    parameters = list(_parameters(model, layout, flat))
    if problems := _problems(model, layout, parameters, tensors):
        around = f" ({'; '.join(read.found)})" if read.found else ""
        raise UserError(
            f"{path}{around} does not fit {model.name!r}: {'; '.join(problems)}. "
            f"{_remedy(model, layout, tensors)}"
        )
    if wrong := list(_wrong_values(parameters, tensors)):
        raise UserError(
            f"{path}: {_first(wrong)}: it is damaged, or its training has diverged; take an "
            "earlier checkpoint."
        )
    if doubt := _doubt(model, layout, tensors, flat):
        warnings.warn(f"{path}: {doubt}", stacklevel=2)
    for parameter in parameters:
        parameter.variable.assign(parameter.value(tensors))
    return read.found


def _first(names: Sequence[str], count: int = _MOST_KEYS) -> str:
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")


def _wrong_values(
    parameters: Sequence[_Parameter], tensors: Mapping[str, np.ndarray]
) -> Iterator[str]:
    for key in (key for parameter in parameters for key in parameter.keys):
        if not np.isfinite(tensors[key]).all():
            yield f"{key} has values that are not finite"
        elif key.endswith(".running_var") and tensors[key].min() < 0:
            yield f"{key} has negative variances"


def _doubt(
    model: tf.keras.Model, layout: Layout, tensors: Mapping[str, np.ndarray], flat: bool
) -> str | None:
    """Why a file that fits may compute something else in this network."""
    binary = [x for x in model.layers if getattr(x, "input_quantizer", None) is not None]
    has_real_kernels = bool(binary) and all(x.kernel_quantizer is None for x in binary)
    if flat and has_real_kernels:
        return (
            f"it is of binary kernels, which {layout.network} keeps under the name 'weights', "
            "and the network has real ones: leave out kernel_quantizer=None (--real-kernels)."
        )
    if layout.flat_from is not None and not flat and not has_real_kernels and binary:
        step = (
            "of the first training step, whose kernels are real"
            if (layout.flat_from == 2)
            else "not of the official code, which keeps binary kernels under 'weights'"
        )
        return (
            f"by its names it is {step}; with binary kernels it computes something else: give "
            "kernel_quantizer=None (--real-kernels) if they are real."
        )
    warm = [
        key
        for key, value in tensors.items()
        if key.endswith("binary_conv.temperature") and value.max() >= _COLDEST
    ]
    if warm and not has_real_kernels:
        return (
            f"{len(warm)} kernels are not their signs alone yet, as {warm[0]} is "
            f"{tensors[warm[0]].max():g} and not below {_COLDEST:g}: take a checkpoint of the "
            "end of its training."
        )
    return None


def _remedy(model: tf.keras.Model, layout: Layout, tensors: Mapping[str, np.ndarray]) -> str:
    """What to build instead, as far as the file tells."""
    for other in LAYOUTS:
        if any(re.fullmatch(other.mark, key) for key in tensors):
            if other.network != layout.network:
                return f"Its names are those of {other.network}: build that network."
            break
    weight = tensors.get(f"{layout.heads[0]}.weight")
    names = {layer.name for layer in model.layers}
    if layout.heads[0] in names and weight is not None:
        classes = model.get_layer(layout.heads[0]).units
        if weight.shape[0] != classes:
            return (
                f"Build it with num_classes={weight.shape[0]}, as the file has, and with its "
                "width; include_top=False leaves out its heads."
            )
    return (
        "Build the network of the checkpoint, with its width and num_classes; "
        "include_top=False leaves out its heads."
    )


def _problems(
    model: tf.keras.Model,
    layout: Layout,
    parameters: list[_Parameter],
    tensors: Mapping[str, np.ndarray],
) -> list[str]:
    expected = {
        key: parameter.form.shape(parameter.shape)
        for parameter in parameters
        for key in parameter.keys
    }
    unused = {
        f"{key.removesuffix('running_var')}num_batches_tracked"
        for key in expected
        if key.endswith(".running_var")
    }
    if not any(layer.name in layout.heads for layer in model.layers):
        unused |= {key for key in tensors if key.rpartition(".")[0] in layout.heads}
    misshapen = [
        f"{key} has shape {tensors[key].shape} instead of {shape}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    problems = {
        "missing": [key for key in expected if key not in tensors],
        "unknown": [
            key
            for key in tensors
            if key not in {*expected, *unused} and not re.fullmatch(layout.unused, key)
        ],
        "misshapen": misshapen,
    }
    problems = {problem: keys for problem, keys in problems.items() if keys}
    return [
        f"{len(keys)} {problem}: {_first(keys, _MOST_KEYS // len(problems))}"
        for problem, keys in problems.items()
    ]
