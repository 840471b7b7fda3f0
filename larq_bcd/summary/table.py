"""Writes the documentation's table of networks anew, every figure in it computed.

python -m larq_bcd.summary.table docs/networks/index.md
"""

import sys
from pathlib import Path

from larq_bcd.models import ModelInfo, get_model, list_models, model_info
from larq_bcd.summary.costs import Cost
from larq_bcd.summary.network import cost

_HEADER = (
    "network",
    "parameters",
    "of them binary",
    "memory",
    "BOPs",
    "FLOPs",
    "OPs",
    "top-1 in the paper",
    "source",
)
START, END = "<!-- networks -->", "<!-- /networks -->"


def row(info: ModelInfo, counted: Cost) -> str:
    """The line of a network."""
    top1 = "" if info.top1 is None else f"{info.top1} %"
    cells = [
        f"`{info.name}`",
        f"{counted.parameters:,}",
        f"{counted.binary_parameters:,}",
        f"{counted.memory / 1e6:.2f} MB",
        f"{counted.bops / 1e9:.2f}e9",
        f"{counted.flops / 1e8:.2f}e8",
        f"{counted.ops / 1e8:.2f}e8",
        top1,
        f"{info.paper.name}{' (R)' if info.reconstruction else ''}",
    ]
    return _line(cells)


def _line(cells) -> str:
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """The table of all networks, each built at its own size."""
    head = [_line(_HEADER), _line(["---"] * len(_HEADER))]
    return "\n".join(
        head + [row(model_info(name), cost(get_model(name))) for name in list_models()]
    )


def main(path: Path) -> None:
    """Replaces the table between its marks in a file."""
    before, _, rest = path.read_text().partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
