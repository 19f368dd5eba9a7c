"""A disk that is full or read-only: status 1, one line, nothing left behind.

Where the system lets a process mount its own file systems the real thing is used; a limit on the size of files, which
looks like a full disk, is there everywhere.
"""

import json
import re
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.models import rawfile

NAMESPACE = next(
    (
        words
        for words in (["unshare", "-m"], ["unshare", "-rm"])
        if subprocess.run(
            [*words, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        ).returncode
        == 0
    ),
    None,
)


CHILD = """
import contextlib, io, json, os, subprocess, sys, tempfile
from liger_iris_pipeline.cli.main import main
for name, mount, arguments, out, temporary in json.load(sys.stdin):
    tempfile.tempdir = temporary
    if mount:
        subprocess.run(["sh", "-c", mount], check=True)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(arguments)
    made = sorted(os.listdir(out)) if os.path.isdir(out) else None
    print(json.dumps([name, status, said.getvalue(), made]), flush=True)
"""
"""Mount, run iris-drs, say how it ended and what there is then: several times, as long as the child lives."""


def the_line(status, said, expected):
    assert status == 1, said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("iris-drs: ")]
    assert re.search(expected, line), line
    assert re.fullmatch(r".+: .+: got .+, expected .+; .+", line)
    assert said.endswith(f"{line}\n")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def files_of_at_most(size):
    """Let this process write no larger file; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_grow_is_a_full_disk(exposure, refs, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["reduce", str(exposure), "--out", str(out), "--refs", str(refs)]
    with files_of_at_most(100_000):
        status = main(arguments)
    the_line(status, capsys.readouterr().err, r"disk: got '(File too large|No space)")
    assert not out.exists()


FULL = "mount -t tmpfs -o size=300k none {out}"
READ_ONLY = "mount --bind {out} {out} && mount -o remount,ro,bind {out}"
STORE = "mount --bind {refs} {refs} && mount -o remount,ro,bind {refs}"
MOUNTS = {
    "output-full": (FULL, r"disk: got 'No space left on device'"),
    "output-read-only": (READ_ONLY, r"disk: got 'Read-only file system'"),
}


def replay_in_little_room(root, products, found_in):
    """A job that replays a product with 100 kB for temporary files, where replay makes it again."""
    temporary = root / "temporary"
    temporary.mkdir()
    product = next(products.glob("*_LVL1_0001.fits"))
    places = [word for folder in found_in for word in ("--find-in", str(folder))]
    command = f"mount -t tmpfs -o size=100k none {temporary}"
    arguments = ["replay", str(product), *places]
    return "temporary-full", command, arguments, str(temporary), str(temporary)


@pytest.fixture(scope="module")
def mounted(night, refs, products, tmp_path_factory):
    """What iris-drs does behind every mount, in one child; the reads and the store afterwards as before."""
    root = tmp_path_factory.mktemp("mounts")
    reads = sorted(map(str, night.glob("*_IMG1_SCI_LVL0_0001-01-*.fits")))
    jobs = []
    for name, mount in {**{n: m for n, (m, _) in MOUNTS.items()}, "store": STORE}.items():
        out = root / name
        if name in MOUNTS:
            out.mkdir()
        if NAMESPACE or name == "store":
            command = mount.format(out=out, refs=refs) if NAMESPACE else ""
            arguments = ["reduce", *reads, "--out", str(out), "--refs", str(refs)]
            jobs.append((name, command, arguments, str(out), None))
    if NAMESPACE:
        jobs.append(replay_in_little_room(root, products, [night, refs]))
    before = contents(night) | contents(refs)
    done = subprocess.run(
        [*(NAMESPACE or ()), sys.executable, "-W", "ignore", "-c", CHILD],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert contents(night) | contents(refs) == before
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


FAULTS = {name: expected for name, (_, expected) in MOUNTS.items()} | {
    "temporary-full": r"disk: got 'No space left on device'"
}


@pytest.mark.parametrize(
    "name", FAULTS if NAMESPACE else [pytest.param("", id="mounts-are-not-allowed-here")]
)
def test_a_disk_that_cannot_be_written(mounted, name):
    if not name:
        return
    status, said, made = mounted[name]
    the_line(status, said, FAULTS[name])
    assert made == []


def test_a_store_on_a_read_only_disk_serves(mounted):
    status, said, made = mounted["store"]
    assert status == 0, said
    assert len([name for name in made if "_LVL2_" in name and name.endswith(".fits")]) == 1


def test_a_file_that_vanishes_after_the_scan(exposure, refs, tmp_path, monkeypatch, capsys):
    """The reads are looked at before anything is written, and read again when they are fitted."""
    out = tmp_path / "out"
    load = rawfile.Read.load

    def vanish(self, *args, **kwargs):
        self.path.unlink(missing_ok=True)
        return load(self, *args, **kwargs)

    monkeypatch.setattr(rawfile.Read, "load", vanish)
    status = main(["reduce", str(exposure), "--out", str(out), "--refs", str(refs)])
    expected = r"file: got .*No such file.*expected the file as it was scanned"
    the_line(status, capsys.readouterr().err, expected)
    assert not Path(out).exists()
