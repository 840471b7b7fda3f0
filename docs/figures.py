"""Draws a block of a network as the code builds it, as an SVG that has the colors of the page.

A layer is a box with its class, its name within the block and what it returns. Rows follow the
data; the first branch of a sum is in the first lane, the others are in those beside it.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

import tensorflow as tf

from larq_bcd.layers import QuantShiftMLP
from larq_bcd.models import get_model

_CHARACTER, _LINE = 6.7, 15  # width and height of a character of class and name, in pixels
_PADDING, _GAP, _BEND = 8, 26, 8
_UNIT = re.compile(r"_(threshold|conv|bn|repeat|average|add|rprelu)$")


@dataclass
class Node:
    """A box, or without text a line that passes by.

    Attributes:
        texts: its lines.
        kind: `"binary"` or `"real"` of a product, `"input"`, or nothing.
        sources: names of those before it.
        row: that it stands in, from 0.
        lane: likewise.
    """

    texts: Sequence[str] = ()
    kind: str = ""
    sources: list[str] = field(default_factory=list)
    row: int = 0
    lane: int = 0

    @property
    def width(self) -> float:
        return 2 * _PADDING + _CHARACTER * max(map(len, self.texts), default=0)

    @property
    def height(self) -> float:
        return _LINE * len(self.texts) + 10


@functools.cache
def _network(name: str) -> tf.keras.Model:
    return get_model(name)


def block(network: str, prefix: str, by_units: bool = False) -> str:
    """Draws the layers of a network whose names begin with a prefix.

    Args:
        network: its name; it is built at its own size.
        prefix: of the names.
        by_units: whether a threshold, a product, what follows it and the shortcut around are
            one box.

    Returns:
        The SVG.
    """
    nodes = _graph(_network(network), prefix)
    if by_units:
        nodes = _of_units(nodes)
    _arrange(nodes)
    return _svg(nodes, f"{prefix.strip('_')} of {network}")


def _graph(model: tf.keras.Model, prefix: str) -> dict[str, Node]:
    """The boxes by name, in the order of the data; the first is the input."""
    layers = [layer for layer in model.layers if layer.name.startswith(prefix)]
    if not layers:
        raise ValueError(f"{model.name} has no layer whose name begins with {prefix!r}.")
    inside, nodes = {layer.name for layer in layers}, {"": Node()}
    for layer in layers:
        name = layer.name.removeprefix(prefix)
        sources = []
        for tensor in tf.nest.flatten(layer.input):
            source = tensor._keras_history.layer.name
            sources.append(source.removeprefix(prefix) if source in inside else "")
            if source not in inside:
                nodes[""] = Node([_shape(tensor.shape)], "input")
        if isinstance(layer, QuantShiftMLP):
            nodes |= _of_shift_mlp(layer, name, sources)
        else:
            own = f"{name} {_shape(layer.output_shape)}".strip()
            nodes[name] = Node([_title(layer), own], _kind(layer), sources)
    return nodes


def _of_shift_mlp(layer: QuantShiftMLP, name: str, sources: list[str]) -> dict[str, Node]:
    """The parts of the layer, whose sum has its name."""
    shape, nodes = _shape(layer.output_shape), {}
    for shift, product in (
        (layer.long_shift, layer.long_range),
        (layer.short_shift, layer.short_range),
        (None, layer.pointwise),
    ):
        before = sources
        if shift is not None:
            nodes[shift.name] = Node([f"SpatialShift {shift.shift}"], "", sources)
            before = [shift.name]
        texts = [_title(product), product.name]
        nodes[product.name] = Node(texts, "binary", before)
    summed = ["long_range", "short_range", "pointwise"]
    return nodes | {name: Node(["+", f"{name} {shape}"], "", summed)}


def _title(layer: tf.keras.layers.Layer) -> str:
    name, config = type(layer).__name__, layer.get_config()
    sizes = config.get("kernel_size") or config.get("pool_size")
    if sizes is None or (config.get("filters") is None and "Depthwise" not in name):
        return name
    strides = config["strides"][0]
    return f"{name} {sizes[0]}×{sizes[1]}{f', stride {strides}' if strides > 1 else ''}"


def _kind(layer: tf.keras.layers.Layer) -> str:
    if not hasattr(layer, "kernel_size"):
        return "binary" if getattr(layer, "input_quantizer", None) else ""
    return "binary" if getattr(layer, "kernel_quantizer", None) else "real"


def _shape(shape: Sequence[int | None]) -> str:
    return "×".join(map(str, tuple(shape)[1:]))


def _of_units(nodes: dict[str, Node]) -> dict[str, Node]:
    """One box for the layers of a unit, and all others."""
    unit_of = {name: _UNIT.sub("", name) for name in nodes}
    made: dict[str, Node] = {}
    for unit, names in itertools.groupby(sorted(nodes, key=unit_of.get), unit_of.get):
        members = list(names)
        if len(members) == 1:
            made[members[0]] = nodes[members[0]]
            continue
        last = max(members, key=list(nodes).index)
        shape = nodes[last].texts[-1].split()[-1]
        kind = max(nodes[name].kind for name in members if nodes[name].kind != "real")
        made[last] = Node(["unit", f"{unit} {shape}"], kind)
        made[last].sources = [
            source
            for name in members
            for source in nodes[name].sources
            if unit_of[source] != unit
        ]
    ordered = sorted(made, key=list(nodes).index)
    for name in ordered:
        made[name].sources = list(dict.fromkeys(made[name].sources))
    return {name: made[name] for name in ordered}


def _arrange(nodes: dict[str, Node]) -> None:
    """Gives every box its row and lane, and lines that pass by a lane of their own."""
    for node in nodes.values():
        node.row = max((nodes[source].row + 1 for source in node.sources), default=0)
    placed = _main(nodes)
    taken: list[set[int]] = [set()]
    for branch, source, target in _branches(nodes, placed):
        rows = set(range(nodes[source].row + 1, nodes[target].row))
        lane = next(i for i in itertools.count(1) if i >= len(taken) or not rows & taken[i])
        taken += [set() for _ in range(lane + 1 - len(taken))]
        taken[lane] |= rows
        for name in branch:
            nodes[name].lane = lane
        if not branch:
            by = f"{source} to {target}"
            nodes[by] = Node(sources=[source], row=nodes[source].row + 1, lane=lane)
            nodes[target].sources.remove(source)
            nodes[target].sources.append(by)


def _main(nodes: dict[str, Node]) -> list[str]:
    """The names along the first branches, from the last box to the input."""
    way = [max(nodes, key=lambda name: nodes[name].row)]
    while nodes[way[-1]].sources:
        way.append(nodes[way[-1]].sources[0])
    return way


def _branches(nodes: dict[str, Node], main: list[str]) -> Iterator[tuple[list[str], str, str]]:
    """The boxes beside the main way, where they leave it, and the box they lead to.

    A branch without boxes is a line that passes by others.
    """
    placed, straight = set(main), set(zip(main[1:], main, strict=False))
    for target in list(nodes):
        for source in list(nodes[target].sources):
            branch, start = [], source
            while start not in placed:
                branch.append(start)
                placed.add(start)
                start = nodes[start].sources[0]
            passes = nodes[source].lane == nodes[target].lane == 0
            passes = passes and (source, target) not in straight
            if branch or (passes and nodes[target].row > nodes[source].row + 1):
                yield branch, start, target


def _svg(nodes: dict[str, Node], title: str) -> str:
    rows = range(1 + max(node.row for node in nodes.values()))
    lanes = range(1 + max(node.lane for node in nodes.values()))
    heights = [max(_heights(nodes.values(), row)) for row in rows]
    widths = [max(node.width for node in nodes.values() if node.lane == lane) for lane in lanes]
    tops = [4 + sum(heights[:row]) + _GAP * row for row in rows]
    centers = [4 + sum(widths[:lane]) + 12 * lane + widths[lane] / 2 for lane in lanes]
    width, height = centers[-1] + widths[-1] / 2 + 4, tops[-1] + heights[-1] + _GAP
    parts = [
        # at least so wide that its texts are readable; a narrower screen scrolls it
        f'<div class="figure"><svg class="block" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" style="min-width: {0.75 * width:.0f}px" '
        f'role="img" aria-label="{escape(title)}">'
    ]
    bottoms = [top + heights[row] for row, top in enumerate(tops)]
    for node in nodes.values():
        if not node.texts:
            continue
        for name in node.sources:
            source = nodes[name]
            parts += _line(source, node, nodes, tops, bottoms, centers)
    last = max(nodes.values(), key=lambda node: node.row)
    x = centers[last.lane]
    parts.append(_arrow([(x, bottoms[last.row]), (x, height)]))
    for node in nodes.values():
        parts += _box(node, centers[node.lane], tops[node.row], heights[node.row])
    return "\n".join([*parts, "</svg></div>"])


def _heights(nodes: Iterable[Node], row: int) -> list[float]:
    return [node.height for node in nodes if node.row == row]


def _line(source, node, nodes, tops, bottoms, centers) -> Iterator[str]:
    """From a box, or past a line from the box before it, to another one."""
    passes = not source.texts
    start = nodes[source.sources[0]] if passes else source
    x, y, end = centers[start.lane], bottoms[start.row], centers[node.lane]
    lane = source.lane if passes else max(start.lane, node.lane)
    points = [(x, y)]
    if centers[lane] != x:  # over to the lane, below the box that it comes from
        points += [(x, y + _BEND), (centers[lane], y + _BEND)]
    if centers[lane] != end:  # and back, above the box that it goes to
        bend = tops[node.row] - _BEND - 6
        points += [(centers[lane], bend), (end, bend)]
    yield _arrow([*points, (end, tops[node.row])])


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    way = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    x, y = points[-1]
    head = f"{x - 4:.0f},{y - 6:.0f} {x + 4:.0f},{y - 6:.0f} {x:.0f},{y:.0f}"
    return f'<polyline points="{way}"/><polygon points="{head}"/>'


def _box(node: Node, x: float, top: float, height: float) -> Iterator[str]:
    if not node.texts:
        return
    if node.kind != "input":
        yield (
            f'<rect class="{node.kind or "other"}" x="{x - node.width / 2:.0f}" y="{top:.0f}" '
            f'width="{node.width:.0f}" height="{height:.0f}" rx="3"/>'
        )
    first = top + (height - _LINE * len(node.texts)) / 2 + 11
    for i, text in enumerate(node.texts):
        kind = ' class="name"' if i else ""
        yield f'<text{kind} x="{x:.0f}" y="{first + _LINE * i:.0f}">{escape(text)}</text>'
