"""How far a training has come, and what it leaves behind for people to read."""

import csv
from dataclasses import asdict, dataclass, field
from pathlib import Path

from larq_bcd._files import replacing


@dataclass
class StageProgress:
    """A stage so far.

    Attributes:
        name: of the stage.
        step: steps made.
        epochs: the metrics of each epoch, in order, with `epoch` and `step` counted from 1.
        seconds: time spent training, validation included.
    """

    name: str
    step: int = 0
    epochs: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def best(self, metric: str = "val_accuracy") -> dict | None:
        """Returns the first epoch with the highest value of a metric."""
        known = [epoch for epoch in self.epochs if metric in epoch]
        return max(known, key=lambda epoch: epoch[metric], default=None)


@dataclass
class Progress:
    """A training so far: it is part of every checkpoint.

    Attributes:
        data: digests of the sources that it reads, by what they are for.
        stages: those that are done, and the one that is being trained.
    """

    data: dict[str, str]
    stages: list[StageProgress] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps made in all stages."""
        return sum(stage.step for stage in self.stages)

    def to_json(self) -> dict:
        """Returns it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict) -> "Progress":
        """Makes it of plain data."""
        stages = [StageProgress(**stage) for stage in content["stages"]]
        return cls(content["data"], stages)


def write_csv(path: Path, stage: StageProgress) -> None:
    """Writes one line for each epoch of a stage."""
    columns = list(dict.fromkeys(key for epoch in stage.epochs for key in epoch))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(stage.epochs)


def summary(stage: StageProgress, **more) -> dict:
    """Returns what a stage came to, as plain data."""
    return {
        "stage": stage.name,
        "iterations": stage.step,
        "epochs": len(stage.epochs),
        "seconds": round(stage.seconds, 1),
        "last": stage.epochs[-1] if stage.epochs else None,
        "best": stage.best(),
        **more,
    }
