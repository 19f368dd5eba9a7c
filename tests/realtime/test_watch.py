"""The real-time mode in processes of its own: the same products as offline, whatever happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from astropy.io import fits
from sameness import differences

from liger_iris_pipeline.cli.main import main

COMMAND = (sys.executable, "-m", "liger_iris_pipeline.cli.main")


def names(exposures, reads):
    """Products of exposures."""
    made = [f"{name.replace('LVL0', 'LVL1')}.fits" for name in exposures]
    made += [f"{name.replace('LVL0', 'LVL2')}.fits" for name in exposures if "_SCI_" in name]
    return sorted(made)


def expect_as_offline(watched, tmp_path, refs):
    """Compare every product with that of `reduce`."""
    raw = tmp_path / "offline"
    assert main(["reduce", str(watched.folder), "--out", str(raw), "--refs", str(refs)]) == 0
    for path in sorted(watched.out.glob("*_LVL1_*.fits")):
        assert differences(path, raw / path.name) == []
    for association in sorted((watched.out / "associations").glob("*.json")):
        again = tmp_path / "again"
        name = f"{association.stem}.fits"
        options = ["--out", str(again), "--refs", str(refs)]
        assert main(["reduce", str(association), *options]) == 0
        assert differences(watched.out / name, again / name) == []


def test_a_night_read_by_read_gives_what_reduce_gives(watched, reads, refs, tmp_path):
    watched.start(wait=3)
    for step in range(4):
        for paths in reads.values():
            watched.bring(paths[[1, 0, 3, 2][step]])  # out of order
        time.sleep(0.2)
    watched.end()
    assert watched.products == names(reads, reads)
    assert watched.reasons == {}
    assert not list(watched.out.glob(".*.part"))
    for path in watched.out.glob("*_LVL2_*.fits"):
        header = fits.getheader(path)
        assert 0.0 < header["LATENCY"] < 60.0
        assert path.with_name(f"{path.stem}_preview.png").read_bytes()[:4] == b"\x89PNG"
    expect_as_offline(watched, tmp_path, refs)


def test_files_that_are_bad_late_or_double(watched, reads, night):
    first, second = [name for name in reads if "IMG1_SCI" in name]
    one, two = reads[first], reads[second]
    watched.start(idle=4, wait=8)
    whole = one[1].read_bytes()
    (watched.folder / one[1].name).write_bytes(whole[:9000])  # it grows
    watched.bring(one[0], one[2], one[3])
    other = one[2].read_bytes()
    (watched.folder / "another.fits").write_bytes(other[:-8000] + bytes(8000))
    watched.bring(one[3], name="copy.fits")
    watched.bring(*two[:3])
    (watched.folder / two[3].name).write_bytes(two[3].read_bytes()[:5000])  # and stays so
    (watched.folder / "empty.fits").write_bytes(b"")
    (watched.folder / "loop.fits").symlink_to(watched.folder / "loop.fits")
    time.sleep(1.5)
    (watched.folder / one[1].name).write_bytes(whole)
    products = names([first, second], reads)
    watched.until(lambda: set(products) <= set(watched.products))
    watched.bring(two[3])
    watched.until(
        lambda: two[3].name in watched.reasons and "closed" in watched.reasons[two[3].name]
    )
    watched.end()
    assert watched.products == products
    assert set(watched.reasons) == {"another.fits", "empty.fits", "loop.fits", two[3].name}
    with fits.open(watched.out / products[0]) as hdus:
        assert set(hdus["INPUTS"].data["file"]) == {path.name for path in one}
    with fits.open(watched.out / products[1]) as hdus:
        assert set(hdus["INPUTS"].data["file"]) == {path.name for path in two[:3]}


def test_killed_again_and_again_nothing_is_lost_or_doubled(watched, reads, refs, tmp_path):
    todo = [path for step in range(4) for paths in reads.values() for path in [paths[step]]]
    for part in range(3):
        watched.start(wait=3)
        for path in todo[part * 8 : (part + 1) * 8]:
            watched.bring(path)
            time.sleep(0.05)
        time.sleep(2.0 + part)
        watched.kill()
    watched.start(wait=3)
    watched.end()
    assert watched.products == names(reads, reads)
    assert watched.reasons == {}
    expect_as_offline(watched, tmp_path, refs)


def test_a_worker_that_dies_is_replaced(watched, reads):
    watched.start(wait=3)
    status = watched.out / "status.json"
    watched.until(lambda: status.exists() and json.loads(status.read_text())["workers"])
    first, *others = list(reads.values())
    watched.bring(*first[:2])
    watched.until(
        lambda: any(one["reads"] == 2 for one in json.loads(status.read_text())["exposures"])
    )
    for pid in json.loads(status.read_text())["workers"]:
        os.kill(pid, signal.SIGKILL)
    watched.bring(*first[2:], *others[0])
    watched.end()
    assert watched.products == names(list(reads)[:2], reads)


def test_a_second_watch_of_the_same_products_is_refused(watched, reads):
    watched.start(wait=600)
    lock = watched.out / ".watch.lock"
    watched.until(lambda: lock.exists() and lock.read_text())
    second = subprocess.run(
        [*COMMAND, "watch", watched.folder, "--out", watched.out],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"process {watched.process.pid}" in second.stderr


def test_a_full_disk_is_waited_out(watched, reads, tmp_path):
    """A small file system of one's own fills up, then there is room."""
    small = tmp_path / "out"
    script = f"""
mkdir -p {small} && mount -t tmpfs -o size=1200k none {small} && touch {small}/ballast
head -c 1000000 /dev/zero > {small}/ballast
( until grep -q "waiting for room" {watched.log}; do sleep 0.2; done
  sleep 2; rm {small}/ballast; mount -o remount,size=50m {small} ) &
{" ".join(COMMAND)} watch {watched.folder} --out {small} --refs {watched.refs} --exit-when-idle 3 \\
  2> {watched.log}
status=$?
cp -r {small} {tmp_path}/kept
exit $status
"""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here: a file system of one's own cannot be made")
    (exposure,) = [name for name in reads if "IMG2_SCI" in name][:1]
    watched.bring(*reads[exposure])
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=180
    )
    said = watched.log.read_text()
    assert done.returncode == 0, said
    assert "No space left on device" in said
    assert said.count("waiting for room") == 1
    made = {path.name for path in (tmp_path / "kept").glob("*.fits")}
    assert made == set(names([exposure], reads))


def test_status_in_words_and_as_json(watched, reads, capsys):
    exposure = next(iter(reads))
    watched.bring(*reads[exposure])
    (watched.folder / "bad.fits").write_bytes(b"nothing")
    watched.start(wait=1)
    watched.end()
    capsys.readouterr()
    assert main(["status", str(watched.out), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    counts = {"waiting": 0, "running": 0, "done": 1, "failed": 0, "quarantined": 1}
    assert status["counts"] == counts
    assert status["products"] == watched.products
    assert status["watch"]["running"] is False
    assert status["latency_s"]["max"] >= status["latency_s"]["p50"] > 0
    assert main(["status", str(watched.out)]) == 0
    text = capsys.readouterr().out
    assert "no watch is running" in text
    assert "quarantined bad.fits" in text


def test_what_cannot_be_watched_is_refused(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main(["status", str(tmp_path / "no")]) == 1
    (tmp_path / "file").touch()
    (tmp_path / "raw").mkdir()
    assert main(["watch", str(tmp_path / "raw"), "--out", str(tmp_path / "file")]) == 2
    assert (
        main(["watch", str(tmp_path / "raw"), "--out", str(tmp_path / "o"), "--workers", "0"]) == 2
    )
