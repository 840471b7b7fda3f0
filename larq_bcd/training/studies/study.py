"""A study as data: a recipe, its variants and seeds, and what is claimed of them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, model_validator

from larq_bcd._names import did_you_mean
from larq_bcd.training.recipe import Recipe, Section
from larq_bcd.training.recipe_file import read_recipe
from larq_bcd.training.schema import SchemaError, load, validated

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# What no variant may set, and why.
_OF_THE_STUDY = {
    "seed": "seeds has those of every variant",
    "smoke": "give smoke=true to the command, for all variants",
    "smoke_settings": "they belong into the recipe",
}


class Claim(Section):
    """One variant is said to be better than another one."""

    claim: str
    """The sentence."""
    better: str
    """The variant of which it says so."""
    than: str
    """The other one."""


class Study(Section):
    """Variants of a recipe, each of which is trained with every seed."""

    title: str
    """Heading of the page."""
    about: str = ""
    """What a reader of the page has to know, in Markdown."""
    recipe: str
    """Recipe, or its folder, as seen from the folder of the study."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Seeds of the recipe."""
    base: str
    """The variant from which the differences of the others are taken."""
    variants: dict[str, Any]
    """What each changes in the recipe: `key: value`, where the key is a dotted path as on the
    command line of `larq-bcd train`."""
    claims: tuple[Claim, ...] = ()
    """What the study tests."""

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} are not all different")
        for name, settings in self.variants.items():
            _check_variant(name, settings)
        self._check_name("base", self.base)
        for index, claim in enumerate(self.claims):
            self._check_name(f"claims.{index}.better", claim.better)
            self._check_name(f"claims.{index}.than", claim.than)
            if claim.better == claim.than:
                raise ValueError(f"claims.{index}: better and than are both {claim.than!r}")
        return self

    def recipe_beside(self, path: Path) -> Path:
        """Returns the path of the recipe, from that of the study's file or folder."""
        folder = path if path.is_dir() else path.parent
        return folder / Path(self.recipe).expanduser()

    def _check_name(self, key: str, name: str) -> None:
        if name not in self.variants:
            known = list(self.variants)
            meant = did_you_mean(name, known, ", ") or f": use one of {', '.join(known)}"
            raise ValueError(f"{key}: there is no variant {name!r}{meant}")


def _check_variant(name: str, settings: Any) -> None:
    where = f"variants.{name}"
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{where}: the name is that of a folder too: use letters, digits, '.', '_' and '-'"
        )
    if not isinstance(settings, dict):
        raise ValueError(f"{where}: write its settings as key: value, or {{}}")
    for key in settings:
        if not isinstance(key, str):
            raise ValueError(f"{where}: the key {key!r} is not a path such as stages.*.epochs")
        if key in _OF_THE_STUDY:
            raise ValueError(f"{where}.{key}: leave it out, {_OF_THE_STUDY[key]}")


def read_study(
    path: str | Path, settings: Sequence[str] = ()
) -> tuple[Study, dict[str, Recipe]]:
    """Reads and checks a study and the recipe of each of its variants.

    Args:
        path: YAML file, or the folder of one named `study.yaml`.
        settings: `key=value` each, changes to the recipe of every variant, as
            `larq_bcd.training.read_recipe` takes them. They come after the variant's own.

    Returns:
        The study, and the recipes by the names of the variants, in their order. What
        `smoke=true` changes is done in them.

    Raises:
        SchemaError: if a file cannot be read or says what it must not.
    """
    path = Path(path)
    path = path / "study.yaml" if path.is_dir() else path
    study = validated(Study, load(path, "study"), path)
    for setting in settings:
        if setting.startswith("seed="):
            raise SchemaError(f"setting {setting}: {path} has the seeds: set them there.")
    source = study.recipe_beside(path)
    read_recipe(source, settings)
    return study, {
        name: _variant(path, name, source, settings, own)
        for name, own in study.variants.items()
    }


def _variant(
    path: Path, name: str, source: Path, settings: Sequence[str], own: dict[str, Any]
) -> Recipe:
    try:
        recipe = read_recipe(source, settings, own)
    except SchemaError as error:
        raise SchemaError(f"{path}: variants.{name}: {error}") from None
    if recipe.data.validation is None:
        raise SchemaError(
            f"{path}: variants.{name}: data.validation: a study compares the accuracy on it: "
            "name a split."
        )
    return recipe.model_copy(update={"smoke_settings": {}})
