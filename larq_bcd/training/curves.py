"""The curves of a training as a picture."""

from pathlib import Path

from larq_bcd._files import replacing
from larq_bcd.training.progress import Progress

_PANELS = {
    "loss": ("loss", "val_loss"),
    "accuracy": ("accuracy", "val_accuracy"),
    "learning rate": ("learning_rate",),
    "weights that flip their sign in a step": ("flip_ratio",),
}


def plot(path: Path, progress: Progress, title: str) -> None:
    """Draws loss, accuracy, learning rate and flipped weights of each epoch of all stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for panel, (name, keys) in zip(figure.subplots(2, 2).flat, _PANELS.items(), strict=True):
        panel.set_title(name, fontsize="medium")
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        for key in keys:
            _draw(panel, progress, key)
        _mark_stages(panel, progress)
        if panel.get_legend_handles_labels()[1] and len(keys) > 1:
            panel.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)


def _draw(panel, progress: Progress, key: str) -> None:
    """One line for each stage, of one color, named once."""
    validation = key.startswith("val_")
    first, named = 0, False
    for stage in progress.stages:
        points = [(first + epoch["step"], epoch[key]) for epoch in stage.epochs if key in epoch]
        first += stage.step
        if points:
            panel.plot(
                *zip(*points, strict=True),
                color="C1" if validation else "C0",
                marker="." if len(points) < 40 else "",
                label=None if named else ("validation" if validation else "training"),
            )
            named = True


def _mark_stages(panel, progress: Progress) -> None:
    panel.set_xlim(0, max(progress.step, 1))
    first = 0
    for stage in progress.stages:
        if first:
            panel.axvline(first, color="0.6", linewidth=0.8, linestyle="--")
        panel.text(
            first + stage.step / 2,
            1.0,
            stage.name,
            transform=panel.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize="small",
            color="0.4",
            # Not to be counted when the panels are arranged.
            in_layout=False,
        )
        first += stage.step
