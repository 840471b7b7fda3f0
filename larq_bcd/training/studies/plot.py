"""The accuracies of a study as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from larq_bcd._files import replacing
from larq_bcd.training.studies.statistics import Interval


def plot(
    path: Path,
    title: str,
    accuracies: Sequence[tuple[str, Mapping[int, float], Interval | None]],
    differences: Sequence[tuple[str, Interval | None]],
    base: str,
) -> None:
    """Draws the accuracy of each variant, and its difference from the base, with intervals.

    Args:
        path: PNG file.
        title: heading.
        accuracies: name, accuracy of each seed and their mean, of each variant.
        differences: name and difference of each variant but the base.
        base: its name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.5 + 0.4 * len(accuracies)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, sharey=True)
    places = {name: -index for index, (name, _, _) in enumerate(accuracies)}
    for name, seeds, mean in accuracies:
        values = [100 * value for value in seeds.values()]
        left.plot(values, [places[name]] * len(values), "o", color="0.6", markersize=4)
        _draw(left, places[name], mean)
    for name, difference in differences:
        _draw(right, places[name], difference)
    right.axvline(0, color="0.6", linewidth=0.8, linestyle="--")
    left.set_yticks([*places.values()], [*places])
    left.set_xlabel("accuracy in %, of each seed and their mean")
    right.set_xlabel(f"difference from {base} in points, paired by seed")
    for panel in (left, right):
        panel.grid(alpha=0.3, axis="x")
        panel.set_ylim(0.5 - len(accuracies), 0.5)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)


def _draw(panel, place: int, interval: Interval | None) -> None:
    if interval is None:
        return
    margin = None if interval.margin is None else 100 * interval.margin
    panel.errorbar(
        100 * interval.mean, place, xerr=margin, fmt="D", color="C0", markersize=5, capsize=4
    )
