"""What goes into a store, its manifest, and where a store is looked for."""

import hashlib
import re
import subprocess
from multiprocessing import get_context
from pathlib import Path

import pytest

from liger_iris_pipeline.calibration import (
    Reference,
    Store,
    entering,
    find_store,
    reference_name,
    sha256_of,
)
from liger_iris_pipeline.calibration.content import write_new
from liger_iris_pipeline.errors import ReferenceFileError, UsageError

NAME = "IRIS_IMG1_DARK_20261120T220000_0001.fits"


def manifest(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_added_file_gets_its_name_and_its_checksum(tmp_path, reference, exposure) -> None:
    source = reference(tmp_path / "made.fits")
    store = Store(tmp_path / "refs", create=True)
    added = store.add(source)
    assert added.file == NAME
    assert added.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest(store.path) == {NAME: added.sha256}
    assert store.select("dark", exposure) == added
    assert sorted(item.name for item in store.path.iterdir()) == [
        NAME, "SHA256SUMS", "contexts", "files", "rules",
    ]  # fmt: skip
    content = store.path / "files" / added.sha256[:2] / added.sha256
    assert (store.path / NAME).resolve() == content.resolve()
    assert content.stat().st_mode & 0o777 == 0o444
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=store.path, check=True)


def test_compressed_file_keeps_its_ending(tmp_path, reference) -> None:
    added = Store(tmp_path / "refs", create=True).add(reference(tmp_path / "made.fits.gz"))
    assert added.file == NAME + ".gz"


def test_writer_is_given_the_final_name(tmp_path, reference) -> None:
    store = Store(tmp_path)
    header = {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "REFTYPE": "DARK",
        "USEAFTER": "2026-11-20T22:00:00",
        "REFVER": "0001",
    }
    names = []

    def write(path: Path) -> Path:
        names.append(path.name)
        return reference(path)

    assert store.add(write, header).path == tmp_path / NAME
    assert names == [NAME]
    with pytest.raises(ReferenceFileError, match="header: got keywords of another name"):
        store.add(reference, header | {"REFVER": "0002"})
    with pytest.raises(UsageError, match=r"Store.add: header"):
        store.add(write)


def test_failing_writer_leaves_nothing(tmp_path, reference) -> None:
    store = Store(tmp_path)

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    header = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "REFTYPE": "DARK", "REFVER": "1"}
    with pytest.raises(ReferenceFileError, match="No space left"):
        store.add(write, header | {"USEAFTER": "2026-01-01"})
    assert list(tmp_path.iterdir()) == []


def test_name_stands_for_one_content(tmp_path, reference) -> None:
    store = Store(tmp_path / "refs", create=True)
    first = store.add(reference(tmp_path / "a.fits", value=1.0))
    assert store.add(tmp_path / "a.fits") == first
    with pytest.raises(ReferenceFileError, match=f"{NAME}: content: got another one"):
        store.add(reference(tmp_path / "b.fits", value=2.0))
    assert sha256_of(first.path) == first.sha256
    first.path.unlink()  # the manifest still knows what the name stood for
    with pytest.raises(ReferenceFileError, match="give it a new REFVER"):
        store.add(tmp_path / "b.fits")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"REFTYPE": None}, "has no REFTYPE"),
        ({"USEAFTER": "soon"}, "no ISO date"),
        ({"REFVER": None}, "REFVER: got None"),
        ({"REFVER": "../up"}, r"REFVER: got '\.\./up'"),
        ({"DETECTOR": "IMG/1"}, "DETECTOR: got 'IMG/1'"),
    ],
)
def test_file_that_cannot_be_named_is_refused(tmp_path, reference, keywords, message) -> None:
    store = Store(tmp_path / "refs", create=True)
    with pytest.raises(ReferenceFileError, match=message):
        store.add(reference(tmp_path / "a.fits", **keywords))
    assert list(store.path.iterdir()) == []


def test_broken_or_absent_file_is_refused(tmp_path, reference) -> None:
    store = Store(tmp_path / "refs", create=True)
    path = reference(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ReferenceFileError, match="truncated"):
        store.add(path)
    with pytest.raises(ReferenceFileError, match=r"gone.fits: file: got nothing"):
        store.add(tmp_path / "gone.fits")


def test_versions_count_up(tmp_path, reference) -> None:
    store = Store(tmp_path)
    header = {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "REFTYPE": "dark",
        "USEAFTER": "2026-11-20T22:00:00Z",
    }
    assert store.next_version(header) == "0001"
    store.add(reference(tmp_path / "x.fits", REFVER="0009"))
    assert store.next_version(header) == "0010"
    assert store.next_version(header | {"DETECTOR": "IMG2"}) == "0001"
    (tmp_path / NAME.replace("0001", "0009")).unlink()
    assert store.next_version(header) == "0010"  # a used name is not given again


def test_any_has_a_name() -> None:
    header = {
        "INSTRUME": "IRIS",
        "DETECTOR": "*",
        "REFTYPE": "photom",
        "USEAFTER": "2026-01-01",
        "REFVER": 3,
    }
    assert reference_name(header) == "IRIS_ANY_PHOTOM_20260101T000000_3.fits"


def _add(source: Path, folder: Path) -> None:
    Store(folder).add(source)


def test_two_processes_add_at_once(tmp_path, reference) -> None:
    folder = tmp_path / "refs"
    Store(folder, create=True)
    sources = [reference(tmp_path / f"{i}.fits", REFVER=f"{i:04d}") for i in range(4)]
    context = get_context("fork")
    workers = [context.Process(target=_add, args=(source, folder)) for source in sources]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(manifest(folder)) == 4


def test_a_store_can_be_used_while_its_first_contexts_are_written(
    tmp_path, reference, monkeypatch
) -> None:
    folder = tmp_path / "refs"
    seen = []

    def write(path: Path, text: str, work: Path) -> None:
        write_new(path, text, work)
        seen.append(Store(folder).context)

    Store(folder, create=True)
    before = Store(folder).context
    monkeypatch.setattr(entering, "write_new", write)
    Store(folder).add(reference(tmp_path / "a.fits"))
    assert set(seen) == {before, Store(folder).context} != {before}


def test_changed_file_is_refused(tmp_path, reference, exposure) -> None:
    store = Store(tmp_path / "refs", create=True)
    path = store.add(reference(tmp_path / "a.fits")).path
    content = bytearray(path.read_bytes())
    content[-4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ReferenceFileError, match=f"{NAME}: SHA-256: .* the file was changed or damaged after"
    ):
        store.select("dark", exposure)


def test_manifest_of_sha256sum_is_understood(tmp_path, reference, exposure) -> None:
    path = reference(tmp_path / "a dark.fits")
    for arguments in (["a dark.fits"], ["--binary", "./a dark.fits"]):
        with (tmp_path / "SHA256SUMS").open("w") as stream:
            subprocess.run(["sha256sum", *arguments], cwd=tmp_path, stdout=stream, check=True)
        assert Store(tmp_path).select("dark", exposure).path == path
    (tmp_path / "SHA256SUMS").write_text(f"# none\n\n{'0' * 64}  a dark.fits\n")
    with pytest.raises(ReferenceFileError, match=r"expected 000000000000… as SHA256SUMS lists it"):
        Store(tmp_path).select("dark", exposure)


def test_broken_manifest_is_refused(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "a.fits")
    (tmp_path / "SHA256SUMS").write_text("abc a.fits\n")
    with pytest.raises(ReferenceFileError, match=r"SHA256SUMS: line 1: got 'abc a.fits'"):
        Store(tmp_path).select("dark", exposure)


def test_listed_file_that_is_gone_is_named(tmp_path, reference, exposure) -> None:
    store = Store(tmp_path / "refs", create=True)
    store.add(reference(tmp_path / "a.fits")).path.unlink()
    with pytest.raises(ReferenceFileError, match=f"{NAME}: is not there, although SHA256SUMS"):
        store.select("dark", exposure)


def test_checksum_follows_the_content(tmp_path) -> None:
    path = tmp_path / "x"
    for content in (b"one", b"three", b""):
        path.write_bytes(content)
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_file_named_by_hand(tmp_path, reference) -> None:
    path = reference(tmp_path / "mine.fits", DETECTOR="IMG3", USEAFTER=None)
    named = Reference.from_file(path, context="override")
    assert (named.file, named.reftype, named.context) == ("mine.fits", "dark", "override")
    assert named.useafter is None
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ReferenceFileError, match=r"mine.fits: file: got one that is truncated"):
        Reference.from_file(path, context="override")


def test_store_is_looked_for_in_order(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("IRIS_REFS", raising=False)
    data = tmp_path / "night" / "raw"
    data.mkdir(parents=True)
    named, environment = tmp_path / "named", tmp_path / "environment"
    with pytest.raises(ReferenceFileError) as caught:
        find_store(None, data)
    for place in ("--refs", r"\$IRIS_REFS", str(data / "refs"), str(data.parent / "refs")):
        assert re.search(place, str(caught.value))
    for place in (data.parent / "refs", data / "refs"):
        place.mkdir()
        assert find_store(None, data).path == place
    environment.mkdir()
    monkeypatch.setenv("IRIS_REFS", str(environment))
    assert find_store(None, data).path == environment
    named.mkdir()
    assert find_store(named, data).path == named


def test_named_store_that_is_not_there_is_not_replaced(tmp_path, monkeypatch) -> None:
    (tmp_path / "refs").mkdir()
    monkeypatch.setenv("IRIS_REFS", str(tmp_path / "typo"))
    with pytest.raises(ReferenceFileError, match=r"\$IRIS_REFS: folder: got nothing at .*typo"):
        find_store(None, tmp_path)
    with pytest.raises(ReferenceFileError, match="other: folder: got nothing"):
        find_store(tmp_path / "other", tmp_path)


def test_data_in_the_working_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("IRIS_REFS", raising=False)
    (tmp_path / "refs").mkdir()
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path / "raw")
    assert find_store(None, ".").path == tmp_path / "refs"
