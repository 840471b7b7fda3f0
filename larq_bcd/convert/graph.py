"""The Keras model as the graph of operations that it runs at inference.

The graph shows what the converter sees: what stands between a sign and a convolution, however
layers, models and quantizers are nested. Each operation finds its layer by the variable that
it reads, not by a name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from larq_bcd._binary import (
    COMPARISONS,
    ORDERS,
    STEPS,
    is_binary,
    kernel_quantizer,
    leaves_signs,
    precision_of,
)
from larq_bcd.convert.fake_quant import WITH_ATTRIBUTES, WITH_VARIABLES, Grid
from larq_bcd.convert.interface import infer, output_names

# Operations that hand on their input as it is.
_TRANSPARENT = frozenset(
    {"Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot"}
)

# Operations that move values, or add constants around them, and compute nothing.
MOVING = frozenset({
    "BatchToSpaceND", "BroadcastTo", "ConcatV2", "DepthToSpace", "ExpandDims", "GatherV2",
    "MaxPool", "MirrorPad", "Pack", "Pad", "PadV2", "Reshape", "ReverseV2", "Roll", "Slice",
    "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze", "StridedSlice", "Tile",
    "Transpose", "Unpack",
})  # fmt: skip

# Position of the data and of the weights among the inputs of what may be a layer.
_WEIGHTED = {
    "Conv2D": (0, 1),
    "Conv3D": (0, 1),
    "DepthwiseConv2dNative": (0, 1),
    "Conv2DBackpropInput": (2, 1),
    "Conv3DBackpropInputV2": (2, 1),
    "MatMul": (0, 1),
    "BatchMatMulV2": (0, 1),
    "Einsum": (0, 1),
    "SparseMatMul": (0, 1),
}

_TRANSPOSED = frozenset({"Conv2DBackpropInput", "Conv3DBackpropInputV2"})

# Operations that select from a table, and which of their inputs has the indices.
_SELECTING = {"GatherV2": 1, "OneHot": 0, "ResourceGather": 1}

# Variables that go without saying in the name of a layer.
_KERNELS = frozenset({"kernel", "depthwise_kernel"})

# Keras hides a convolution of several groups in a function, of the data and the kernel.
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_WEIGHTED |= dict.fromkeys(CALLS, (0, 1))


_SELECTIONS = frozenset({"Select", "SelectV2"})
# Comparisons that are a sign of the difference of their operands: the position of the minuend
# and of the subtrahend, and what a choice has to give where they hold and where not.
_CHOICES = {
    "GreaterEqual": (0, 1, [1, -1]),
    "LessEqual": (1, 0, [1, -1]),
    "Less": (0, 1, [-1, 1]),
    "Greater": (1, 0, [-1, 1]),
}


def through(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor that transparent operations hand on as `tensor`."""
    while tensor.op.type in _TRANSPARENT:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


@dataclass(frozen=True)
class Step:
    """A sign, or another operation that jumps, on an activation.

    Attributes:
        before: the tensor whose values decide; of a comparison what it compares, less what it
            compares that with.
        after: what the graph goes on with.
        is_plain_sign: whether it is +1 for 0 and above and -1 below.
        grid: the values that a fake quantization leaves; None of anything else.
        is_repeated: whether its signs are signed again. The converter makes one sign of both,
            of a value that is neither's.
    """

    before: tf.Tensor
    after: tf.Tensor
    is_plain_sign: bool
    grid: Grid | None = None
    is_repeated: bool = False

    @property
    def kind(self) -> str:
        """The type of the operation, as TensorFlow calls it."""
        return self.after.op.type


def plain_sign(tensor: tf.Tensor) -> Step | None:
    """The sign that yields a tensor: +1 for 0 and above, -1 below.

    Either larq's sign(sign(x) + c) with 0 < c < 1, or a choice of 1 or -1 by a comparison.
    Signs that are signed again stay as they are: it is the first of them.
    """
    sign = _sign(tensor)
    first = sign and plain_sign(sign.before)
    return replace(first, is_repeated=True) if first else sign


def _sign(tensor: tf.Tensor) -> Step | None:
    outer = through(tensor)
    if outer.op.type in _SELECTIONS:
        return _chosen_sign(outer)
    if outer.op.type != "Sign":
        return None
    total = through(outer.op.inputs[0])
    if total.op.type not in ("AddV2", "Add"):
        return None
    operands = [through(operand) for operand in total.op.inputs]
    for inner, offset in (operands, operands[::-1]):
        if inner.op.type == "Sign" and offset.op.type == "Const":
            value = tf.make_ndarray(offset.op.get_attr("value"))
            if value.size == 1 and 0 < float(value.item()) < 1:
                return Step(through(inner.op.inputs[0]), outer, is_plain_sign=True)
    return None


def _chosen_sign(chosen: tf.Tensor) -> Step | None:
    condition, yes, no = map(through, chosen.op.inputs)
    signs = [tf.get_static_value(one) for one in (yes, no)]
    if condition.op.type == "LogicalNot":
        condition, signs = through(condition.op.inputs[0]), signs[::-1]
    if condition.op.type not in _CHOICES:
        return None
    larger, smaller, expected = _CHOICES[condition.op.type]
    if any(sign is None or sign.size != 1 for sign in signs) or signs != expected:
        return None
    operands = [through(operand) for operand in condition.op.inputs]
    before = _difference(operands[larger], operands[smaller], f"{chosen.op.name}/difference")
    if before.shape != chosen.shape or not before.dtype.is_floating:
        return None
    return Step(before, chosen, is_plain_sign=True)


def _difference(a: tf.Tensor, b: tf.Tensor, name: str) -> tf.Tensor:
    """What decides between two tensors, which their graph computes if it did not."""
    known = tf.get_static_value(b)
    if known is not None and np.ndim(known) == 0 and known == 0:
        return a
    try:
        return a.graph.get_tensor_by_name(f"{name}:0")
    except KeyError:
        with a.graph.as_default():
            return tf.subtract(a, b, name=name)


@dataclass(frozen=True)
class Source:
    """Where the input of a layer comes from.

    Attributes:
        signs: the plain signs it is made of, in order.
        between: the operations that move the signed values, the last one first.
        others: tensors it is made of that are neither plain signs nor constants.
    """

    signs: tuple[Step, ...]
    between: tuple[tf.Operation, ...]
    others: tuple[tf.Tensor, ...]


def source_of(tensor: tf.Tensor) -> Source:
    """Follows a tensor back through the operations that only move values."""
    signs: list[Step] = []
    between: list[tf.Operation] = []
    others: list[tf.Tensor] = []
    pending, seen = [tensor], set()
    while pending:
        current = through(pending.pop(0))
        if current.ref() in seen:
            continue
        seen.add(current.ref())
        if sign := plain_sign(current):
            signs.append(sign)
        elif current.op.type in MOVING:
            if current.op not in between:
                between.append(current.op)
            pending += [operand for operand in current.op.inputs if operand.dtype.is_floating]
        elif current.op.type != "Const":
            others.append(current)
    return Source(tuple(signs), tuple(between), tuple(others))


@dataclass(frozen=True)
class WeightedOp:
    """A convolution or a matrix product with a constant kernel.

    Attributes:
        op: the operation of the graph.
        layer: the Keras layer that owns the kernel.
        name: the layer's name, with those of the layers around it.
        data: the tensor that it works on.
        kernel: the values it multiplies with, quantized, in the operation's layout.
        variable: the kernel's name in the layer.
        is_binary: whether no more than signs is left of the variable; see `_binary.is_binary`.
    """

    op: tf.Operation
    layer: tf.keras.layers.Layer
    name: str
    data: tf.Tensor
    kernel: np.ndarray
    variable: str
    is_binary: bool

    @property
    def kernel_tensor(self) -> tf.Tensor:
        """The operand that holds the kernel."""
        operands = [self.op.inputs[position] for position in _WEIGHTED[self.op.type]]
        return next(operand for operand in operands if operand.name != self.data.name)

    def rows(self, kernel: np.ndarray) -> np.ndarray:
        """Values of the kernel's shape as (output channels, everything else)."""
        if self.op.type == "DepthwiseConv2dNative":
            return kernel.reshape(kernel.shape[0] * kernel.shape[1], -1).T
        axis = -2 if self.op.type in _TRANSPOSED else -1
        return np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)

    def by_output_channel(self, values: np.ndarray) -> np.ndarray:
        """One value for each output channel, in a shape that is broadcast to the kernel's."""
        if self.op.type == "DepthwiseConv2dNative":
            return values.reshape(self.kernel.shape[2:])
        return values[:, None] if self.op.type in _TRANSPOSED else values

    @property
    def quantizer(self) -> Any:
        """The kernel's quantizer, where the layer has it by larq's names."""
        return kernel_quantizer(self.layer, self.variable)

    @property
    def input_quantizer(self) -> Any:
        """The quantizer of the layer's input, where it has one and this kernel is the first."""
        if self.variable == "pointwise_kernel":
            return None
        return getattr(self.layer, "input_quantizer", None)


class InferenceGraph:
    """What a Keras model computes at inference, for a batch of one.

    Args:
        model: a built model whose inputs have fixed shapes.

    Attributes:
        inputs: in the order of the model's.
        outputs: likewise.
        output_names: by which the model's caller knows them.
    """

    def __init__(self, model: tf.keras.Model):
        self.model = model
        specs = [tf.TensorSpec([1, *one.shape[1:]], one.dtype) for one in model.inputs]

        def compute(*tensors):
            return infer(model, tensors)

        self._function = tf.compat.v1.wrap_function(compute, specs)
        self.graph = self._function.graph
        self.operations: list[tf.Operation] = self.graph.get_operations()
        self.inputs: list[tf.Tensor] = list(self._function.inputs[: len(specs)])
        self.outputs: list[tf.Tensor] = list(self._function.outputs)
        self.output_names: list[str] = output_names(model)
        self._handles = {id(inner): id(outer) for outer, inner in self.graph.captures}
        self._owners = self._find_owners()
        self._layers_by_name: dict[str, tf.keras.layers.Layer] = {}
        for layer in _layers(model):
            self._layers_by_name.setdefault(layer.name, layer)

    def _find_owners(self) -> dict[int, tuple[tf.keras.layers.Layer, str]]:
        owners: dict[int, tuple[int, tf.keras.layers.Layer, str]] = {}
        for layer in _layers(self.model):
            size = len(tuple(layer.submodules))
            for variable in layer.weights:
                key = id(variable.handle)
                # The innermost of the layers that know a variable has the fewest modules.
                if key not in owners or size < owners[key][0]:
                    name = variable.name.split("/")[-1].split(":")[0]
                    owners[key] = size, layer, name
        return {key: (layer, name) for key, (_, layer, name) in owners.items()}

    @cached_property
    def computed(self) -> set[str]:
        """Names of the operations that depend on the model's inputs."""
        names = {one.op.name for one in self.inputs}
        for op in self.operations:
            if any(operand.op.name in names for operand in op.inputs):
                names.add(op.name)
        return names

    def is_computed(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor depends on the model's inputs."""
        return tensor.op.name in self.computed

    def index_limit(self, tensor: tf.Tensor) -> int | None:
        """The size of the smallest table that a tensor's values select from, if any."""
        sizes = []
        pending, seen = [tensor], set()
        while pending:
            current = pending.pop()
            if current.ref() in seen:
                continue
            seen.add(current.ref())
            for op in current.consumers():
                if op.type in (*_TRANSPARENT, *MOVING, "Cast"):
                    pending += op.outputs
                if op.type in _SELECTING and op.inputs[_SELECTING[op.type]] is current:
                    sizes.append(self._table_size(op))
        return min((size for size in sizes if size is not None), default=None)

    def _table_size(self, op: tf.Operation) -> int | None:
        """Between how many entries an operation selects."""
        if op.type == "ResourceGather":
            handle = self._handles.get(id(op.inputs[0]))
            shapes = {id(one.handle): one.shape for one in self.model.variables}
            return None if handle not in shapes else shapes[handle][0]
        if op.type == "OneHot":
            depth = tf.get_static_value(op.inputs[1])
            return None if depth is None else int(depth)
        axis = tf.get_static_value(op.inputs[2])
        return None if axis is None else op.inputs[0].shape[int(axis)]

    def scope(self, op: tf.Operation) -> str:
        """Names of the layers that an operation belongs to, the outermost first."""
        names = [part for part in op.name.split("/")[:-1] if part in self._layers_by_name]
        return "/".join(names[1:] if names[:1] == [self.model.name] else names)

    def layer_type(self, scope: str) -> str:
        """The class of the innermost layer of a scope, or nothing."""
        layer = self._layers_by_name.get(scope.split("/")[-1])
        return "" if layer is None else type(layer).__name__

    def describe(self, op: tf.Operation) -> str:
        """An operation in words: its layer's class and name where it has one."""
        *outer, last = op.name.split("/")
        for part in reversed(outer):
            layer = self._layers_by_name.get(part)
            if layer is not None and layer is not self.model:
                if type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda"):
                    return f"{part} ({op.type})"
                return f"{type(layer).__name__} '{part}' ({op.type})"
        return f"{op.type} '{last}'"

    def _origin(
        self, tensor: tf.Tensor
    ) -> tuple[tf.keras.layers.Layer, str, frozenset[str]] | None:
        """The layer and variable a kernel is made of, and the operations on the way."""
        pending, seen = [tensor], set()
        operations = set()
        owner = None
        while pending:
            op = pending.pop().op
            if op.name in seen:
                continue
            seen.add(op.name)
            operations.add(op.type)
            for operand in op.inputs:
                if operand.dtype == tf.resource:
                    owner = owner or self._owners.get(self._handles.get(id(operand), 0))
                else:
                    pending.append(operand)
        return None if owner is None else (*owner, frozenset(operations))

    @cached_property
    def weighted_ops(self) -> list[WeightedOp]:
        """Every convolution and dense layer, in the order of execution."""
        found = []
        for op in self.operations:
            if op.type not in _WEIGHTED or op.name not in self.computed:
                continue
            if op.type in CALLS and not self._is_convolution(op):
                continue
            data, kernel = (op.inputs[position] for position in _WEIGHTED[op.type])
            if self.is_computed(kernel):
                if self.is_computed(data):
                    continue  # a product of activations, not a layer
                data, kernel = kernel, data
            origin = self._origin(kernel)
            if origin is not None:
                found.append((op, data, kernel, *origin))
        kernels = self.function([], [kernel for _, _, kernel, *_ in found])()
        seen: dict[str, int] = {}
        ops = []
        for (op, data, _, layer, variable, on_the_way), kernel in zip(
            found, (kernel.numpy() for kernel in kernels), strict=True
        ):
            scope = self.scope(op)
            name = scope if scope.split("/")[-1] == layer.name else f"{scope}/{layer.name}"
            name = name.strip("/")
            if variable not in _KERNELS:
                name = f"{name}/{variable}"
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                name = f"{name} (call {seen[name]})"
            bits = precision_of(kernel_quantizer(layer, variable))
            binary = is_binary(bits, on_the_way, kernel)
            ops.append(WeightedOp(op, layer, name, data, kernel, variable, binary))
        return ops

    def is_first(self, layer: WeightedOp) -> bool:
        """Whether no other layer, sign or rounding stands between the input and a layer."""
        before = {other.op.name for other in self.weighted_ops}
        pending, seen = [layer.data], set()
        while pending:
            op = pending.pop().op
            if op.name in before or op.type in (*STEPS, *COMPARISONS, *CALLS):
                return False
            if op.name not in seen:
                seen.add(op.name)
                pending += op.inputs
        return True

    @cached_property
    def sign_products(self) -> dict[str, list[tf.Operation]]:
        """Products of two activations of which at least one is made of signs, by layer."""
        found: dict[str, list[tf.Operation]] = {}
        for op in self.operations:
            factors = list(op.inputs)
            if op.type not in _WEIGHTED or not all(map(self.is_computed, factors)):
                continue
            sources = [source_of(factor) for factor in factors]
            if any(source.signs and not source.others for source in sources):
                found.setdefault(self.scope(op) or op.name, []).append(op)
        return found

    @cached_property
    def steps(self) -> list[Step]:
        """Every sign and rounding of an activation, in the order of execution."""
        signs: dict[str, Step] = {}
        inner = set()
        for op in self.operations:
            if (
                op.type in ("Sign", *_SELECTIONS)
                and op.name in self.computed
                and (s := plain_sign(op.outputs[0]))
            ):
                signs[op.name] = s
                inner |= {through(operand).op.name for operand in op.inputs[0].op.inputs}
        repeated = {s.after.op.name for s in signs.values() if s.is_repeated}
        steps = []
        for op in self.operations:
            if op.name in signs:
                if signs[op.name].after.op is op:
                    steps.append(replace(signs[op.name], is_repeated=op.name in repeated))
            elif op.type in STEPS and op.name in self.computed and op.name not in inner:
                steps.append(Step(through(op.inputs[0]), op.outputs[0], is_plain_sign=False))
            elif op in self._grids and not self._is_on_grid(op.inputs[0], self._grids[op]):
                before, grid = through(op.inputs[0]), self._grids[op]
                steps.append(Step(before, op.outputs[0], is_plain_sign=False, grid=grid))
            elif op.type in ORDERS and op in self.comparisons and _is_real(op):
                a, b = op.inputs
                before = _difference(a, b, f"{op.name}/difference")
                steps.append(Step(before, op.outputs[0], is_plain_sign=False))
        return steps

    @cached_property
    def _grids(self) -> dict[tf.Operation, Grid]:
        """The fake quantizations of activations, and the values that they leave."""
        found = [
            op
            for op in self.operations
            if op.type in (WITH_VARIABLES, WITH_ATTRIBUTES)
            and op.name in self.computed
            and not any(map(self.is_computed, op.inputs[1:]))
        ]
        given = self.function([], [bound for op in found for bound in op.inputs[1:]])()
        bounds = iter(float(value.numpy()) for value in given)
        grids = {}
        for op in found:
            if op.type == WITH_VARIABLES:
                least, largest = next(bounds), next(bounds)
            else:
                least, largest = op.get_attr("min"), op.get_attr("max")
            bits, narrow = op.get_attr("num_bits"), op.get_attr("narrow_range")
            grids[op] = Grid.between(least, largest, bits, narrow)
        return grids

    def _is_on_grid(self, tensor: tf.Tensor, grid: Grid) -> bool:
        """Whether a tensor is already what a fake quantization would make of it."""
        op = through(tensor).op
        if op in self._grids:
            return self._grids[op] == grid
        moved = [operand for operand in op.inputs if operand.dtype.is_floating]
        return (
            op.type in MOVING
            and bool(moved)
            and all(self._is_on_grid(operand, grid) for operand in moved)
        )

    @cached_property
    def comparisons(self) -> list[tf.Operation]:
        """Comparisons of activations, less those that are plain signs."""
        return [
            op
            for op in self.operations
            if op.type in COMPARISONS and op.name in self.computed and not _gives_signs(op)
        ]

    @cached_property
    def hidden_calls(self) -> list[tf.Operation]:
        """Calls of functions whose operations this graph does not show."""
        return [
            op
            for op in self.operations
            if op.type in CALLS and op.name in self.computed and not self._is_convolution(op)
        ]

    @cached_property
    def hidden_layers(self) -> list[tf.keras.layers.Layer]:
        """Layers of binary kernels that are not among `weighted_ops` because of such a call."""
        if not self.hidden_calls:
            return []
        shown = {id(op.layer) for op in self.weighted_ops}
        return [
            layer
            for layer in _layers(self.model)
            if id(layer) not in shown
            and getattr(layer, "kernel_quantizer", None) is not None
            and leaves_signs(layer.kernel_quantizer, layer.kernel)
        ]

    @cached_property
    def _convolving_functions(self) -> set[str]:
        return {
            function.signature.name
            for function in self.graph.as_graph_def().library.function
            if [node.op for node in function.node_def if node.op in _WEIGHTED] == ["Conv2D"]
        }

    def _is_convolution(self, call: tf.Operation) -> bool:
        return len(call.inputs) == 2 and call.get_attr("f").name in self._convolving_functions

    @cached_property
    def parameters(self) -> list[tf.Tensor]:
        """What the graph reads from its float variables, less kernels that are signed."""
        reads = [
            op.outputs[0]
            for op in self.operations
            if op.type == "ReadVariableOp" and op.outputs[0].dtype == tf.float32
        ]
        signed = {
            name
            for op in self.operations
            if op.type == "Sign" and op.name not in self.computed
            for name in _ancestors(op)
        }
        return [tensor for tensor in reads if tensor.op.name not in signed]

    def function(self, feeds: Sequence[tf.Tensor], fetches: Sequence[tf.Tensor]):
        """A callable from values of `feeds` to values of `fetches`.

        Args:
            feeds: tensors of the graph to be given; what they depend on is not computed.
            fetches: tensors of the graph to be returned.

        Returns:
            A function that takes one array for each of `feeds` and returns a list of tensors.
        """
        pruned = self._function.prune(list(feeds), list(fetches))

        def call(*values):
            return pruned(*[tf.constant(value) for value in values])

        return call


def _is_real(comparison: tf.Operation) -> bool:
    return comparison.inputs[0].dtype.is_floating


def _layers(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    yield model
    for module in model.submodules:
        if isinstance(module, tf.keras.layers.Layer):
            yield module


def _gives_signs(condition: tf.Operation) -> bool:
    """Whether a condition is read, and nothing but plain signs is made of it."""
    readers = [op for result in condition.outputs for op in result.consumers()]
    return bool(readers) and all(
        _gives_signs(op)
        if op.type in (*_TRANSPARENT, "LogicalNot")
        else op.type in _SELECTIONS and plain_sign(op.outputs[0]) is not None
        for op in readers
    )


def _ancestors(op: tf.Operation) -> set[str]:
    names, pending = set(), [op]
    while pending:
        current = pending.pop()
        if current.name not in names:
            names.add(current.name)
            pending += [operand.op for operand in current.inputs]
    return names
