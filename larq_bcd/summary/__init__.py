"""What a network costs, by the convention of the papers."""

from larq_bcd.summary.costs import Cost, LayerCost
from larq_bcd.summary.network import cost, summarize
from larq_bcd.summary.render import Summary

__all__ = ["Cost", "LayerCost", "Summary", "cost", "summarize"]


def __dir__() -> list[str]:
    return __all__
