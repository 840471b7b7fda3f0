"""What the variants of a study have come to, and whether its claims are seen."""

from dataclasses import dataclass

from larq_bcd.training.studies.folder import Result, StudyFolder
from larq_bcd.training.studies.statistics import Interval, mean_interval, paired_difference
from larq_bcd.training.studies.study import Claim


@dataclass(frozen=True)
class Row:
    """What a variant came to.

    Attributes:
        variant: its name.
        results: of the seeds that are done.
        accuracy: over these seeds.
        difference: from the base, over the seeds that both have; None of the base itself.
    """

    variant: str
    results: dict[int, Result]
    accuracy: Interval | None
    difference: Interval | None

    @property
    def accuracies(self) -> dict[int, float]:
        """The accuracy of each seed."""
        return _accuracies(self.results)


def rows(folder: StudyFolder) -> list[Row]:
    """Returns what the variants came to, in their order."""
    study = folder.study
    found: dict[str, dict[int, Result]] = {name: {} for name in folder.recipes}
    for run, result in folder.results().items():
        found[run.variant][run.seed] = result
    base = _accuracies(found[study.base])
    return [
        Row(
            name,
            results,
            mean_interval([*_accuracies(results).values()]),
            None if name == study.base else paired_difference(_accuracies(results), base),
        )
        for name, results in found.items()
    ]


def verdict(difference: Interval | None) -> str:
    """Says whether a claim is seen, from the difference that it claims to be above zero."""
    if difference is None or difference.low is None or difference.high is None:
        return "not known yet"
    if difference.low > 0:
        return "seen"
    if difference.high < 0:
        return "the opposite is seen"
    return "not seen at this size"


def table(folder: StudyFolder) -> list[tuple[str, ...]]:
    """Returns the table of the variants as texts, the head first."""
    study, count = folder.study, len(folder.study.seeds)
    head = ("variant", "OPs", "seeds", "accuracy", f"difference from {study.base}")
    lines: list[tuple[str, ...]] = [head]
    for row in rows(folder):
        cost = next((result.cost for result in row.results.values()), None)
        lines.append(
            (
                row.variant,
                "" if cost is None else f"{cost['ops']:,.0f}",
                f"{len(row.results)} of {count}",
                _percent(row.accuracy),
                "" if row.variant == study.base else _points(row.difference),
            )
        )
    return lines


def claims(folder: StudyFolder) -> list[tuple[str, ...]]:
    """Returns the table of the claims as texts, the head first."""
    by_name = {row.variant: row.accuracies for row in rows(folder)}
    count = len(folder.study.seeds)

    def line(claim: Claim) -> tuple[str, ...]:
        difference = paired_difference(by_name[claim.better], by_name[claim.than])
        seeds = 0 if difference is None else difference.count
        said = verdict(difference)
        return (
            claim.claim,
            f"{claim.better} − {claim.than}",
            f"{seeds} of {count}",
            _points(difference),
            said if seeds in (0, count) or said == "not known yet" else f"{said} so far",
        )

    head = ("claim", "compared", "seeds", "difference", "result")
    return [head, *map(line, folder.study.claims)]


def _accuracies(results: dict[int, Result]) -> dict[int, float]:
    return {seed: result.accuracy for seed, result in results.items()}


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return ""
    margin = "" if interval.margin is None else f" ± {100 * interval.margin:.2f}"
    return f"{100 * interval.mean:.2f}{margin} %"


def _points(interval: Interval | None) -> str:
    if interval is None:
        return ""
    margin = "" if interval.margin is None else f" ± {100 * interval.margin:.2f}"
    return f"{100 * interval.mean:+.2f}{margin}"
