"""Contexts: immutable, one after the other, for ever able to choose what they chose."""

import hashlib
import json
import os
import shutil
from datetime import date

import pytest
import yaml

from liger_iris_pipeline.calibration import CONTEXT, CalibrationSet, Store, load_rulebook
from liger_iris_pipeline.calibration.rulebook import SHIPPED
from liger_iris_pipeline.calibration.rulesfile import format_rules, parse_rules
from liger_iris_pipeline.errors import (
    CertificationError,
    ContextError,
    MissingReferenceError,
    ReferenceFileError,
    UsageError,
)

NIGHT = date(2026, 11, 22)


@pytest.fixture
def store(tmp_path, reference):
    made = Store(tmp_path / "refs", create=True)
    made.add(reference(tmp_path / "a.fits", value=1.0))
    return made


def new_rules(store, reftype, **fields):
    """Write a context of one's own by hand: another rule for a type."""
    root = store.path
    current = yaml.safe_load((root / "contexts" / f"{store.context}.yaml").read_text())
    text = (root / current["rules"][reftype]["file"]).read_text()
    head, _, entries = text.partition("entries:\n")
    head = yaml.safe_dump(yaml.safe_load(head) | fields, sort_keys=False)
    path = root / "rules" / f"{reftype}_0099.yaml"
    path.write_text(f"{head}entries:\n{entries}")
    pin = {"file": f"rules/{path.name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    mine = current | {"context": "iris_0099", "parent": store.context}
    mine["rules"] = current["rules"] | {reftype: pin}
    (root / "contexts" / "iris_0099.yaml").write_text(yaml.safe_dump(mine))
    return Store(root, context="iris_0099")


def test_the_rules_that_are_shipped_have_the_checksums_their_context_pins():
    fields = yaml.safe_load((SHIPPED / "contexts" / f"{CONTEXT}.yaml").read_text())
    for pin in fields["rules"].values():
        content = (SHIPPED / pin["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == pin["sha256"]
    assert set(fields["rules"]) == set(load_rulebook("iris_0001").rules)
    assert (
        load_rulebook().sha256
        == hashlib.sha256((SHIPPED / "contexts" / f"{CONTEXT}.yaml").read_bytes()).hexdigest()
    )


def test_shipped_rules_ask_for_the_keywords_of_the_first_ones():
    old, new = load_rulebook("iris_0001").rules, load_rulebook().rules
    for name, rule in new.items():
        assert (rule.match, rule.level1, rule.level2, rule.step) == (
            old[name].match, old[name].level1, old[name].level2, old[name].step,
        )  # fmt: skip
    assert new["dark"].time.max_age_d == new["flat"].time.max_age_d == 30


def test_an_old_context_chooses_what_it_chose(store, tmp_path, reference, exposure):
    first = store.select("dark", exposure)
    assert first.context == "iris_0003"
    context = (store.path / "contexts" / "iris_0003.yaml").read_bytes()
    assert first.context_sha256 == hashlib.sha256(context).hexdigest()
    assert first.uri == f"cal://{first.file}#{first.sha256}"
    store.add(reference(tmp_path / "b.fits", value=2.0, REFVER="0002"))
    assert store.select("dark", exposure).version == "0002"
    assert store.context == "iris_0004"
    assert Store(store.path, context="iris_0003").select("dark", exposure) == first
    assert (store.path / "contexts" / "iris_0003.yaml").read_bytes() == context
    assert [c.name for c in store.contexts()] == ["iris_0002", "iris_0003", "iris_0004"]
    store.use("iris_0003")
    assert Store(store.path).select("dark", exposure) == first


def test_the_same_file_again_makes_no_context(store, tmp_path):
    store.add(tmp_path / "a.fits")
    assert store.context == "iris_0003"


def test_a_night_context_appends_and_names_its_night(store, tmp_path, reference, exposure):
    for number in (2, 3):
        path = reference(tmp_path / f"{number}.fits", value=number, REFVER=f"{number:04d}")
        added = store.add(path, night=NIGHT)
        assert added.context == f"iris_0003+20261122.0{number - 1}"
    assert store.select("dark", exposure).version == "0003"
    earlier = Store(store.path, context="iris_0003+20261122.01")
    assert earlier.select("dark", exposure).version == "0002"
    rules = (store.path / "rules" / "dark_0002+20261122.02.yaml").read_text()
    assert rules.count("\n- {") == 1  # only what the version brought
    store.add(reference(tmp_path / "4.fits", value=4.0, REFVER="0004"))
    assert store.context == "iris_0004"
    assert len(store.references("dark")) == 4
    assert store.verify() == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("rules", r"dark_0002.yaml: SHA-256: got .* as the context says; rules never change"),
        ("parent", r"iris_0003\.yaml: SHA-256: got .*; put the original back"),
        ("no yaml", r"iris_0003\+20261122.01.yaml: content: got .*, expected a context"),
        ("name", r"iris_0003\+20261122.01.yaml: context: got other"),
        ("escape", r"content: got .*is no rules file"),
    ],
)
def test_a_context_that_was_changed_is_refused(
    store, tmp_path, reference, exposure, spoil, message
):
    store.add(reference(tmp_path / "b.fits", value=2.0, REFVER="0002"), night=NIGHT)
    contexts = store.path / "contexts"
    mine = contexts / "iris_0003+20261122.01.yaml"
    if spoil == "rules":
        path = store.path / "rules" / "dark_0002.yaml"
        path.write_text(path.read_text().replace("max_age_d: 30", "max_age_d: 99"))
    elif spoil == "parent":
        (contexts / "iris_0003.yaml").write_text((contexts / "iris_0003.yaml").read_text() + "\n")
    elif spoil == "no yaml":
        mine.write_text("a: [")
    elif spoil == "name":
        mine.write_text("context: other\n")
    else:
        mine.write_text(mine.read_text().replace("rules/dark", "../rules/dark"))
    with pytest.raises(ContextError, match=message):
        Store(store.path).select("dark", exposure)


def test_a_context_that_is_not_there(store):
    with pytest.raises(
        UsageError, match="context: got iris_0042, expected one of iris_0002, iris_0003"
    ):
        Store(store.path, context="iris_0042")
    (store.path / "contexts" / "CURRENT").unlink()
    with pytest.raises(ContextError, match=r"CURRENT: file: got nothing, .* context --set NAME"):
        Store(store.path)


def test_loose_files_are_taken_only_if_nothing_else_fits(
    store, tmp_path, reference, exposure, caplog
):
    reference(store.path / "mine.fits", REFVER="0009", USEAFTER="2026-11-22")
    assert store.select("dark", exposure).version == "0001"
    reference(store.path / "flat.fits", REFTYPE="FLAT", FILTER="Kbb")
    found = store.select("flat", exposure)
    assert (found.file, found.context) == ("flat.fits", "iris_0003+loose")
    assert "enter it with `iris-drs calib add`" in caplog.text
    store.add(store.path / "flat.fits")
    assert store.select("flat", exposure).context == "iris_0004"


def test_fallbacks_are_taken_in_their_order_with_their_flags(
    store, tmp_path, reference, exposure, caplog
):
    store.add(reference(tmp_path / "f.fits", REFTYPE="FLAT", FILTER="Jbb"))
    with pytest.raises(MissingReferenceError, match="FILTER: got Jbb, expected Kbb"):
        store.select("flat", exposure)
    name = store.references("flat")[0].file
    declared = [
        {"relax": ["SUBARRAY"], "flag": "CAL_WIN"},
        {"relax": ["FILTER"], "flag": "CAL_RELAX"},
    ]
    relaxed = new_rules(store, "flat", fallback=declared)
    assert relaxed.select("flat", exposure).flag == "CAL_RELAX"
    assert "taken by fallback, CAL_RELAX" in caplog.text
    default = new_rules(store, "flat", fallback=[{"file": name, "flag": "CAL_DEFAULT"}])
    assert default.select("flat", exposure).flag == "CAL_DEFAULT"


def test_a_pair_and_one_side_of_it(store, tmp_path, reference, exposure):
    dates = {"0001": 61366.0, "0002": 61368.0}  # the exposure is at 61367.354
    for version, mjd in dates.items():
        kind = {"REFTYPE": "FLAT", "FILTER": "Kbb", "REFVER": version, "MJD-OBS": mjd}
        store.add(reference(tmp_path / f"{version}.fits", **kind))
    pairs = new_rules(store, "flat", time={"mode": "bracket"}, interpolate="linear")
    found = pairs.select("flat", exposure)
    assert (found.version, found.partner.version, found.flag) == ("0001", "0002", "")
    assert found.weight == pytest.approx((61368.0 - 61367.3541667) / 2.0, abs=1e-6)
    alone = pairs.select("flat", exposure | {"DATE-OBS": "2026-11-25"})
    assert (alone.version, alone.partner, alone.flag) == ("0002", None, "CAL_RELAX")
    live = pairs.select("flat", exposure, mode="realtime")
    assert (live.version, live.partner) == ("0001", None)


def test_a_block_keeps_what_was_chosen_though_a_newer_one_arrives(
    store, tmp_path, reference, exposure
):
    block = [exposure, exposure | {"DATE-OBS": "2026-11-23T08:00:00"}]
    fixed = store.resolve(block, ["dark", "flat"], name="block 7")
    assert len(fixed.choices) == 2
    fixed = CalibrationSet.from_json(json.loads(json.dumps(fixed.to_json())))
    store.add(reference(tmp_path / "b.fits", value=2.0, REFVER="0002"), night=NIGHT)
    assert store.select("dark", exposure).version == "0002"
    kept = store.select("dark", exposure, fixed=fixed)
    assert (kept.version, kept.context) == ("0001", "iris_0003")
    with pytest.raises(
        MissingReferenceError, match="FLAT reference: got none of this type in 2 reference files"
    ):
        store.select("flat", exposure, fixed=fixed)
    with pytest.raises(MissingReferenceError, match="got no choice"):
        store.select("dark", exposure | {"DETECTOR": "IMG2"}, fixed=fixed)
    with pytest.raises(ContextError, match="calibrations: content"):
        CalibrationSet.from_json({"block": "x"})


@pytest.mark.parametrize("how", ["gone", "garbage", "old", "half"])
def test_the_index_can_be_lost(store, tmp_path, reference, how):
    store.add(reference(tmp_path / "f.fits", REFTYPE="FLAT", FILTER="Kbb"))
    before = store.known()
    path = store.path / "index.sqlite"
    if how == "gone":
        path.unlink()
    elif how == "garbage":
        path.write_bytes(b"no index at all" * 999)
    elif how == "half":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        store.add(reference(tmp_path / "g.fits", value=2.0, REFVER="0002"))
        assert len(store.known()) == 3
        return
    assert store.known() == before
    assert [one.context for one in before] == ["iris_0003", "iris_0004"]
    assert store.rebuild_index() == 2


def test_names_that_are_gone_come_back_with_the_index(store, exposure):
    name = store.references()[0].file
    (store.path / name).unlink()
    with pytest.raises(MissingReferenceError, match="is not there, although SHA256SUMS lists it"):
        store.select("dark", exposure)
    (fault,) = store.verify()
    assert "use `iris-drs calib index`" in fault
    store.rebuild_index()
    assert store.select("dark", exposure).file == name


def test_verify_reads_every_byte(store):
    assert store.verify() == []
    path = next((store.path / "files").glob("*/*"))
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    status = path.stat()
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(
        path, ns=(status.st_atime_ns, status.st_mtime_ns)
    )  # a fault of the disk leaves no trace
    assert any("SHA-256" in fault for fault in store.verify())


def test_contents_are_found_by_their_checksum(store, tmp_path, reference):
    wanted = store.references()[0]
    assert store.by_sha256(wanted.sha256).file == wanted.file
    with pytest.raises(MissingReferenceError, match="SHA-256: got no reference with 000000000000"):
        store.by_sha256("0" * 64)
    plain = reference(tmp_path / "plain" / "x.fits")
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    assert Store(plain.parent).by_sha256(digest).path == plain


def test_a_copy_without_links_is_a_store(store, tmp_path, exposure):
    shutil.copytree(store.path, tmp_path / "copy")  # follows links
    assert Store(tmp_path / "copy").select("dark", exposure).sha256 == store.references()[0].sha256
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in store.path.glob("*.fits"):
        shutil.copy(path, plain)
    assert Store(plain).select("dark", exposure).context == CONTEXT


def test_files_are_entered_all_or_none(tmp_path, reference):
    good = reference(tmp_path / "a.fits")
    bad = reference(tmp_path / "b.fits", REFTYPE="FLAT", value=3.0)
    store = Store(tmp_path / "refs", create=True)
    with pytest.raises(
        CertificationError, match=r"FLAT_.*: SCI: got a median of 3, expected 1 ± 0.02"
    ):
        store.add_all([good, bad])
    assert [path.name for path in store.path.iterdir()] == ["candidates"]
    reasons = list((store.path / "candidates").glob("*.why"))
    assert "median of 3" in reasons[0].read_text()
    store.add(reference(tmp_path / "b.fits", REFTYPE="FLAT"))
    assert list((store.path / "candidates").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "expected YAML"),
        ("- 1", "no fields"),
        ("type: dark\nmatch: [FILTER]", "does not begin with INSTRUME, DETECTOR"),
        ("type: Dark\nmatch: [INSTRUME, DETECTOR]", "type 'Dark'"),
        ("time: {mode: sometimes}", "time.mode 'sometimes', not of useafter"),
        ("time: {max_age_d: -1}", "time.max_age_d -1"),
        ("time: {colour: red}", "unknown field time.colour"),
        ("time: soon", "time 'soon'"),
        ("prefer: [luck]", "prefer .'luck'."),
        ("fallback: [{relax: [FILTER]}]", "fallback"),
        ("on_missing: panic", "on_missing 'panic'"),
        ("level1: maybe", "level1 'maybe'"),
        ("colour: blue", "unknown field colour"),
        ("entries: [{file: a}]", "entries: got 'a'"),
        ("entries: [3]", "entries: got 3"),
    ],
)
def test_faulty_rules_files_are_refused(text, message):
    good = "type: dark\nmatch: [INSTRUME, DETECTOR]\n"
    with pytest.raises(ContextError, match=f"x.yaml: .*{message}"):
        parse_rules(text if text.startswith(("type", "a:", "- 1")) else good + text, "x.yaml")


def test_rules_files_come_back_as_they_were_written():
    text = (
        "type: dark\nmatch: [INSTRUME, DETECTOR]\ntime: {mode: nearest, key: MJD-END, max_age_d: 2}\n"
        "prefer: [same_night]\nfallback: [{relax: [AGE], flag: CAL_RELAX}, {file: x.fits, flag: F}]\n"
        "on_missing: wait(600s)\nentries:\n- {file: a, sha256: b, match: {DETECTOR: IMG1}, useafter: 2026-01-01}\n"
    )
    rules = parse_rules(text, "x.yaml")
    assert (rules.rule.on_missing, rules.rule.wait_s) == ("wait", 600)
    assert rules.entries[0].useafter.isoformat() == "2026-01-01T00:00:00+00:00"
    assert parse_rules(format_rules(rules.rule, rules.entries), "x.yaml") == rules


def test_a_store_that_cannot_be_written_still_chooses(store, exposure, monkeypatch):
    from pathlib import Path

    def refuse(self, *args, **kwargs):
        raise OSError(30, "Read-only file system")

    (store.path / "index.sqlite").unlink(missing_ok=True)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert len(store.known()) == 1
    assert not (store.path / "index.sqlite").exists()
    assert store.select("dark", exposure).version == "0001"
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ReferenceFileError, match="writing: got Read-only file system"):
        store.use("iris_0002")
