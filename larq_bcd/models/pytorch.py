"""Official PyTorch checkpoints of the papers' networks, read into the networks here.

A checkpoint is data: files are read by `torch.load(weights_only=True)` or as safetensors,
and a pickle that holds more than tensors is refused.
"""

import math
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from packaging.version import Version

from larq_bcd.errors import UserError
from larq_bcd.layers import DynamicThresholdQuantConv2D

SUFFIXES = (".pth", ".pt", ".pth.tar", ".safetensors")
# Before 2.10, a crafted file corrupts memory under weights_only=True (CVE-2026-24747).
_MINIMUM_TORCH = Version("2.10")
_CONTAINERS = ("state_dict", "model")


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
        layers: module by layer name, for what is outside of the units.
        units: unit by regular expression of its name, with a group for each number.
        doubling: the same for the units whose shortcut is repeated.
        heads: modules that a network with `include_top=False` does without.
        arguments: those of the network here that its code has fixed, for any image size.
    """

    layers: Mapping[str, str]
    units: Mapping[str, Unit]
    doubling: Mapping[str, Unit]
    heads: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

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
)

# BCDNet, whose long shift is half of its 7x7 map, written as a number.
BCDNET = replace(MOBILENET, arguments={"long_range": 3})

# ReActNet-18, on the stages of ResNet-18.
RESNET_18 = Layout(
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
        if layer.name in layout.layers:
            yield from _of_layer(layer, layout.layers[layer.name])
            continue
        match = re.fullmatch(r"(.+)_(threshold|conv|shift_mlp|bn|rprelu)", layer.name)
        found = layout.find(match[1], names) if match else None
        if match and found:
            yield from _of_part(layer, match[2], *found, flat)


def is_checkpoint(weights: Any) -> bool:
    """Whether weights are given as the path of a file that is named as PyTorch's are."""
    return isinstance(weights, str | os.PathLike) and Path(weights).name.endswith(SUFFIXES)


def load_checkpoint(model: tf.keras.Model, path: Path, layout: Layout) -> None:
    """Loads an official PyTorch checkpoint into a network.

    The checkpoints of both training steps fit a network of real as well as of binary
    kernels. The contextual embeddings of a BCDNet-B, which BCDNet-A has not, stay as they
    are.

    Args:
        model: the network; unchanged if an error is raised.
        path: file named `.pth`, `.pt` or `.pth.tar`, for which PyTorch has to be installed,
            or `.safetensors`, for which safetensors has to be.
        layout: names of the official network's parameters.

    Raises:
        ImportError: if the package that reads the file is not installed, or too old.
        UserError: if the file cannot be read or holds more than tensors; if keys are
            missing, unknown or of another shape, in which case it lists all.
    """
    tensors = read_state_dict(path)
    # ReActNet's second step keeps its binary kernels as one column each, named "weights".
    flat = any(key.endswith(".weights") for key in tensors)
    parameters = list(_parameters(model, layout, flat))
    if problems := _problems(model, layout, parameters, tensors):
        raise UserError(
            f"{path} does not fit {model.name!r}: {'; '.join(problems)}. Build the network "
            "of the checkpoint, with its width and num_classes; include_top=False leaves "
            "out its heads."
        )
    for parameter in parameters:
        parameter.variable.assign(parameter.value(tensors))


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
        "unknown": [key for key in tensors if key not in expected and key not in unused],
        "misshapen": misshapen,
    }
    return [
        f"{len(keys)} {problem}: {', '.join(keys)}"
        for problem, keys in problems.items()
        if keys
    ]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a checkpoint, without running anything that is in it.

    Args:
        path: file of a state dict, bare, or under the key `"state_dict"` or `"model"` beside
            an optimizer's state and the like.

    Returns:
        The tensors by name, without the prefix `module.` of a parallel training.

    Raises:
        ImportError: if the package that reads the file is not installed, or too old.
        UserError: if the file is damaged, holds more than tensors, or no state dict.
    """
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    tensors = read(path)
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def _damaged(path: Path, kind: str) -> UserError:
    return UserError(
        f"{path} could not be read: it is damaged, cut short or not a {kind}; get it again "
        "from where it came."
    )


def _too_large(path: Path) -> UserError:
    return UserError(
        f"{path} takes more memory than there is: free some; if the file is small, it is "
        "damaged: get it again from where it came."
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ModuleNotFoundError:
        raise ImportError(
            f"reading {path} needs safetensors, which is not installed: run "
            "`pip install safetensors`."
        ) from None
    try:
        return load_file(path)
    except MemoryError as error:
        raise _too_large(path) from error
    except (SafetensorError, OSError) as error:
        raise _damaged(path, "file of safetensors") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(
            f"reading {path} needs PyTorch, which is not installed: run "
            "`pip install 'larq-bcd[pytorch]'`."
        ) from None
    if Version(torch.__version__) < _MINIMUM_TORCH:
        raise ImportError(
            f"reading {path} needs PyTorch {_MINIMUM_TORCH}, the first that reads foreign "
            f"files safely, but {torch.__version__} is installed: run "
            f"`pip install 'torch>={_MINIMUM_TORCH}'`."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file about which the error says more
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Without the cause: PyTorch's message advises to turn its protection off.
        if more := re.search(r"GLOBAL (\S+)", str(error)):
            raise UserError(
                f"{path} is refused: it holds more than tensors, {more[1]}, and is not "
                "unpickled; if you trust it, save its state dict alone with torch.save, or "
                "as .safetensors."
            ) from None
        raise _damaged(path, "PyTorch checkpoint") from None
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:  # a damaged pickle raises whatever its opcodes meet
        raise _damaged(path, "PyTorch checkpoint") from error
    for container in _CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(container), dict):
            content = content[container]
    try:
        return {key: _array(key, tensor) for key, tensor in content.items()}
    except (AttributeError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{path} holds no state dict: save a dict of dense tensors by name, bare or "
            "under the key 'state_dict' or 'model', with torch.save."
        ) from error


def _array(key, tensor) -> np.ndarray:
    """The values of a dense tensor of PyTorch, float32 if they are of floating point."""
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is not the name of a tensor")
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
