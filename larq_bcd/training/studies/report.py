"""What a study has come to, as files: a table, a picture and a page."""

import csv
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from larq_bcd._files import replacing
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.studies import comparison
from larq_bcd.training.studies.folder import StudyFolder
from larq_bcd.training.studies.plot import plot

PAGE, TABLE, PICTURE = "card.md", "results.csv", "results.png"


def write(folder: StudyFolder, source: str, settings: Sequence[str]) -> None:
    """Writes the table, the picture and the page into the folder of the study.

    Args:
        folder: of the study.
        source: file of the study, as it was named.
        settings: changes that were given beside it.
    """
    found = comparison.rows(folder)
    _write_csv(folder.path / TABLE, found, folder.study.seeds)
    plot(
        folder.path / PICTURE,
        folder.study.title,
        [(row.variant, row.accuracies, row.accuracy) for row in found],
        [(row.variant, row.difference) for row in found if row.variant != folder.study.base],
        folder.study.base,
    )
    with replacing(folder.path / PAGE) as temporary:
        temporary.write_text(_page(folder, source, settings))


def _write_csv(path: Path, found: Sequence[comparison.Row], seeds: Sequence[int]) -> None:
    """One line for each variant, with the accuracy of each seed; shares, not percent."""
    head = ["variant", "bops", "flops", "ops", "seeds"]
    for name in ("accuracy", "difference"):
        head += [name, f"{name}_low", f"{name}_high"]
    head += ["seconds", *(f"accuracy_seed{seed}" for seed in seeds)]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in found:
            done = [*row.results.values()]
            cost = done[0].cost if done else {}
            line: list = [row.variant, *(cost.get(key) for key in head[1:4]), len(done)]
            for interval in (row.accuracy, row.difference):
                ends = ("mean", "low", "high")
                line += [None if interval is None else getattr(interval, e) for e in ends]
            line.append(sum(result.seconds for result in done) if done else None)
            writer.writerow([*line, *(row.accuracies.get(seed) for seed in seeds)])


def _page(folder: StudyFolder, source: str, settings: Sequence[str]) -> str:
    study, done = folder.study, folder.results()
    parts = [f"# {study.title}", study.about.strip()]
    if any(recipe.smoke for recipe in folder.recipes.values()):
        parts.append("**A smoke run: its accuracies say nothing.**")
    if len(done) < len(folder.runs):
        parts.append(
            f"**Not complete: {len(done)} of {len(folder.runs)} trainings are done.** What "
            "follows is what they say so far."
        )
    if study.claims:
        parts += [
            "## The claims",
            "The difference of the accuracy of two variants, in points, is the mean over the "
            "seeds, each of which trained both, with its 95 % interval by Student's t. A claim "
            "whose interval includes zero is not seen at this size. Each interval is of one "
            "claim alone: of twenty, one is expected to miss.",
            _markdown(comparison.claims(folder)),
        ]
    parts += [
        "## The variants",
        "Accuracy on the validation split after the last epoch, with its 95 % interval, and "
        "the difference, in points, paired by seed. OPs are `BOPs / 64 + FLOPs` of one image.",
        _markdown(comparison.table(folder)),
        f"![accuracy and difference of each variant]({PICTURE})",
        "## The settings",
        *_settings(folder),
        "## The commands",
        "All of it, where it was not done before:",
        f"    {_command(folder, source, settings)}",
        f"One training of {study.base}; the others take their changes as `key=value` too:",
        f"    {_training_command(folder, source, settings)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _command(folder: StudyFolder, source: str, settings: Sequence[str]) -> str:
    words = ["larq-bcd", "study", source, *_shown(settings), "--output", str(folder.path)]
    return " ".join(map(shlex.quote, words))


def _training_command(folder: StudyFolder, source: str, settings: Sequence[str]) -> str:
    study = folder.study
    own = [f"{key}={_flow(value)}" for key, value in study.variants[study.base].items()]
    recipe = os.path.normpath(study.recipe_beside(Path(source)))
    words = ["larq-bcd", "train", recipe, *own, *_shown(settings), f"seed={study.seeds[0]}"]
    return " ".join(map(shlex.quote, words))


def _shown(settings: Sequence[str]) -> list[str]:
    """The settings without where the images are on this machine."""
    return [setting for setting in settings if not setting.startswith("data.data_dir=")]


def _settings(folder: StudyFolder) -> list[str]:
    study, recipe = folder.study, folder.recipes[folder.study.base]
    own = [
        (name, "; ".join(f"`{key}: {_flow(value)}`" for key, value in changes.items()))
        for name, changes in study.variants.items()
    ]
    results = [*folder.results().values()]
    lines = [
        f"Each training of {study.base} trains on `{recipe.data.train}` of "
        f"{recipe.data.name} and is validated on `{recipe.data.validation}`, in batches of "
        f"{recipe.batch_size}: {_stages(recipe)}. Seeds: {', '.join(map(str, study.seeds))}. "
        "The others change:",
        _markdown([("variant", "changes"), *own]),
    ]
    if results:
        seconds = sum(result.seconds for result in results) / len(results)
        versions = {"larq_bcd {}, TensorFlow {}".format(*each.versions) for each in results}
        lines.append(
            f"A training took {seconds / 60:.1f} min on average beside whatever else ran. "
            f"{'; '.join(sorted(versions))}."
        )
    return lines


def _stages(recipe: Recipe) -> str:
    return ", then ".join(
        f"{stage.name} (binary: {stage.binary}) of "
        + (f"{stage.epochs} epochs" if stage.epochs else f"{stage.iterations} iterations")
        for stage in recipe.stages
    )


def _flow(value: object) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("...\n").strip()


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    rule = ["---"] * len(cells[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))
