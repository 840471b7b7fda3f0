"""What a network costs, by the convention of the papers."""

from larq_bcd.summary.network import Cost, LayerCost, Summary, cost, summarize

__all__ = ["Cost", "LayerCost", "Summary", "cost", "summarize"]


def __dir__() -> list[str]:
    return __all__
