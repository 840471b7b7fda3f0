"""The report of a conversion as one page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from larq_bcd.convert.compare import Comparison
from larq_bcd.convert.profile import Profile
from larq_bcd.convert.report import ConversionReport, describe_check, size_in_words

_STYLE = """
:root { --ink: #1d2733; --faint: #66727f; --line: #d9dfe5; --blue: #2f6fb3; --bad: #b3362f; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p, .note { color: var(--faint); margin: .3rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, auto)); gap: 1rem; }
dt { color: var(--faint); } dd { margin: 0; font-size: 1.2rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1.4rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--faint); font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
.bar { width: 45%; } .bar div { background: var(--blue); height: .9rem; min-width: 1px; }
.bad { color: var(--bad); font-weight: 600; }
pre { font: inherit; white-space: pre-wrap; }
svg { max-width: 26rem; width: 100%; } svg text { font-size: 11px; fill: var(--faint); }
"""


def _table(titles: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _bars(titles: Sequence[str], rows: Sequence[tuple[str, str, float]]) -> str:
    """A table of names and values with a bar for each; its length is the value."""
    largest = max((value for *_, value in rows), default=0) or 1
    cells = [
        f"<tr><td>{escape(name)}</td><td class=number>{escape(text)}</td><td class=bar>"
        f'<div style="width:{100 * value / largest:.1f}%"></div></td></tr>'
        for name, text, value in rows
    ]
    name, value = (escape(title) for title in titles)
    head = f"<th>{name}</th><th class=number>{value}</th><th></th>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table>"


def _sizes(report: ConversionReport) -> str:
    done = report.optimization
    rows = [("converter", done.operators_before, done.bytes_before)]
    rows += [(one.name, one.operators, one.file_bytes) for one in done.passes]
    sizes = [(name, size_in_words(size), size) for name, _, size in rows]
    for change in (report.rounding, report.replacement):
        if change is not None:
            sizes.append((change.change, size_in_words(change.bytes[1]), change.bytes[1]))
    before, after = done.activation_bytes_before, done.activation_bytes_after
    traffic = [
        ("before", size_in_words(before), before),
        ("after", size_in_words(after), after),
    ]
    return (
        _bars(["after the pass", "file"], sizes)
        + _bars(
            ["after the pass", "operators"],
            [(name, str(count), count) for name, count, _ in rows],
        )
        + "<p>Activations that operators other than binary convolutions read and write:</p>"
        + _bars(["passes", "bytes"], traffic)
    )


def _replacement(found: Comparison) -> str:
    """How fast the file without custom operators is, beside the one with them."""
    names = "Larq Compute Engine's operators", "built-in operators"
    rows = [
        (f"{name}, by {engine}", f"{time:.2f} ms", time)
        for name, engine, time in zip(names, found.timed_on, found.milliseconds, strict=True)
    ]
    return (
        "<p>Both files on one thread of the machine that converted; their outputs differ by at "
        f"most {found.max_difference:.3g}.</p>" + _bars(["file", "time"], rows)
    )


def _times(profile: Profile) -> str:
    bars = [
        (f"{one.type} ({one.count})", f"{one.milliseconds:.2f} ms", one.milliseconds)
        for one in profile.operators
    ]
    text = (
        f"One input takes {profile.milliseconds:.2f} ms by {profile.engine}, on one thread of "
        "the machine that converted"
    )
    if not profile.whole:
        total = sum(one.milliseconds for one in profile.operators)
        text += f"; its operators, each by itself, {total:.2f} ms together"
    return f"<h2>Operators</h2><p>{escape(text)}</p>" + _bars(["operator", "time"], bars)


def _layers(report: ConversionReport) -> str:
    rows = []
    for layer in report.layers:
        cells = (layer.name, layer.type, layer.ships_as, layer.operator or "-")
        style = " class=bad" if layer.is_fallback else ""
        note = escape(layer.reason or layer.note or "")
        shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f"<tr{style}>{shown}<td>{note}</td></tr>")
    return _table(["layer", "type", "ships as", "operator", "why"], rows)


def _scatter(points: Sequence[tuple[float, float]]) -> str:
    """Outputs of Keras to the right, of the file upwards; equal ones lie on the line."""
    if not points:
        return ""
    low = min(min(pair) for pair in points)
    high = max(max(pair) for pair in points)
    scale = 300 / ((high - low) or 1)
    dots = "".join(
        f'<circle cx="{40 + scale * (x - low):.1f}" cy="{310 - scale * (y - low):.1f}" r="2"/>'
        for x, y in points
    )
    return (
        '<svg viewBox="0 0 350 350" role="img" aria-label="outputs of Keras and of the file">'
        '<rect x="40" y="10" width="300" height="300" fill="none" stroke="#d9dfe5"/>'
        '<line x1="40" y1="310" x2="340" y2="10" stroke="#d9dfe5"/>'
        f'<g fill="#2f6fb3" fill-opacity=".5">{dots}</g>'
        f'<text x="40" y="325">{low:.3g}</text>'
        f'<text x="340" y="325" text-anchor="end">{high:.3g}</text>'
        '<text x="190" y="342" text-anchor="middle">Keras</text>'
        '<text x="18" y="160" transform="rotate(-90 18 160)" text-anchor="middle">file</text>'
        "</svg>"
    )


def _summary(report: ConversionReport) -> str:
    return "<dl>{}</dl>".format(
        "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in report.facts().items()
        )
    )


def html_report(
    report: ConversionReport, profile: Profile, refusal: Exception | None = None
) -> str:
    """The report as an HTML page, with its style and pictures in it.

    Args:
        report: what was converted.
        profile: how long it takes.
        refusal: why the file is not written, if it is not.
    """
    parts = [
        f"<h1>{escape(report.model)}</h1><p>converted by larq_bcd</p>",
        f"<pre class=bad>Not written: {escape(str(refusal))}</pre>" if refusal else "",
        _summary(report),
        "".join(f"<p>{escape(text)}</p>" for text in (*report.changes, *report.notes)),
        "<h2>Passes</h2>" + _sizes(report),
        "".join(
            f"<p class=note>skipped: {escape(text)}</p>" for text in report.optimization.skipped
        ),
    ]
    if report.replacement is not None:
        parts.append(_replacement(report.replacement))
    parts.append(_times(profile))
    if report.check is not None:
        sentences = "".join(f"<p>{escape(text)}</p>" for text in describe_check(report.check))
        parts.append("<h2>Check</h2>" + sentences + _scatter(report.check.outputs))
    parts.append("<h2>Layers</h2>" + _layers(report))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(report.model)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
