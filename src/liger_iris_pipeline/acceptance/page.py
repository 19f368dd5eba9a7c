"""The table as one HTML page that needs nothing else: no scripts, no files beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from liger_iris_pipeline.acceptance.table import Group, Measured, Row

if TYPE_CHECKING:
    from liger_iris_pipeline.acceptance.run import Report

__all__ = ["page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1120px;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.4rem; }
p.about { max-width: 80ch; color: #444; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
th { font-weight: 600; border-bottom-color: #888; } td.number { text-align: right; white-space: nowrap; }
td.detail { color: #555; font-size: .9em; }
.pass { color: #06643f; } .fail { color: #a40000; font-weight: 700; } tr.short { background: #fdeaea; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1rem; }
svg { max-width: 100%; height: auto; }
details { margin-top: .8rem; } details table { font-size: .85em; } dt { font-weight: 600; }
"""


def page(report: Report) -> str:
    """Write the page.

    Parameters
    ----------
    report : Report
        The figures.

    Returns
    -------
    str
        HTML.
    """
    short = sum(not row.passed for row in report.rows)
    verdict = f"{short} of {len(report.rows)} rows fall short" if short else "every row holds"
    facts = [f"{name} {version}" for name, version in report.versions.items() if version]
    facts += [f"seed {report.seed}", f"{report.form} form", f"{report.seconds:.0f} s"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Acceptance: {verdict}</title><style>{STYLE}</style></head><body>",
        f'<h1>Acceptance: <span class="{"fail" if short else "pass"}">{verdict}</span></h1>',
        f"<p>Figures against simulated truth and against real data. {escape(' · '.join(facts))}</p>",
        *(f"<p>Left out: {escape(note)}</p>" for note in report.notes),
    ]
    for group, measured in report.groups:
        rows = [row for row in report.rows if row.group == group.name]
        if rows:
            parts += _section(group, rows, measured)
    return "\n".join([*parts, "</body></html>"])


def _section(group: Group, rows: Sequence[Row], measured: Sequence[Measured]) -> list[str]:
    """Write the table, the plots and the cells of a group."""
    plots = group.draw([m for m in measured if not m.error]) if group.draw else []
    return [
        f"<h2>{escape(group.name)}</h2>",
        f'<p class="about">{escape(group.about)}</p>',
        "<table><tr><th>figure</th><th>value</th><th>limit</th><th></th><th>n</th><th>where</th></tr>",
        *(_line(row) for row in rows),
        "</table>",
        f'<div class="plots">{"".join(plots)}</div>' if plots else "",
        *_cells(measured),
    ]


def _line(row: Row) -> str:
    """Write one row."""
    verdict = ("pass", "pass") if row.passed else ("fail", "falls short")
    return (
        f"<tr{'' if row.passed else ' class=short'}><td>{escape(row.name)}</td>"
        f'<td class="number">{_number(row.figure, row.error)}</td>'
        f"<td>{escape(f'{row.limit.text} {row.unit}')}</td>"
        f'<td class="{verdict[0]}">{verdict[1]}</td>'
        f'<td class="number">{row.count or ""}</td><td class="detail">{escape(row.detail)}</td></tr>'
    )


def _number(value: float, error: float) -> str:
    """Write a figure and its statistical error."""
    if math.isnan(value):
        return "none"
    if value == int(value) and not error:
        return f"{value:.0f}"
    return f"{value:.4f} ± {error:.4f}" if error else f"{value:.6g}"


def _cells(measured: Sequence[Measured]) -> list[str]:
    """Write what was measured in every cell, folded away."""
    names = list(dict.fromkeys(name for one in measured for name in one.figures))
    if len(measured) < 2:
        return []
    lines = ["<details><summary>all cells</summary><table><tr><th>cell</th>"]
    lines += [f"<th>{escape(name)}</th>" for name in names]
    lines.append("<th>n</th><th>s</th></tr>")
    for one in measured:
        figures = [
            f'<td class="number">{_number(*one.figures[name]) if name in one.figures else ""}</td>'
            for name in names
        ]
        said = f": {escape(one.error)}" if one.error else ""
        lines.append(
            f"<tr><td>{escape(str(one.cell))}{said}</td>{''.join(figures)}"
            f'<td class="number">{one.count}</td><td class="number">{one.seconds:.1f}</td></tr>'
        )
    return [*lines, "</table></details>"]
