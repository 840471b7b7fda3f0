"""What a classifier gets right on a split."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larq_bcd._files import replacing
from larq_bcd.errors import UserError

TOP = 5


@dataclass(frozen=True)
class Evaluation:
    """The results of a classifier on labeled images.

    Attributes:
        confusion: int64 `(classes, classes)`, images by label and by class that was found.
        in_top: images whose label is among the five classes of the largest logits.
        class_names: names of the classes.
    """

    confusion: np.ndarray
    in_top: int
    class_names: tuple[str, ...]

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share of the images whose largest logit is the label's."""
        return float(np.trace(self.confusion) / self.images)

    @property
    def top5(self) -> float | None:
        """Share of the images whose label is among the five largest; None for 5 classes."""
        return self.in_top / self.images if len(self.class_names) > TOP else None

    @property
    def per_class(self) -> np.ndarray:
        """Share of each class's images that are found, NaN for a class without images."""
        totals = self.confusion.sum(axis=1)
        accuracy = np.full(len(totals), np.nan)
        np.divide(self.confusion.diagonal(), totals, out=accuracy, where=totals > 0)
        return accuracy

    def as_json(self) -> dict:
        """The results as plain data."""
        totals = self.confusion.sum(axis=1)
        rows = zip(self.class_names, totals, self.per_class, strict=True)
        return {
            "images": self.images,
            "top1": self.top1,
            "top5": self.top5,
            "per_class": [
                {
                    "class": name,
                    "images": int(total),
                    "accuracy": None if np.isnan(accuracy) else float(accuracy),
                }
                for name, total, accuracy in rows
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    predict: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    class_names: tuple[str, ...],
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Counts what a classifier gets right.

    Of equal logits the first counts as the larger, as in `argmax`.

    Args:
        predict: from images `(batch, height, width, channels)` to logits
            `(batch, classes)`.
        batches: images and integer labels.
        class_names: names of the classes.
        progress: called with the number of images of each batch; None for nothing.

    Raises:
        UserError: if the logits are not those of these classes or no numbers, or if there
            are no images.
    """
    classes = len(class_names)
    confusion = np.zeros((classes, classes), np.int64)
    in_top = 0
    for images, labels in batches:
        logits = np.asarray(predict(np.asarray(images)), np.float32)
        labels = np.asarray(labels)
        if logits.shape != (len(labels), classes):
            raise UserError(
                f"the model gives an output of shape {logits.shape} for {len(labels)} images, "
                f"but the data have {classes} classes: choose the data it was trained for."
            )
        if np.isnan(logits).any():
            raise UserError("the model gives logits that are not numbers (NaN).")
        np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
        own = logits[np.arange(len(labels)), labels][:, None]
        earlier = np.arange(classes) < labels[:, None]
        ahead = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
        in_top += int((ahead < TOP).sum())
        if progress is not None:
            progress(len(labels))
    if not confusion.any():
        raise UserError("there are no images to evaluate.")
    return Evaluation(confusion, in_top, class_names)


def plot_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draws the confusion matrix, each row as shares of its class, to a picture."""
    from matplotlib.figure import Figure

    classes = len(evaluation.class_names)
    named = classes <= 60
    side = 3 + 0.25 * classes if named else 10
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    totals = np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    shares = evaluation.confusion / totals
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(picture, label="share of the images of the class", shrink=0.8)
    axes.set_xlabel("class found")
    axes.set_ylabel("class")
    axes.set_title(f"top-1 {evaluation.top1:.2%} of {evaluation.images:,} images")
    if named:
        axes.set_xticks(range(classes), evaluation.class_names, rotation=90)
        axes.set_yticks(range(classes), evaluation.class_names)
    if classes <= 20:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=color)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=120)
