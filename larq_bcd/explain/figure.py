"""One picture of what one or two networks make of an image."""

from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from larq_bcd.explain.attribution import effective_receptive_field, grad_cam
from larq_bcd.explain.thresholds import Thresholds, chosen_thresholds

_COLUMNS = ("image", "effective receptive field", "Grad-CAM", "thresholds")
_INCHES = 3.0


def draw(
    models: dict[str, tf.keras.Model],
    images: dict[str, np.ndarray],
    pixels: np.ndarray,
    layer: str | None = None,
) -> Figure:
    """Draws one row for each network: image, receptive field, Grad-CAM and thresholds.

    Args:
        models: networks by the name that the picture gives them.
        images: the same image as each network takes it, `(height, width, channels)`.
        pixels: the image to be shown, in [0, 1].
        layer: name of the layer to look at, by default the last whose output is an image.

    Returns:
        The figure.
    """
    size = (_INCHES * len(_COLUMNS), _INCHES * len(models) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(models), len(_COLUMNS), squeeze=False)
    for axes, title in zip(rows[0], _COLUMNS, strict=True):
        axes.set_title(title)
    for axes, (name, model) in zip(rows, models.items(), strict=True):
        image = images[name]
        logits = model(image[None], training=False).numpy()[0]
        for plain in axes[:3]:
            plain.set_xticks([])
            plain.set_yticks([])
        axes[0].set_ylabel(f"{name}\nclass {logits.argmax()}")
        axes[0].imshow(_picture(pixels), cmap="gray")
        field = effective_receptive_field(model, image[None], layer)
        axes[1].imshow(np.sqrt(field), cmap="magma", vmin=0, vmax=1)
        axes[2].imshow(_overlay(pixels, grad_cam(model, image, layer=layer)))
        _draw_thresholds(axes[3], chosen_thresholds(model, image[None]))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, the same bytes for the same figure."""
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _picture(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _overlay(pixels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    gray = np.repeat(pixels.mean(-1, keepdims=True), 3, axis=-1)
    colours = matplotlib.colormaps["jet"](evidence)[..., :3]
    return 0.5 * gray + 0.5 * colours


def _draw_thresholds(axes, thresholds: list[Thresholds]) -> None:
    """Each channel's chosen threshold over its static one, coloured by depth."""
    if not thresholds:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "static for every image", ha="center", va="center")
        return
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, len(thresholds)))
    for colour, found in zip(colours, thresholds, strict=True):
        axes.scatter(found.static, found.chosen[0], s=2, color=colour, linewidths=0)
    ends = [min(t.static.min() for t in thresholds), max(t.static.max() for t in thresholds)]
    axes.plot(ends, ends, color="black", linewidth=0.5)
    axes.set_xlabel("static threshold (dark: first layers)")
    axes.set_ylabel("threshold for this image")
