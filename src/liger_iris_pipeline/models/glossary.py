"""The dictionary of all keywords: what they are called, what they mean, in which unit, and who says so.

The schemas hold it; here it is listed, for ``iris-drs info --keywords`` and for docs/keywords.md, which
``python -m liger_iris_pipeline.models.glossary`` prints.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping

from liger_iris_pipeline.models.imager import ImagerFrameModel, ImagerMosaicModel
from liger_iris_pipeline.models.keywords import OWN, Keyword
from liger_iris_pipeline.models.ramp import RampReadModel

__all__ = ["dictionary", "keyword_page"]

_HEAD = f"""# Keywords

Made from the schemas by `python -m liger_iris_pipeline.models.glossary`; do not edit.

*Type* is that of the value; `numbers` are several in one text, separated by commas. *Merge* says what becomes of the
values of many reads: `constant` ones stand once in the header of the frame; `varies`: where the reads differ, the
header has the value of the middle read under the name, the first and last one under two more (`AIRMAS_S`,
`AIRMAS_E`), and the table TELEMETRY has all. *Where* is what the dictionary of the instrument says: R reads, W raw
frames, P processed frames. *Source* is who writes the value first; {OWN} is this system. Keywords that are not
listed here are kept all the same.

READTIME: the dictionary of the instrument has two of this name. Here it is the start of the first pixel; the time to
clock a read is FRM_TIME.
"""

_SHORT = 10  # values of a closed list that are all shown


def dictionary() -> list[Keyword]:
    """List the keywords of reads, frames and mosaics.

    Returns
    -------
    list of Keyword
        Each name once for each HDU, in the order of the schemas: reads first.
    """
    classes = (RampReadModel, ImagerFrameModel, ImagerMosaicModel)
    found: Mapping[tuple[str, str], Keyword] = {
        (keyword.hdu, keyword.name): keyword
        for model in reversed(classes)
        for keyword in model.keywords()
    }
    order = [(keyword.hdu, keyword.name) for model in classes for keyword in model.keywords()]
    return [found[place] for place in dict.fromkeys(order)]


def keyword_page() -> str:
    """Write the dictionary as a page of the documentation.

    Returns
    -------
    str
        Markdown: a table for each subject.
    """
    subjects: dict[str, list[Keyword]] = defaultdict(list)
    for keyword in dictionary():
        subjects[keyword.subject].append(keyword)
    parts = [_HEAD]
    for subject, keywords in subjects.items():
        lines = [
            f"## {subject[0].upper()}{subject[1:]}\n",
            "| keyword | type | unit | meaning | merge | where | source |",
            "|---|---|---|---|---|---|---|",
            *(_row(keyword) for keyword in keywords),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(keyword: Keyword) -> str:
    """Write a line of a table."""
    name = keyword.name if keyword.hdu == "PRIMARY" else f"{keyword.name} ({keyword.hdu})"
    meaning = keyword.meaning
    if keyword.allowed and len(keyword.allowed) <= _SHORT:
        meaning += ": " + ", ".join(str(value) for value in keyword.allowed)
    cells = (
        name,
        keyword.expected,
        keyword.unit,
        meaning,
        keyword.merge,
        keyword.level,
        keyword.source,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(keyword_page())
