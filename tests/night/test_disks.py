"""A disk that is full or read-only: status 1, one line, nothing left behind.

Where the system lets a process mount its own file systems the real thing is used; a limit on the size of files, which
looks like a full disk, is there everywhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import sys; from liger_iris_pipeline.cli.main import main; sys.exit(main(sys.argv[1:]))"
LIMITED = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
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


def run(arguments, *, mount="", code=MAIN, environment=None):
    """Run iris-drs in a child, behind a mount where one is given."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    if mount:
        command = [*NAMESPACE, "sh", "-c", f'{mount} && "$@"', "sh", *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **(environment or {})},
    )


def the_line(done, expected):
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("iris-drs: ")]
    assert re.search(expected, line), line
    assert re.fullmatch(r".+: .+: got .+, expected .+; .+", line)
    return line


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_cannot_grow_is_a_full_disk(exposure, refs, tmp_path):
    out = tmp_path / "out"
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({100_000}, {100_000})); "
    arguments = ["reduce", exposure, "--out", out, "--refs", refs]
    the_line(run(arguments, code=LIMITED + limit + MAIN), r"disk: got '(File too large|No space)")
    assert not out.exists()


FULL = "mount -t tmpfs -o size=300k none {out}"
READ_ONLY = "mount --bind {out} {out} && mount -o remount,ro,bind {out}"
STORE = "mount --bind {refs} {refs} && mount -o remount,ro,bind {refs}"
MOUNTS = [
    ("output-full", FULL, r"disk: got 'No space left on device'"),
    ("output-read-only", READ_ONLY, r"disk: got 'Read-only file system'"),
]


@pytest.mark.parametrize(
    ("mount", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in MOUNTS if NAMESPACE]
    or [pytest.param("", "", id="mounts-are-not-allowed-here")],
)
def test_a_disk_that_cannot_be_written(exposure, refs, tmp_path, mount, expected):
    out = tmp_path / "out"
    out.mkdir()
    if not mount:
        return
    before = contents(exposure) | contents(refs)
    arguments = ["reduce", exposure, "--out", out, "--refs", refs]
    listing = f"; status=$?; find {out} -mindepth 1 >&2; exit $status"
    command = mount.format(out=out)
    done = subprocess.run(
        [
            *NAMESPACE,
            "sh",
            "-c",
            f'{command} && "$@"{listing}',
            "sh",
            sys.executable,
            "-W",
            "ignore",
            "-c",
            MAIN,
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    line = the_line(done, expected)
    assert done.stderr.endswith(f"{line}\n")  # the listing of the disk is empty
    assert contents(exposure) | contents(refs) == before


def test_a_store_on_a_read_only_disk_serves(exposure, refs, tmp_path):
    out = tmp_path / "out"
    mount = STORE.format(refs=refs) if NAMESPACE else ""
    done = run(["reduce", exposure, "--out", out, "--refs", refs], mount=mount)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("*_LVL2_*.fits"))) == 1


def test_a_file_that_vanishes_after_the_scan(exposure, refs, tmp_path):
    """The reads are looked at before anything is written, and read again when they are fitted."""
    out = tmp_path / "out"
    hook = (
        "from pathlib import Path; from liger_iris_pipeline.models import rawfile; "
        "load = rawfile.Read.load; "
        "rawfile.Read.load = lambda self: (self.path.unlink(missing_ok=True), load(self))[1]; "
    )
    done = run(["reduce", exposure, "--out", out, "--refs", refs], code=hook + MAIN)
    the_line(done, r"file: got .*No such file.*expected the file as it was scanned")
    assert not Path(out).exists()
