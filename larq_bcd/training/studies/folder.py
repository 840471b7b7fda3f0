"""The folder of a study: what is done, what is begun, and what is left."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from larq_bcd._files import FileError, replacing
from larq_bcd.errors import UserError
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.recipe_file import changed_keys, write_recipe
from larq_bcd.training.studies.study import Study


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Attributes:
        accuracy: on the validation split after the last epoch, in [0, 1].
        seconds: of all its stages.
        cost: of one image: `bops`, `flops` and `ops`.
        versions: of larq_bcd and of TensorFlow.
    """

    accuracy: float
    seconds: float
    cost: dict[str, float]
    versions: tuple[str, str]


@dataclass(frozen=True)
class Run:
    """A training of the study.

    Attributes:
        variant: its name.
        seed: its seed.
        folder: of the training; its parent has the recipe of the variant.
    """

    variant: str
    seed: int
    folder: Path

    @property
    def step(self) -> int:
        """Steps of the newest checkpoint."""
        names = [path.name for path in (self.folder / "checkpoints").glob("step-*")]
        return int(max(names).removeprefix("step-")) if names else 0

    def result(self) -> Result | None:
        """Returns what it came to, or None if it is not done.

        Raises:
            UserError: if its file of results is damaged.
        """
        path = self.folder / "results.json"
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            return Result(
                content["stages"][-1]["last"]["val_accuracy"],
                sum(stage["seconds"] for stage in content["stages"]),
                content["cost"],
                (content["larq_bcd"], content["tensorflow"]),
            )
        except (ValueError, LookupError, TypeError):
            raise UserError(
                f"{path} is damaged: remove it, and the same command makes it again."
            ) from None


class StudyFolder:
    """A folder with the trainings of a study: `VARIANT/recipe.yaml` and `VARIANT/seed0/`.

    Args:
        path: the folder.
        study: the study.
        recipes: those of its variants.
    """

    def __init__(self, path: Path, study: Study, recipes: Mapping[str, Recipe]):
        self.path = path
        self.study = study
        self.recipes = recipes
        # The first seed of all variants comes first: they can be compared early.
        self.runs = [
            Run(name, seed, path / name / f"seed{seed}")
            for seed in study.seeds
            for name in recipes
        ]

    def check(self) -> None:
        """Refuses a folder of something else.

        Variants and seeds may have been added since.

        Raises:
            UserError: if it holds a training, or trainings that are not of this study.
        """
        remedy = "give another --output, or remove the folder to start again."
        if (self.path / "recipe.yaml").exists():
            raise UserError(f"{self.path} holds a training, and no study: {remedy}")
        for path in sorted(self.path.glob("*/recipe.yaml")):
            name = path.parent.name
            if name not in self.recipes:
                raise UserError(
                    f"{self.path} holds another study, with a variant {name!r}: {remedy}"
                )
            if changed := changed_keys(path.read_text(), self.recipes[name]):
                raise UserError(
                    f"{self.path} holds another study, whose variant {name!r} differs in "
                    f"{', '.join(changed)}: {remedy}"
                )
        known = {run.folder.name for run in self.runs}
        for folder in sorted(self.path.glob("*/seed*/")):
            if folder.name not in known:
                raise UserError(
                    f"{self.path} holds another study, which has {folder.name} of "
                    f"{folder.parent.name!r}: {remedy}"
                )

    @contextlib.contextmanager
    def claimed(self) -> Iterator[int]:
        """Keeps the folder for this process, with the recipes in it.

        Yields:
            A file descriptor: as long as any process has it open, the folder is not free.

        Raises:
            UserError: if it is not free, or cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written to ({error.strerror}): give another --output."
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.path} is in use by the same command, or by a training that it has "
                    "left behind: wait for it, or end it."
                ) from None
            for name, recipe in self.recipes.items():
                with replacing(self.path / name / "recipe.yaml") as temporary:
                    temporary.write_text(write_recipe(recipe))
            yield file.fileno()

    def results(self) -> dict[Run, Result]:
        """Returns what the trainings that are done came to."""
        found = ((run, run.result()) for run in self.runs)
        return {run: result for run, result in found if result is not None}

    def seconds_left(self) -> float | None:
        """Returns what is left if a training takes as long as those before; None at first."""
        done = self.results()
        if not done:
            return None
        mean = sum(result.seconds for result in done.values()) / len(done)
        return mean * (len(self.runs) - len(done))
