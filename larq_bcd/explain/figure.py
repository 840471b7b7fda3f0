"""One picture of what one or two networks make of an image."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from larq_bcd.explain.attribution import effective_receptive_field, grad_cam
from larq_bcd.explain.thresholds import Thresholds, chosen_thresholds

_COLUMNS = ("image", "effective receptive field", "Grad-CAM", "thresholds of the signs")
_INCHES = 2.6
_DEPTH = matplotlib.colormaps["viridis"]


@dataclass(frozen=True)
class Seen:
    """An image as a network takes it.

    Attributes:
        model: a functional classifier.
        image: float32 array `(height, width, channels)`, its input.
        pixels: the same part of the image in [0, 1], to be shown.
        class_names: names of its classes, None if they are not known.
    """

    model: tf.keras.Model
    image: np.ndarray
    pixels: np.ndarray
    class_names: Sequence[str] | None = None


def draw(
    seen: dict[str, Seen], layer: str | None = None, labels: Sequence[str] | None = None
) -> Figure:
    """Draws one row for each network: image, receptive field, Grad-CAM and thresholds.

    Args:
        seen: the image as each network takes it, by the name that the picture gives them.
        layer: name of the layer to look at, by default the last whose output is an image.
        labels: names of the classes, by default each network's own, else their numbers.

    Returns:
        The figure.
    """
    size = (_INCHES * len(_COLUMNS) + 1.0, _INCHES * len(seen) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(seen), len(_COLUMNS), squeeze=False)
    for axes, title in zip(rows[0], _COLUMNS, strict=True):
        axes.set_title(title)
    for axes, (name, one) in zip(rows, seen.items(), strict=True):
        for plain in axes[:3]:
            plain.set_xticks([])
            plain.set_yticks([])
        axes[0].set_ylabel(f"{name}\n{_answer(one, labels or one.class_names)}")
        axes[0].imshow(_picture(one.pixels), cmap="gray", vmin=0, vmax=1)
        field = effective_receptive_field(one.model, one.image[None], layer)
        heat = axes[1].imshow(np.sqrt(field), cmap="magma", vmin=0, vmax=1)
        bar = figure.colorbar(heat, ax=axes[1], shrink=0.8, ticks=[0, 1])
        bar.set_label("root of the gradient", labelpad=-4)
        axes[2].imshow(_overlay(one.pixels, grad_cam(one.model, one.image, layer=layer)))
        _draw_thresholds(figure, axes[3], chosen_thresholds(one.model, one.image[None]))
    return figure


def encode(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def _answer(one: Seen, labels: Sequence[str] | None) -> str:
    """The class that a network chooses, and its probability."""
    outputs = one.model(one.image[None], training=False).numpy()[0]
    chosen = int(outputs.argmax())
    is_distribution = (outputs >= 0).all() and abs(outputs.sum() - 1) < 1e-3
    probabilities = outputs if is_distribution else tf.nn.softmax(outputs).numpy()
    name = f"class {chosen}" if labels is None else labels[chosen]
    return f"{name}, {probabilities[chosen]:.0%}"


def _picture(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _overlay(pixels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    gray = np.repeat(pixels.mean(-1, keepdims=True), 3, axis=-1)
    colors = matplotlib.colormaps["jet"](evidence)[..., :3]
    return 0.5 * gray + 0.5 * colors


def _draw_thresholds(figure: Figure, axes, thresholds: list[Thresholds]) -> None:
    """Each channel's chosen threshold over its static one, colored by depth."""
    if not thresholds:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "the same for every image", ha="center", va="center")
        return
    depth = Normalize(1, len(thresholds))
    for index, found in enumerate(thresholds, 1):
        color = _DEPTH(depth(index))
        axes.scatter(found.static, found.chosen[0], s=3, color=color, linewidths=0)
    ends = [min(t.static.min() for t in thresholds), max(t.static.max() for t in thresholds)]
    axes.plot(ends, ends, color="black", linewidth=0.8, label="static = chosen")
    axes.legend(loc="upper left", frameon=False, fontsize="small", handlelength=1)
    axes.set_box_aspect(1)
    axes.set_xlabel("static")
    axes.set_ylabel("chosen for this image")
    bar = figure.colorbar(
        ScalarMappable(depth, _DEPTH), ax=axes, shrink=0.8, ticks=[1, len(thresholds)]
    )
    bar.set_label("layer", labelpad=-4)
