"""Which files can be read: growing, whole, never whole, changed, foreign; and which are seen at all."""

import os
import shutil

import pytest

from liger_iris_pipeline.realtime.files import Notices, is_remote, scan
from liger_iris_pipeline.realtime.intake import Intake


class Clock:
    """A time that is set."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "raw"
    made.mkdir()
    return made


@pytest.fixture
def read(night):
    return sorted(night.glob("*IMG1_SCI*-0001.fits"))[0]


def look(intake, folder):
    arrivals, refused = intake.look(scan(folder))
    return [a.path.name for a in arrivals], [(path.name, why) for path, why in refused]


def test_a_file_that_is_whole_arrives_once(folder, read, clock):
    intake = Intake(clock)
    shutil.copy(read, folder)
    (arrival,), refused = intake.look(scan(folder))
    assert arrival.key == ("2026B-P001-001", "IMG1", 1, "")
    assert arrival.on_disk == pytest.approx((folder / read.name).stat().st_ctime)
    assert refused == []
    clock.now += 100.0
    assert look(intake, folder) == ([], [])
    assert intake.moving == frozenset()


@pytest.mark.parametrize("size", [0, 1, 2880, 20_000])
def test_a_file_that_grows_is_waited_for(folder, read, clock, size):
    whole, path = read.read_bytes(), folder / "x.fits"
    intake = Intake(clock, patience=3.0)
    for part in range(0, 4):
        path.write_bytes(whole[: size + part])
        assert look(intake, folder) == ([], [])
        assert intake.moving == {path}
        clock.now += 2.9
    path.write_bytes(whole)
    assert look(intake, folder) == (["x.fits"], [])


def test_a_file_that_never_becomes_whole_is_refused_and_taken_when_it_does(folder, read, clock):
    whole, path = read.read_bytes(), folder / "x.fits"
    intake = Intake(clock, patience=3.0)
    path.write_bytes(whole[:9000])
    assert look(intake, folder) == ([], [])
    clock.now += 3.0
    arrived, ((name, why),) = look(intake, folder)
    assert (arrived, name) == ([], "x.fits")
    assert why.startswith("x.fits: PRIMARY: got ")
    assert look(intake, folder) == ([], [])
    path.write_bytes(whole)
    assert look(intake, folder) == (["x.fits"], [])


def test_what_a_worker_could_not_read_is_refused_unless_it_changes(folder, read, clock):
    intake = Intake(clock, patience=3.0)
    path = folder / "x.fits"
    shutil.copy(read, path)
    look(intake, folder)
    intake.reject(path, "x.fits: DATASUM: wrong")
    assert look(intake, folder) == ([], [])
    clock.now += 3.0
    assert look(intake, folder) == ([], [("x.fits", "x.fits: DATASUM: wrong")])
    os.utime(path)
    assert look(intake, folder) == (["x.fits"], [])


def test_without_checksums_a_file_has_to_rest(folder, read, clock):
    intake = Intake(clock)
    path = folder / "x.fits"
    path.write_bytes(read.read_bytes().replace(b"DATASUM ", b"DATASXM "))
    assert look(intake, folder) == ([], [])
    clock.now += 0.4
    assert look(intake, folder) == ([], [])
    clock.now += 0.2
    assert look(intake, folder) == (["x.fits"], [])


def test_products_and_references_are_not_meant(folder, night, refs, clock):
    intake = Intake(clock)
    for path in sorted(refs.glob("*_DARK_*.fits")):
        shutil.copy(path, folder)
    assert look(intake, folder) == ([], [])
    assert intake.moving == frozenset()


def test_a_file_without_identity_is_refused_at_once(folder, read, clock):
    intake = Intake(clock)
    (folder / "x.fits").write_bytes(read.read_bytes().replace(b"OBS_ID  ", b"OBS_IX  "))
    arrived, ((name, why),) = look(intake, folder)
    assert (arrived, name) == ([], "x.fits")
    assert why.startswith("x.fits: OBS_ID: got nothing, expected a text; ")


def test_a_file_that_is_taken_away_is_forgotten(folder, read, clock):
    intake = Intake(clock)
    path = folder / "x.fits"
    path.write_bytes(read.read_bytes()[:100])
    look(intake, folder)
    path.unlink()
    clock.now += 10.0
    assert look(intake, folder) == ([], [])
    assert intake.moving == frozenset()


def test_what_the_scan_sees(folder, read):
    for name in ("a b.fits", "é\n.fits", "packed.fits.gz", "deep/er/x.fits"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in (
        ".hidden.fits",
        "text.txt",
        ".dir/x.fits",
        "refs/x.fits",
        "truth/x.fits",
        "out/x.fits",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "again").symlink_to(folder)
    (folder / "link.fits").symlink_to(read)
    (folder / "nowhere.fits").symlink_to(folder / "nothing")
    found = scan(folder, [folder / "out"])
    names = {path.relative_to(folder).as_posix() for path in found}
    assert names == {
        *("a b.fits", "é\n.fits", "packed.fits.gz", "deep/er/x.fits"),
        *("link.fits", "nowhere.fits"),
    }
    assert found[folder / "link.fits"].size == read.stat().st_size
    assert found[folder / "nowhere.fits"].size == -1


def test_notices_come_at_once(folder):
    notices = Notices(folder)
    try:
        import select
        import time

        time.sleep(0.5)  # the listener has to begin
        notices.clear()
        (folder / "deep").mkdir()
        (folder / "deep" / "x.fits").touch()
        assert select.select([notices.reader], [], [], 5.0)[0]
        notices.clear()
    finally:
        notices.close()


def test_a_local_disk_is_not_remote(folder):
    assert is_remote(folder) is False
