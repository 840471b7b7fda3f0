"""The official networks in plain PyTorch, from the papers' equations, and their key layout.

Nothing here uses `larq_bcd`: it is what the importer is compared with.
"""

import math
import re

import torch
from torch.nn import functional

# Number of blocks, and those of them that double the channels, of the networks on MobileNet's
# stages; number of units in each stage of the networks on ResNet's.
BLOCKS = {
    "bcdnet_a": (10, (1, 2, 4, 6, 10)),
    "reactnet_a": (13, (1, 2, 4, 6, 12)),
    "bnext_t": (13, (1, 2, 4, 6, 12)),
}
UNITS = {
    "reactnet_18": (4, 4, 4, 4),
    "bi_real_net_18": (4, 4, 4, 4),
    "bi_real_net_34": (6, 8, 12, 6),
}
BINARY_KERNEL = re.compile(r".*\.binary_\w+\.weight")


def _norm(name, channels):
    shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
    return {f"{name}.{part}": shape for part, shape in shapes.items()} | {
        f"{name}.num_batches_tracked": ()
    }


def _activation(module, before, prelu, after, channels):
    return {
        f"{module}.{before}.bias": (1, channels, 1, 1),
        f"{module}.{prelu}.weight": (channels,),
        f"{module}.{after}.bias": (1, channels, 1, 1),
    }


def layout_on_resnet(network, classes, stem):
    """The keys of ReActNet-18, and of Bi-Real Net, in which less is learned."""
    learns = network == "reactnet_18"
    keys = {"conv1.weight": (stem, 3, 7, 7), **_norm("bn1", stem)}
    channels = stem
    for stage, units in enumerate(UNITS[network], 1):
        for unit in range(units):
            module, inputs = f"layer{stage}.{unit}", channels
            changes = stage > 1 and unit == 0
            channels *= 1 + changes
            if learns:
                keys[f"{module}.move0.bias"] = (1, inputs, 1, 1)
            keys[f"{module}.binary_conv.weight"] = (channels, inputs, 3, 3)
            keys |= _norm(f"{module}.bn1", channels)
            if learns:
                keys |= _activation(module, "move1", "prelu", "move2", channels)
            if changes:
                keys[f"{module}.downsample.1.weight"] = (channels, inputs, 1, 1)
                keys |= _norm(f"{module}.downsample.2", channels)
    return keys | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def layout_bnext(classes, stem):
    """The keys of BNext-T, those among them that it does not compute with included."""
    keys = {"feature.0.conv1.weight": (stem, 3, 3, 3), **_norm("feature.0.bn1", stem)}
    keys["feature.0.prelu.weight"] = (stem,)
    blocks, doubling = BLOCKS["bnext_t"]
    channels = stem
    for block in range(1, blocks + 1):
        parts = ("FFN_1", "FFN_2") if block in doubling else ("FFN",)
        for part in ("Attention", *parts):
            module, size = f"feature.{block}.{part}", 3 if part == "Attention" else 1
            hidden = max(1, channels // 8)
            keys |= {
                f"{module}.scale": (1, channels, 1, 1),
                f"{module}.move.bias": (1, channels, 1, 1),
                f"{module}.binary_activation.temperature": (1,),
                f"{module}.binary_conv.weight": (channels, channels, size, size),
                f"{module}.binary_conv.temperature": (1,),
                **_norm(f"{module}.norm1", channels),
                **_norm(f"{module}.norm2", channels),
                f"{module}.activation1.weight": (channels,),
                f"{module}.activation2.weight": (channels,),
                f"{module}.se.se.1.weight": (hidden, channels, 1, 1),
                f"{module}.se.se.1.bias": (hidden,),
                f"{module}.se.se.3.weight": (channels, hidden, 1, 1),
                f"{module}.se.se.3.bias": (channels,),
            }
        channels *= 1 + (block in doubling)
    keys["prelu.weight"] = (channels,)
    return keys | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def layout(network, classes=1000, stem=None):
    """Returns the shape of each key of the first step's state dict, in its order."""
    if network in UNITS:
        return layout_on_resnet(network, classes, stem or 64)
    stem = stem or 32
    if network == "bnext_t":
        return layout_bnext(classes, stem)
    keys = {"feature.0.conv1.weight": (stem, 3, 3, 3), **_norm("feature.0.bn1", stem)}
    blocks, doubling = BLOCKS[network]
    channels = stem
    for block in range(1, blocks + 1):
        module, doubles = f"feature.{block}", block in doubling
        keys[f"{module}.move11.bias"] = (1, channels, 1, 1)
        keys[f"{module}.binary_3x3.weight"] = (channels, channels, 3, 3)
        keys |= _norm(f"{module}.bn1", channels)
        keys |= _activation(module, "move12", "prelu1", "move13", channels)
        keys[f"{module}.move21.bias"] = (1, channels, 1, 1)
        for name in ("binary_pw_down1", "binary_pw_down2") if doubles else ("binary_pw",):
            keys[f"{module}.{name}.weight"] = (channels, channels, 1, 1)
        for name in ("bn2_1", "bn2_2") if doubles else ("bn2",):
            keys |= _norm(f"{module}.{name}", channels)
        channels *= 1 + doubles
        keys |= _activation(module, "move22", "prelu2", "move23", channels)
    if network == "bcdnet_a":
        for block in range(3):
            for unit in range(4):
                module = f"mlp_layer.{block}.mlp_layer.{unit}"
                keys[f"{module}.move0.bias"] = (1, channels, 1, 1)
                for name in ("", "1", "2") if unit < 3 else ("",):
                    shape = (channels, channels, 1, 1)
                    keys[f"{module}.binary_conv{name}.weight"] = shape
                keys |= _norm(f"{module}.bn1", channels)
                keys |= _activation(module, "move1", "prelu", "move2", channels)
    for head in ("fc", "fc_dist") if network == "bcdnet_a" else ("fc",):
        keys |= {f"{head}.weight": (classes, channels), f"{head}.bias": (classes,)}
    return keys


def random_state(network, seed, classes=1000, stem=None):
    """Returns a state dict of the first step, of random tensors of a trained one's size."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape, low, high):
        return low + (high - low) * torch.rand(shape, generator=generator)

    def normal(shape, deviation):
        return deviation * torch.randn(shape, generator=generator)

    state = {}
    for key, shape in layout(network, classes, stem).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(300_000)
        elif key.endswith("temperature"):
            state[key] = torch.full(shape, 1e-9)
        elif key.endswith("running_var"):
            # A sum of signs is as large as their number says.
            kernel = f"{key.removesuffix('norm1.running_var')}binary_conv.weight"
            signs = math.prod(state[kernel].shape[1:]) if "norm1" in key else 1
            state[key] = signs * uniform(shape, 0.5, 2)
        elif re.search(r"(bn\w+|norm\d|downsample\.2)\.weight", key):
            state[key] = uniform(shape, 0.5, 1.5) * normal(shape, 1).sign()
        elif key.endswith("scale"):
            state[key] = uniform(shape, 0.1, 0.9)
        elif "prelu" in key or re.search(r"activation\d", key):
            state[key] = uniform(shape, 0.1, 0.5)
        elif len(shape) in (2, 4) and key.endswith("weight"):
            state[key] = normal(shape, math.prod(shape[1:]) ** -0.5)
        else:
            state[key] = normal(shape, 0.3)
    return state


def flat(state):
    """Returns the state dict as ReActNet-A's second step has it, of flat binary kernels."""
    return {
        f"{key}s" if BINARY_KERNEL.fullmatch(key) else key: (
            value.reshape(-1, 1) if BINARY_KERNEL.fullmatch(key) else value
        )
        for key, value in state.items()
    }


def sign(x):
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def shift(x, rows, columns):
    """Four groups of channels, rolled down, up, right and left (BCDNet, equations 11-13)."""
    down, up, right, left = x.chunk(4, dim=1)
    rolled = [down.roll(rows, 2), up.roll(-rows, 2), right.roll(columns, 3)]
    return torch.cat([*rolled, left.roll(-columns, 3)], dim=1)


def clear_bias(x):
    """Returns a bias for each channel of NCHW values that keeps all sums away from zero.

    The threshold is in the middle of the widest gap between the values, the eighths at both
    ends aside, so that there are signs of both kinds.
    """
    values = x.transpose(0, 1).flatten(1).sort(dim=1).values
    eighth = values.shape[1] // 8
    values = values[:, eighth : values.shape[1] - eighth]
    widest = values.diff(dim=1).argmax(dim=1, keepdim=True)
    middle = (values.gather(1, widest) + values.gather(1, widest + 1)) / 2
    return -middle.float().reshape(1, -1, 1, 1)


class Official:
    """A network of a state dict of the first step's layout, in float64.

    Attributes:
        state: the state dict, with the thresholds that `logits` has chosen.
        margin: distance of the value closest to a threshold.
    """

    def __init__(self, network, state, binary_kernels, strides):
        self.network = network
        self.state = dict(state)
        self.binary_kernels = binary_kernels
        self.strides = strides
        self.margin = math.inf

    def _get(self, key):
        return self.state[key].double()

    def _sign(self, x, name):
        if f"{name}.bias" in self.state:
            self.state[f"{name}.bias"] = clear_bias(x)
            x = x + self._get(f"{name}.bias")
        self.margin = min(self.margin, x.abs().min().item())
        return sign(x)

    def _conv(self, x, name, stride=1):
        """BiConv (BCDNet, equation 1), zeros around the signs."""
        kernel = self._get(f"{name}.weight")
        if self.binary_kernels:
            scale = kernel.abs().mean((1, 2, 3), keepdim=True)
            kernel = (1 if self.network == "bnext_t" else scale) * sign(kernel)
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def _norm(self, x, name):
        weight, bias, mean, variance = (
            self._get(f"{name}.{part}").reshape(1, -1, 1, 1)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def _activation(self, x, module, before, prelu, after):
        """RPReLU (ReActNet, equation 3)."""
        x = x + self._get(f"{module}.{before}.bias")
        slope = self._get(f"{module}.{prelu}.weight").reshape(1, -1, 1, 1)
        return torch.where(x > 0, x, slope * x) + self._get(f"{module}.{after}.bias")

    def _react_block(self, x, module, doubles, stride):
        """Figure 4 of ReActNet."""
        y = self._conv(self._sign(x, f"{module}.move11"), f"{module}.binary_3x3", stride)
        shortcut = functional.avg_pool2d(x, 2) if stride == 2 else x
        o = self._norm(y, f"{module}.bn1") + shortcut
        o = self._activation(o, module, "move12", "prelu1", "move13")
        a = self._sign(o, f"{module}.move21")
        if doubles:
            halves = [
                self._norm(self._conv(a, f"{module}.binary_pw_down{i}"), f"{module}.bn2_{i}")
                for i in (1, 2)
            ]
            y = torch.cat([half + o for half in halves], dim=1)
        else:
            y = self._norm(self._conv(a, f"{module}.binary_pw"), f"{module}.bn2") + o
        return self._activation(y, module, "move22", "prelu2", "move23")

    def _mlp_unit(self, x, module, ranged):
        """Equation 15 and figure 4 of BCDNet; without the shifted branches a Point unit.

        The long shift is the 3 of the official code, half of the map of an image of 224x224.
        """
        a = self._sign(x, f"{module}.move0")
        y = self._conv(a, f"{module}.binary_conv")
        if ranged:
            y = y + self._conv(shift(a, 1, 1), f"{module}.binary_conv1")
            y = y + self._conv(shift(a, 3, 3), f"{module}.binary_conv2")
        y = self._norm(y, f"{module}.bn1") + x
        return self._activation(y, module, "move1", "prelu", "move2")

    def _residual_unit(self, x, module, stride):
        """Figure 3 of Bi-Real Net, with the thresholds and activations of ReActNet."""
        y = self._conv(self._sign(x, f"{module}.move0"), f"{module}.binary_conv", stride)
        if f"{module}.downsample.1.weight" in self.state:
            x = functional.avg_pool2d(x, 2) if stride == 2 else x
            x = functional.conv2d(x, self._get(f"{module}.downsample.1.weight"))
            x = self._norm(x, f"{module}.downsample.2")
        y = self._norm(y, f"{module}.bn1") + x
        if f"{module}.prelu.weight" not in self.state:
            return y
        return self._activation(y, module, "move1", "prelu", "move2")

    def _prelu(self, x, name):
        return torch.where(x > 0, x, self._get(f"{name}.weight").reshape(1, -1, 1, 1) * x)

    def _recoupled_unit(self, x, module, stride, multiplied):
        """Figure 4 of BNext: the squeeze and expansion of the branch and its real input."""
        y = self._conv(self._sign(x, f"{module}.move"), f"{module}.binary_conv", stride)
        y = self._prelu(self._norm(y, f"{module}.norm1"), f"{module}.activation2")
        shortcut = self._prelu(x, f"{module}.activation1") if multiplied else x
        if stride == 2:
            x, shortcut = functional.avg_pool2d(x, 2), functional.avg_pool2d(shortcut, 2)
        share = self._get(f"{module}.scale")
        pooled = (share * x + (1 - share) * y).mean((2, 3), keepdim=True)
        for part, after in (("1", torch.relu), ("3", torch.sigmoid)):
            weight, bias = (self._get(f"{module}.se.se.{part}.{x}") for x in ("weight", "bias"))
            pooled = after(functional.conv2d(pooled, weight, bias))
        y = pooled * y * shortcut if multiplied else pooled * y
        return self._norm(y, f"{module}.norm2") + shortcut

    def _features_bnext(self, images):
        stem, *strides = self.strides
        weight = self._get("feature.0.conv1.weight")
        x = functional.conv2d(images.double(), weight, stride=stem, padding=1)
        x = self._norm(x, "feature.0.bn1")
        blocks, doubling = BLOCKS[self.network]
        for block in range(1, blocks + 1):
            stride = strides.pop(0) if block in doubling else 1
            module = f"feature.{block}"
            x = self._recoupled_unit(x, f"{module}.Attention", stride, block % 2 == 0)
            parts = ("FFN_1", "FFN_2") if block in doubling else ("FFN",)
            halves = [self._recoupled_unit(x, f"{module}.{part}", 1, False) for part in parts]
            x = torch.cat(halves, dim=1)
        return self._prelu(x, "prelu")

    def _features_on_resnet(self, images):
        stem, pool, *strides = self.strides
        weight = self._get("conv1.weight")
        x = functional.conv2d(images.double(), weight, stride=stem, padding=3)
        x = self._norm(x, "bn1")
        if pool == 2:
            x = functional.max_pool2d(x, 3, 2, padding=1)
        for stage, stride in enumerate(strides, 1):
            for unit in range(UNITS[self.network][stage - 1]):
                x = self._residual_unit(x, f"layer{stage}.{unit}", 1 if unit else stride)
        return x

    def features(self, images):
        """Returns the NCHW features of NCHW images."""
        if self.network in UNITS:
            return self._features_on_resnet(images)
        if self.network == "bnext_t":
            return self._features_bnext(images)
        stem, *strides = self.strides
        x = functional.conv2d(
            images.double(), self._get("feature.0.conv1.weight"), stride=stem, padding=1
        )
        x = self._norm(x, "feature.0.bn1")
        blocks, doubling = BLOCKS[self.network]
        for block in range(1, blocks + 1):
            doubles = block in doubling
            stride = strides.pop(0) if doubles else 1
            x = self._react_block(x, f"feature.{block}", doubles, stride)
        if self.network == "bcdnet_a":
            for block in range(3):
                for unit in range(4):
                    module = f"mlp_layer.{block}.mlp_layer.{unit}"
                    x = self._mlp_unit(x, module, ranged=unit < 3)
        return x

    def logits(self, images):
        """Returns the logits of each head for NCHW images."""
        pooled = self.features(images).mean((2, 3))
        return [
            pooled @ self._get(f"{head}.weight").T + self._get(f"{head}.bias")
            for head in ("fc", "fc_dist")
            if f"{head}.weight" in self.state
        ]
