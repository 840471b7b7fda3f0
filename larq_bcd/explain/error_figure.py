"""The binarization errors of one or two networks as a picture and as numbers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.figure import Figure

from larq_bcd.explain.binarization import BinarizationError

_INCHES = (9.0, 3.2)
Errors = Mapping[str, Sequence[BinarizationError]]


def means(errors: Sequence[BinarizationError]) -> dict[str, float]:
    """Returns the mean error of each kind of product, in the order of the network."""
    kinds = dict.fromkeys(error.kind for error in errors)
    return {
        kind: float(np.mean([one.error for one in errors if one.kind == kind]))
        for kind in kinds
    }


def draw(errors: Errors) -> Figure:
    """Draws a panel for each network: the error of each product, colored by kind.

    Args:
        errors: those of each network, by the name that the picture gives it.
    """
    width, height = _INCHES
    figure = Figure(figsize=(width, height * len(errors) + 0.4), layout="constrained")
    panels = figure.subplots(len(errors), squeeze=False, sharey=True)[:, 0]
    kinds = list(dict.fromkeys(kind for some in errors.values() for kind in means(some)))
    for panel, (name, some) in zip(panels, errors.items(), strict=True):
        for kind, mean in means(some).items():
            points = [(i, one.error) for i, one in enumerate(some, 1) if one.kind == kind]
            panel.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=4,
                color=f"C{kinds.index(kind)}",
                label=f"{kind}, mean {mean:.3f}",
            )
        panel.set_title(name)
        panel.set_ylabel("binarization error")
        panel.grid(alpha=0.3)
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    panels[-1].set_xlabel("binary products in the order of the network")
    return figure


def as_plain(errors: Errors) -> dict:
    """Returns the errors and their means as plain data, for JSON."""
    return {
        name: {"mean": means(some), "errors": [asdict(one) for one in some]}
        for name, some in errors.items()
    }


def as_csv(errors: Errors) -> str:
    """Returns a line for each product: network, layer, kind, error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("network", "layer", "kind", "error"))
    for name, some in errors.items():
        writer.writerows((name, one.layer, one.kind, one.error) for one in some)
    return text.getvalue()
