"""Studies: variants of a recipe, trained with several seeds and compared with intervals."""

from larq_bcd.training.studies.folder import StudyFolder
from larq_bcd.training.studies.study import Study, read_study

__all__ = ["Study", "StudyFolder", "read_study"]


def __dir__() -> list[str]:
    return __all__
