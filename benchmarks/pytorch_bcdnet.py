"""BCDNet-A in plain PyTorch, as its authors' code trains it: the equations and autograd."""

import torch
from torch import nn
from torch.nn import functional


def binary_activation(x):
    """Sign, with the gradient of a piecewise polynomial (BCDNet, equation 9)."""
    below = torch.where(x < -1, -torch.ones_like(x), x * x + 2 * x)
    above = torch.where(x < 1, -x * x + 2 * x, torch.ones_like(x))
    polynomial = torch.where(x < 0, below, above)
    return torch.sign(x).detach() - polynomial.detach() + polynomial


class BinaryConv(nn.Module):
    """BiConv (BCDNet, equation 1)."""

    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__()
        self.stride, self.padding = stride, size // 2
        self.weight = nn.Parameter(torch.rand((outputs, inputs, size, size)) * 0.001)

    def forward(self, x):
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        clipped = self.weight.clamp(-1, 1)
        kernel = (scale * torch.sign(self.weight)).detach() - clipped.detach() + clipped
        return functional.conv2d(x, kernel, stride=self.stride, padding=self.padding)


class Bias(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.bias


def rprelu(channels):
    return nn.Sequential(Bias(channels), nn.PReLU(channels), Bias(channels))


class ReActBlock(nn.Module):
    def __init__(self, channels, doubles, stride):
        super().__init__()
        self.threshold1 = Bias(channels)
        self.spatial = BinaryConv(channels, channels, 3, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.shortcut = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
        self.activation1 = rprelu(channels)
        self.threshold2 = Bias(channels)
        self.pointwise = nn.ModuleList(
            BinaryConv(channels, channels, 1) for _ in range(1 + doubles)
        )
        self.norm2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(1 + doubles))
        self.activation2 = rprelu(channels * (1 + doubles))

    def forward(self, x):
        o = self.norm1(self.spatial(binary_activation(self.threshold1(x)))) + self.shortcut(x)
        o = self.activation1(o)
        a = binary_activation(self.threshold2(o))
        halves = [
            norm(conv(a)) + o for conv, norm in zip(self.pointwise, self.norm2, strict=True)
        ]
        return self.activation2(torch.cat(halves, dim=1) if len(halves) > 1 else halves[0])


def shift(x, rows, columns):
    down, up, right, left = x.chunk(4, dim=1)
    rolled = [down.roll(rows, 2), up.roll(-rows, 2), right.roll(columns, 3)]
    return torch.cat([*rolled, left.roll(-columns, 3)], dim=1)


class MLPUnit(nn.Module):
    """BiMLP (BCDNet, equation 15), or with one branch the Point unit."""

    def __init__(self, channels, branches):
        super().__init__()
        self.threshold = Bias(channels)
        self.branches = nn.ModuleList(
            BinaryConv(channels, channels, 1) for _ in range(branches)
        )
        self.norm = nn.BatchNorm2d(channels)
        self.activation = rprelu(channels)

    def forward(self, x):
        a = binary_activation(self.threshold(x))
        distances = [(0, 0), (1, 1), (a.shape[2] // 2, a.shape[3] // 2)]
        y = self.branches[0](a)
        for branch, distance in zip(self.branches[1:], distances[1:], strict=False):
            y = y + branch(shift(a, *distance))
        return self.activation(self.norm(y) + x)


class BCDNetA(nn.Module):
    """Returns the logits of both heads."""

    def __init__(self, classes=1000, width=1.0, strides=(2, 1, 2, 2, 2, 2), mlp_blocks=3):
        super().__init__()
        channels = round(32 * width)
        stem = nn.Conv2d(3, channels, 3, strides[0], 1, bias=False)
        layers = [stem, nn.BatchNorm2d(channels)]
        for stride, extra in zip(strides[1:], (0, 1, 1, 3, 0), strict=True):
            layers.append(ReActBlock(channels, True, stride))
            channels *= 2
            layers += [ReActBlock(channels, False, 1) for _ in range(extra)]
        for _ in range(mlp_blocks):
            layers += [MLPUnit(channels, branches) for branches in (3, 3, 3, 1)]
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(channels, classes) for _ in range(2))

    def forward(self, x):
        pooled = self.features(x).mean((2, 3))
        return [head(pooled) for head in self.heads]
