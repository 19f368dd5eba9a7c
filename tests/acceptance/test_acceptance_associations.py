"""The rows of associations hold for the engine, and fall short for a slow or a careless one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from liger_iris_pipeline.acceptance import associations
from liger_iris_pipeline.acceptance.catalogue import all_groups
from liger_iris_pipeline.acceptance.table import stream

CELL = associations.NightCell(160, 5, 1)


def judged(engine, monkeypatch):
    monkeypatch.setattr(associations, "Engine", engine)

    def now():
        return Clock.now

    monkeypatch.setattr(associations, "time", SimpleNamespace(perf_counter=now, process_time=now))
    (group,) = associations.groups(quick=True, seed=1)
    rows = group.judge([group.measure(CELL, stream(1, str(CELL)))])
    assert len(rows) == 3
    return [row.passed for row in rows]


class Clock:
    """A clock that only slow engines set forward."""

    now = 0.0


class Slow(associations.Engine):
    """An engine that takes its time over everything."""

    def register(self, exposure):
        Clock.now += 0.02
        return super().register(exposure)

    def extend(self, exposures):
        Clock.now += 3.1
        super().extend(exposures)


class Careless(associations.Engine):
    """An engine that takes the members as they came."""

    def associations(self, kinds=None):
        came = {name: place for place, name in enumerate(self._items)}
        found = []
        for one in super().associations(kinds):
            product = one.products[0]
            members = tuple(sorted(product.members, key=lambda m: came[m.expname]))
            found.append(replace(one, products=(replace(product, members=members),)))
        return found


@pytest.mark.parametrize(
    ("engine", "passed"),
    [
        (associations.Engine, [True, True, True]),
        (Slow, [False, False, True]),
        (Careless, [True, True, False]),
    ],
)
def test_rows_tell_good_engines_from_others(engine, passed, monkeypatch) -> None:
    assert judged(engine, monkeypatch) == passed


def test_the_full_form_is_that_of_the_goal() -> None:
    (group,) = associations.groups(quick=False, seed=1)
    assert all(cell.exposures == 2000 and cell.shuffles >= 5 for cell in group.cells)
    assert {bool(cell.sky_every) for cell in group.cells} == {True, False}
    assert "associations" in [group.name for group in all_groups(quick=True, seed=1)]


def test_the_night_has_what_rules_ask_for() -> None:
    night = associations.make_night(associations.NightCell(2000, 5, 0))
    assert len({exposure.name for exposure in night}) == 2000
    types = {exposure.header["IMTYPE"] for exposure in night}
    assert {"SCI", "SKY", "DARK", "FLAT", "ARC", "LAMPSCAN", "STD"} == types
