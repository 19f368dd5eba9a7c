"""A folder with reads, a store and room for what goes wrong; one row of the tables of bad input."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from astropy.io import fits

from liger_iris_pipeline.cli.main import main

SUMS = ("CHECKSUM", "DATASUM")


@dataclass
class Bench:
    """Fresh copies of the reads of one exposure and of a store."""

    root: Path
    night: Path
    refs: Path
    products: Path
    raw: Path = field(init=False)
    store: Path = field(init=False)
    out: Path = field(init=False)

    def __post_init__(self):
        self.raw, self.store, self.out = (self.root / n for n in ("raw", "store", "out"))
        self.raw.mkdir()
        for path in sorted(self.night.glob("*_IMG1_SCI_LVL0_0001-01-*.fits")):
            shutil.copy(path, self.raw)
        self.store.mkdir()
        for path in sorted(self.refs.glob("*.fits")):  # a plain folder, whose files may be changed
            shutil.copy(path, self.store)
        (self.root / "temporary").mkdir()

    @property
    def reads(self):
        return sorted(self.raw.glob("*.fits"))

    def edit(self, at=1, *, drop=(), **cards):
        """Change cards of a read; its checksums go."""
        with fits.open(self.reads[at], mode="update") as hdus:
            header = hdus[0].header
            for key in (*drop, *SUMS):
                header.remove(key, ignore_missing=True)
            for key, value in cards.items():
                header[key.replace("_OBS", "-OBS") if key.startswith("DATE") else key] = value

    def edit_all(self, **cards):
        for at in range(len(self.reads)):
            self.edit(at, **cards)

    def patch(self, old, new, at=1):
        """Change bytes of a read, checksums left as they are."""
        path = self.reads[at]
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    def rewrite(self, change, at=1):
        """Write a read with other pixels; its checksums go."""
        path = self.reads[at]
        with fits.open(path) as hdus:
            header, data = hdus[0].header.copy(), change(hdus[0].data)
        for key in (*SUMS, "BZERO", "BSCALE"):
            header.remove(key, ignore_missing=True)
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)

    def reference(self, kind):
        return next(self.store.glob(f"*_{kind}_*.fits"))

    def without(self, *kinds):
        for kind in kinds:
            for path in self.store.glob(f"*_{kind}_*.fits"):
                path.unlink()

    def command(self):
        return ["reduce", str(self.raw), "--out", str(self.out), "--refs", str(self.store)]

    def state(self):
        """All there is below the bench: names, kinds, contents."""
        found = {}
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"link to {path.readlink()}"
            elif path.is_file():
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[name] = "folder"
        return found


@dataclass(frozen=True)
class Case:
    """One bad input.

    `spoil` changes the bench and may give another command than to reduce; `message` is what the one line says (a
    warning where the status is 0), as a regular expression.
    """

    name: str
    spoil: Callable[[Bench], list[str] | None]
    message: str
    status: int = 1


FORM = re.compile(r".+: .+: got .+, expected .+; .+", re.DOTALL)


def check(case, bench, capsys, monkeypatch):
    """Run a case and compare all it did with what it may do."""
    arguments = case.spoil(bench) or bench.command()
    monkeypatch.setattr(tempfile, "tempdir", str(bench.root / "temporary"))
    monkeypatch.chdir(bench.root)
    before = bench.state()
    status = main(arguments)
    said = capsys.readouterr().err
    after = bench.state()
    assert status == case.status, said
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("iris-drs: ")]
    if case.status:
        (line,) = errors
        assert said.endswith(f"{line}\n")
        assert FORM.fullmatch(line), line
        assert re.search(case.message, line), line
        assert after == before
    else:
        assert errors == []
        assert not case.message or re.search(case.message, said), said
        assert {name: after.get(name) for name in before} == before
        new = {name.partition("/")[0] for name in set(after) - set(before)}
        assert new <= {"out"}
