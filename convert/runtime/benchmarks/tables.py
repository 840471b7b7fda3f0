"""Tables that commands write into pages."""

from pathlib import Path


def write_table(path: Path, name: str, table: str) -> bool:
    """Replaces what stands between the marks of a name; returns whether the page has them."""
    begin, end = (f"<!-- {name}: {mark} -->" for mark in ("begin", "end"))
    content = path.read_text()
    if begin not in content:
        return False
    before, rest = content.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}")
    return True
