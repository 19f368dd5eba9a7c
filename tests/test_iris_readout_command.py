"""The command ``iris-readout``: raw reads in, a level-1 frame out, complaints about bad input.

Pixel values are compared bit for bit with the Python face of the same library; the physics of
the library has its own tests.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import iris_readout
from liger_iris_pipeline.instrument import detectors, filters

NY, NX = 40, 48
NREAD = 6
GAIN, READ_NOISE = 3.0, 9.0
RESET = 1_790_000_000_000_000
FRAME_US = 1_750_000
DQ_SATURATED, DQ_JUMP, DQ_DO_NOT_USE = 2, 4, 1
DQ_OUTLIER, DQ_SUBARRAY = 1 << 4, 1 << 8
PLANES = {
    "SCI": "rate",
    "VAR_RNOISE": "var_read",
    "VAR_POISSON": "var_photon",
    "DQ": "dq",
    "CHI2": "chi2",
}
OTHER_MCDS = {"mode": "mcds", "nfowler": 2}
STATUS = ("S_REFPIX", "S_SATUR", "S_LINEAR", "S_JUMP", "S_RAMP", "S_GAIN", "S_DQINIT")


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def command():
    built = Path(__file__).parents[1] / "build" / "dev" / "tools" / "iris-readout"
    candidates = [
        os.environ.get("IRIS_READOUT_COMMAND"),
        shutil.which("iris-readout"),
        str(built) if built.exists() else None,
    ]
    found = next((name for name in candidates if name), None)
    if found is None:
        pytest.skip("iris-readout is not built: set IRIS_READOUT_COMMAND or put it on PATH")
    return found


@pytest.fixture
def run(command, tmp_path):
    def call(*arguments, expect=0, **options):
        done = subprocess.run(
            [command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            **options,
        )
        assert done.returncode == expect, done.stderr
        for line in done.stderr.splitlines():
            assert line.startswith("iris-readout: "), line
        return done

    return call


# --- raw reads ------------------------------------------------------------------------------------


def make_light(shape):
    """Light [e-/s] with a gradient; the reference border of 4 pixels sees none."""
    light = np.zeros(shape)
    light[4:-4, 4:-4] = np.linspace(5.0, 300.0, shape[1])[4:-4]
    return light


def make_counts(seed=1, nread=NREAD, shape=(NY, NX)):
    """A ramp of light, with a hit at (20, 30) in read 4, saturated at (10, 11) from read 3."""
    rng = np.random.default_rng(seed)
    times = np.arange(1, nread + 1) * FRAME_US / 1e6
    rate = make_light(shape)
    counts = np.empty((nread, *shape))
    electrons = np.cumsum(rng.poisson(rate * FRAME_US / 1e6, (nread, *shape)), axis=0)
    counts[:] = 5000 + electrons / GAIN + rng.normal(0, READ_NOISE / GAIN, (nread, *shape))
    counts[3:, 20, 30] += 2000
    counts[2:, 10, 11] = 65535
    return np.clip(np.rint(counts), 1, 65535).astype(np.uint16), times


def make_header(ramp=1, read=1, **changes):
    """Keywords of one read; a value of None leaves a keyword out."""
    header = {
        "TELESCOP": "TMT",
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "DET_ID": "IMG1",
        "OBS_ID": "2026B-P001-001",
        "EXP_NO": 1,
        "RAMP_NO": ramp,
        "READ_NO": read,
        "NUMRAMPS": 1,
        "NUMREADS": NREAD,
        "SAMPMODE": "UTR",
        "RST_TIME": RESET + ramp * 100_000_000,
        "READTIME": RESET + ramp * 100_000_000 + read * FRAME_US,
        "FRM_TIME": FRAME_US,
        "GAIN": GAIN,
        "READNOIS": READ_NOISE,
        "SATURATE": 60000.0,
        "DETSIZE1": NX,
        "DETSIZE2": NY,
        "NOUTPUTS": 4,
        "REFPIX": 4,
        "SUBARRAY": "FULL",
        "IMTYPE": "SCI",
        "FILTER": "K",
        "OBJECT": "M 92",
        "AOSTREHL": round(0.5 + 0.01 * read, 3),
    }
    header.update(changes)
    return {key: value for key, value in header.items() if value is not None}


def write_read(path, counts, header, **options):
    hdu = fits.PrimaryHDU(counts)
    hdu.header.update(header)
    hdu.writeto(path, **options)
    return path


def write_ramp(folder, counts, ramp=1, **changes):
    return [
        write_read(folder / f"r{ramp}-{read:02d}.fits", plane, make_header(ramp, read, **changes))
        for read, plane in enumerate(counts, 1)
    ]


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    """The reads most tests begin with, written once."""
    counts, times = make_counts()
    return write_ramp(tmp_path_factory.mktemp("pattern"), counts), counts, times


@pytest.fixture
def ramp(pattern, tmp_path):
    """A copy of the reads, the counts (nread, ny, nx) and the times [s]."""
    reads, counts, times = pattern
    return [Path(shutil.copy(path, tmp_path)) for path in reads], counts, times


def set_keys(**keys):
    def change(path):
        with fits.open(path, mode="update") as hdus:
            for key, value in keys.items():
                if value is None:
                    hdus[0].header.remove(key)
                else:
                    hdus[0].header[key] = value

    return change


def patch_card(path, keyword, card):
    """Replace the first card of a keyword by raw bytes."""
    data = bytearray(path.read_bytes())
    at = data.index(keyword.ljust(8).encode())
    assert at % 80 == 0
    data[at : at + 80] = card.ljust(80)
    path.write_bytes(data)


def truth(counts, times, **options):
    defaults = {
        "gain": GAIN,
        "read_noise": READ_NOISE,
        "saturation": 60000.0,
        "ref_pixels": 4,
        "noutputs": 4,
    }
    return iris_readout.fit_ramp(counts, times, **(defaults | options))


def bits(array):
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()


def assert_planes(path, result, chi2=True):
    with fits.open(path, uint=True) as hdus:
        for name, attribute in PLANES.items():
            if name == "CHI2" and not chi2:
                assert "CHI2" not in hdus
                continue
            expected = getattr(result, attribute)
            assert hdus[name].data.dtype.newbyteorder("=") == expected.dtype
            assert bits(hdus[name].data) == bits(expected), name
        error = np.sqrt(result.var_read + result.var_photon)
        assert bits(hdus["ERR"].data) == bits(error)


def assert_nothing_left(folder, allowed):
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in allowed)


# --- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--mode", "utr", "--jump-sigma", "none"], {"jump_sigma": None}),
        (["--jump-sigma", "0"], {"jump_sigma": None}),
        (["--jump-sigma", "8", "--threads", "2"], {"jump_sigma": 8.0}),
        (["--saturation-grow", "2"], {"saturation_grow": 2}),
        (["--mode", "cds"], {"mode": "cds"}),
        (["--mode", "mcds", "--nfowler", "2"], {"mode": "mcds", "nfowler": 2}),
        (["--gain", "2.2", "--read-noise", "12"], {"gain": 2.2, "read_noise": 12.0}),
        (["--saturation", "5100.5"], {"saturation": 5100.5}),
        (["--estimator", "likelihood"], {}),
        (["--estimator", "ols"], {"estimator": "ols"}),
        (["--no-snowballs"], {"snowballs": False}),
        (["--side-rows", "0"], {"side_rows": 0}),
        (["--side-rows", "5"], {"side_rows": 5}),
        (["--isa", "baseline"], {"isa": "baseline"}),
        (["--isa", "auto", "--threads", "1"], {}),
        (["--memory-limit", "1G", "--max-events", "5000"], {}),
        (["--guide-window", "11,7,5,3"], {"guide_windows": [(6, 10, 3, 5)]}),
        (
            ["--guide-window=44,1,5,3", "--guide-window=9,20,1,1", "--guide-margin=2"],
            {"guide_windows": [(0, 43, 3, 5), (19, 8, 1, 1)], "guide_margin": 2},
        ),
        (["--drop", "2"], {"drop": [2]}),
        (["--drop", "1,5-6"], {"drop": [1, 5, 6]}),
        (["--drop=6", "--drop=3", "--mode=mcds", "--nfowler=2"], OTHER_MCDS | {"drop": [3, 6]}),
    ],
    ids=" ".join,
)
def test_planes_equal_those_of_the_python_face(run, ramp, tmp_path, arguments, options):
    reads, counts, times = ramp
    run("-o", "L1.fits", *arguments, *reads)
    chi2 = options.get("mode", "utr") == "utr"
    assert_planes(tmp_path / "L1.fits", truth(counts, times, **options), chi2=chi2)


@pytest.mark.parametrize("keep", [False, True], ids=["sums", "--keep-reads"])
def test_chi2_is_there_where_it_can_be_had(run, ramp, tmp_path, keep):
    """Least squares without a jump test keeps sums, which know no chi-square."""
    reads, counts, times = ramp
    arguments = ["--estimator", "ols", "--jump-sigma", "none", *(["--keep-reads"] if keep else [])]
    run("-o", "L1.fits", *arguments, *reads)
    expected = truth(counts, times, estimator="ols", jump_sigma=None, keep_reads=keep)
    assert_planes(tmp_path / "L1.fits", expected, chi2=keep)
    assert np.isnan(expected.chi2[6:-6, 6:-6]).all() != keep


def test_the_truth_is_not_trivial(ramp):
    """What the other tests compare with holds a hit, a saturated pixel and plausible rates."""
    _, counts, times = ramp
    result = truth(counts, times)
    assert result.dq[20, 30] & DQ_JUMP
    assert result.dq[10, 11] & DQ_SATURATED
    light = make_light((NY, NX))
    inside = (slice(4, -4), slice(4, -4))
    pull = (result.rate - light)[inside] / np.sqrt(result.var_read + result.var_photon)[inside]
    good = result.dq[inside] == 0
    assert abs(np.mean(pull[good])) < 0.2
    assert 0.85 < np.std(pull[good]) < 1.15


@pytest.mark.parametrize(("sampmode", "mode"), [("CDS", "cds"), ("MDS", "mcds"), ("UTR", "utr")])
def test_mode_comes_from_sampmode(run, tmp_path, sampmode, mode):
    counts, times = make_counts()
    reads = write_ramp(tmp_path, counts, SAMPMODE=sampmode, NFOWLER=3)
    run("-o", "L1.fits", *reads)
    expected = truth(counts, times, mode=mode, nfowler=3)
    assert_planes(tmp_path / "L1.fits", expected, chi2=mode == "utr")


def test_order_is_read_no_not_file_name(run, ramp, tmp_path):
    reads, counts, times = ramp
    names = [tmp_path / f"{9 - i}.fits" for i in range(NREAD)]
    for old, new in zip(reads, names, strict=True):
        old.rename(new)
    run("-o", "L1.fits", *sorted(names)[3:], *sorted(names)[:3])
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def test_ramps_of_an_exposure_are_combined(run, tmp_path):
    reads, results = [], []
    for number in (1, 2, 3):
        counts, times = make_counts(seed=number)
        reads += write_ramp(tmp_path, counts, ramp=number, NUMRAMPS=3)
        results.append(truth(counts, times))
    run("-o", "L1.fits", *reversed(reads))
    assert_planes(tmp_path / "L1.fits", iris_readout.combine_ramps(results))
    events = fits.getdata(tmp_path / "L1.fits", "EVENTS")
    assert set(events["ramp"]) == {1, 2, 3}


def write_cube(path, counts, times, table, **changes):
    header = make_header(READ_NO=None, READTIME=None, **changes)
    primary = fits.PrimaryHDU(counts)
    primary.header.update(header)
    hdus = fits.HDUList([primary])
    if table:
        clock = header["RST_TIME"] + np.rint(times * 1e6).astype(np.int64)
        hdus.append(
            fits.BinTableHDU.from_columns(
                [
                    fits.Column("READ_NO", "J", array=np.arange(1, len(counts) + 1)),
                    fits.Column("READTIME", "K", array=clock),
                ],
                name="TIMES",
            )
        )
    else:
        primary.header["TFRAME"] = FRAME_US / 1e6
    hdus.writeto(path)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("table", [True, False], ids=["TIMES", "TFRAME"])
def test_cubes(run, tmp_path, table, packed):
    counts, times = make_counts()
    cube = write_cube(tmp_path / ("c.fits.gz" if packed else "c.fits"), counts, times, table)
    run("-o", "L1.fits", cube)
    assert_planes(tmp_path / "L1.fits", truth(counts, times))
    header = fits.getheader(tmp_path / "L1.fits")
    assert header["READ_O_S"] == 1
    assert header["READ_O_E"] == NREAD
    assert ("READTE_E" in header) == table


def test_cubes_and_packed_reads_mix(run, tmp_path):
    counts, times = make_counts(seed=1)
    other, _ = make_counts(seed=2)
    cube = write_cube(tmp_path / "cube.fits", counts, times, table=True, NUMRAMPS=2)
    reads = write_ramp(tmp_path, other, ramp=2, NUMRAMPS=2)
    for path in reads[::2]:
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
    mixed = [p.with_name(p.name + ".gz") if i % 2 == 0 else p for i, p in enumerate(reads)]
    run("-o", "L1.fits", *mixed, cube)
    expected = iris_readout.combine_ramps([truth(counts, times), truth(other, times)])
    assert_planes(tmp_path / "L1.fits", expected)


# --- references -----------------------------------------------------------------------------------

FULL_NY, FULL_NX = 60, 64


def write_reference(path, reftype, arrays, **changes):
    primary = fits.PrimaryHDU()
    keys = {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "REFTYPE": reftype,
        "REFVER": "0007",
        "USEAFTER": "2026-01-01T00:00:00",
    }
    primary.header.update(keys | changes)
    hdus = [primary, *(fits.ImageHDU(array, name=name) for name, array in arrays.items())]
    fits.HDUList(hdus).writeto(path)
    return path


def make_maps(shape):
    rng = np.random.default_rng(5)
    gain = rng.uniform(2.5, 3.5, shape).astype(np.float32)
    gain[25, 30] = np.nan
    noise = rng.uniform(8, 10, shape).astype(np.float32)
    noise[26, 31] = -1
    coeffs = np.stack(
        [
            rng.normal(0, 1, shape),
            rng.normal(1, 0.01, shape),
            rng.normal(1e-6, 1e-8, shape),
        ]
    ).astype(np.float32)
    flags = np.zeros(shape, np.uint32)
    flags[22, 33] = 1 | 1 << 10
    flags[23, 34] = 1 << 30
    return {
        "gain": gain,
        "read_noise": noise,
        "saturation": rng.uniform(4e4, 5e4, shape).astype(np.float32),
        "linearity": (
            coeffs,
            rng.uniform(3000, 9000, shape).astype(np.float32),
            rng.uniform(0, 5, shape).astype(np.float32),
        ),
        "bad_pixels": flags,
    }


def write_maps(folder, maps):
    coeffs, limit, pedestal = maps["linearity"]
    return [
        "--gain",
        write_reference(folder / "gain.fits", "GAIN", {"SCI": maps["gain"]}),
        "--read-noise",
        write_reference(folder / "noise.fits", "READNOISE", {"SCI": maps["read_noise"]}),
        "--saturation",
        write_reference(folder / "sat.fits", "SATURATION", {"SCI": maps["saturation"]}),
        "--linearity",
        write_reference(
            folder / "lin.fits",
            "LINEARITY",
            {"COEFFS": coeffs, "LIMIT": limit, "PEDESTAL": pedestal},
        ),
        "--bad-pixels",
        write_reference(folder / "dq.fits", "DQ", {"DQ": maps["bad_pixels"]}),
    ]


def cut(maps, window):
    coeffs, limit, pedestal = maps["linearity"]
    cuts = {name: np.ascontiguousarray(maps[name][window]) for name in maps if name != "linearity"}
    parts = (coeffs[(slice(None), *window)], limit[window], pedestal[window])
    return cuts | {"linearity": tuple(np.ascontiguousarray(part) for part in parts)}


def test_references_are_cut_to_the_window(run, tmp_path):
    counts, times = make_counts()
    x0, y0 = 9, 13
    reads = write_ramp(
        tmp_path,
        counts,
        SUBARRAY="CUSTOM",
        SUBARRID="W1",
        SUBSTRT1=x0,
        SUBSTRT2=y0,
        SUBSIZE1=NX,
        SUBSIZE2=NY,
        DETSIZE1=FULL_NX,
        DETSIZE2=FULL_NY,
        REFPIX=0,
    )
    maps = make_maps((FULL_NY, FULL_NX))
    done = run("-o", "L1.fits", *write_maps(tmp_path, maps), *reads)
    assert done.stderr == ""
    window = (slice(y0 - 1, y0 - 1 + NY), slice(x0 - 1, x0 - 1 + NX))
    expected = truth(counts, times, ref_pixels=0, **cut(maps, window))
    assert_planes(tmp_path / "L1.fits", expected)
    assert np.count_nonzero(expected.dq) > 4
    with fits.open(tmp_path / "L1.fits") as hdus:
        table = hdus["CALIBRATIONS"].data
        assert list(table["role"]) == ["gain", "readnoise", "dq", "saturation", "linearity"]
        assert list(table["type"]) == ["GAIN", "READNOISE", "DQ", "SATURATION", "LINEARITY"]
        assert set(table["version"]) == {"0007"}
        for row in table:
            content = (tmp_path / row["file"]).read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
        for key in ("S_SATUR", "S_LINEAR", "S_JUMP", "S_RAMP", "S_GAIN", "S_DQINIT"):
            assert hdus[0].header[key] == "COMPLETE"
        assert hdus[0].header["S_REFPIX"] == "SKIPPED"


def test_signed_dq_reference_keeps_its_highest_bit(run, ramp, tmp_path):
    reads, counts, times = ramp
    flags = np.zeros((NY, NX), np.uint32)
    flags[15, 16] = 1 << 31 | 1 << 10
    path = write_reference(tmp_path / "dq.fits", "DQ", {"DQ": flags.view(np.int32)})
    run("-o", "L1.fits", "--bad-pixels", path, *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times, bad_pixels=flags))


def test_linearity_without_pedestal(run, ramp, tmp_path):
    reads, counts, times = ramp
    coeffs, limit, _ = make_maps((NY, NX))["linearity"]
    path = write_reference(tmp_path / "lin.fits", "LINEARITY", {"COEFFS": coeffs, "LIMIT": limit})
    run("-o", "L1.fits", "--linearity", path, *reads)
    expected = truth(counts, times, linearity=(coeffs, limit, None))
    assert_planes(tmp_path / "L1.fits", expected)


BAD_REFERENCES = {
    "other detector": ({"DETECTOR": "IMG2"}, {}, r"DETECTOR: got 'IMG2', expected 'IMG1'"),
    "other type": ({"REFTYPE": "FLAT"}, {}, r"gain\.fits: REFTYPE: got 'FLAT', expected 'GAIN'"),
    "wrong shape": (
        {},
        {"SCI": np.ones((NY, NX + 1), np.float32)},
        r"gain\.fits: SCI: got 2 axes of \(40, 49\), expected 2 of \(40, 48\)",
    ),
    "no plane": ({}, {"ERR": np.ones((NY, NX), np.float32)}, r"SCI: got no such extension"),
    "no good pixel": ({}, {"SCI": np.zeros((NY, NX), np.float32)}, r"options: gain: got a map"),
}


@pytest.mark.parametrize("case", BAD_REFERENCES)
def test_bad_references_are_refused(run, ramp, tmp_path, case):
    reads, _, _ = ramp
    keys, arrays, message = BAD_REFERENCES[case]
    arrays = arrays or {"SCI": np.ones((NY, NX), np.float32)}
    path = write_reference(tmp_path / "gain.fits", "GAIN", arrays, **keys)
    done = run("-o", "L1.fits", "--gain", path, *reads, expect=1)
    assert_complaint(done, message)
    assert_nothing_left(tmp_path, [*reads, path])


def test_a_missing_reference_is_named(run, ramp, tmp_path):
    reads, _, _ = ramp
    done = run("-o", "L1.fits", "--linearity", "none.fits", *reads, expect=1)
    assert_complaint(done, r"none\.fits: file: got 'No such file or directory'")


def write_weights(path, left, right, **changes):
    arrays = {"LEFT": left.astype(np.float32), "RIGHT": right.astype(np.float32)}
    return write_reference(path, "REFPIX", arrays, **changes)


def make_weights(noutputs=4, nlag=7):
    rng = np.random.default_rng(8)
    return rng.normal(0.0, 0.1, (2, noutputs, nlag)).astype(np.float32)


def test_reference_weights(run, ramp, tmp_path):
    reads, counts, times = ramp
    left, right = make_weights()
    path = write_weights(tmp_path / "refpix.fits", left, right)
    run("-o", "L1.fits", "--ref-weights", path, *reads)
    expected = truth(counts, times, ref_weights=(left, right))
    assert_planes(tmp_path / "L1.fits", expected)
    assert bits(expected.rate) != bits(truth(counts, times).rate)
    assert parameters(tmp_path / "L1.fits", "refpix")["weights"] == "reference"
    (row,) = fits.getdata(tmp_path / "L1.fits", "CALIBRATIONS")
    assert tuple(row)[:3] == ("refpix", "REFPIX", "refpix.fits")
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


LEFT, RIGHT = make_weights()
BAD_WEIGHTS = {
    "other outputs": (
        {"LEFT": LEFT[:2], "RIGHT": RIGHT[:2]},
        r"LEFT: got 2 axes of \(2, 7\), expected \(4, nlag\) with one odd nlag",
    ),
    "even": ({"LEFT": LEFT[:, 1:], "RIGHT": RIGHT[:, 1:]}, r"LEFT: got 2 axes of \(4, 6\)"),
    "unequal": ({"LEFT": LEFT, "RIGHT": RIGHT[:, 2:]}, r"RIGHT: got 2 axes of \(4, 5\)"),
    "one side": ({"LEFT": LEFT}, r"refpix\.fits: RIGHT: got no such extension"),
    "not finite": ({"LEFT": LEFT, "RIGHT": RIGHT * np.nan}, r"RIGHT: got values that are not fin"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_reference_weights_are_refused(run, ramp, tmp_path, case):
    arrays, message = BAD_WEIGHTS[case]
    path = write_reference(tmp_path / "refpix.fits", "REFPIX", arrays)
    done = run("-o", "L1.fits", "--ref-weights", path, *ramp[0], expect=1)
    assert_complaint(done, message)


def test_reference_weights_need_reference_pixels(run, tmp_path):
    counts, times = make_counts()
    reads = write_ramp(tmp_path, counts, REFPIX=0)
    path = write_weights(tmp_path / "refpix.fits", *make_weights())
    done = run("-o", "L1.fits", "--ref-weights", path, *reads)
    assert "warning: refpix.fits: --ref-weights: got reads without reference pixels" in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times, ref_pixels=0))
    assert len(fits.getdata(tmp_path / "L1.fits", "CALIBRATIONS")) == 0


X0, Y0 = 9, 13
WINDOW = (slice(Y0 - 1, Y0 - 1 + NY), slice(X0 - 1, X0 - 1 + NX))


def write_window(folder, counts, x0=X0, y0=Y0, full=(FULL_NY, FULL_NX), **changes):
    keys = {"SUBARRAY": "CUSTOM", "SUBARRID": "W1", "REFPIX": 0}
    keys |= {"SUBSTRT1": x0, "SUBSTRT2": y0, "SUBSIZE1": NX, "SUBSIZE2": NY}
    keys |= {"DETSIZE1": full[1], "DETSIZE2": full[0]}
    return write_ramp(folder, counts, **(keys | changes))


@pytest.mark.parametrize(
    ("x0", "y0", "full"),
    [(X0, Y0, (FULL_NY, FULL_NX)), (1, 1, (FULL_NY, FULL_NX)), (17, 21, (FULL_NY, FULL_NX)),
     (1, 5, (FULL_NY, NX)), (3, 1, (NY, FULL_NX))],
    ids=["inside", "first corner", "last corner", "full rows", "full columns"],
)  # fmt: skip
def test_references_of_the_detector_equal_those_of_the_window(run, tmp_path, x0, y0, full):
    counts, times = make_counts()
    reads = write_window(tmp_path, counts, x0, y0, full)
    maps = make_maps(full)
    parts = cut(maps, (slice(y0 - 1, y0 - 1 + NY), slice(x0 - 1, x0 - 1 + NX)))
    outputs = []
    for name, some in (("full", maps), ("cut", parts)):
        folder = tmp_path / name
        folder.mkdir()
        output = tmp_path / f"{name}.fits"
        run("-o", output, *write_maps(folder, some), *reads)
        outputs.append(output)
    assert_same_images(*outputs)
    origin = truth(counts, times, ref_pixels=0, map_origin=(y0 - 1, x0 - 1), **maps)
    assert_planes(outputs[0], origin)
    assert_planes(outputs[1], truth(counts, times, ref_pixels=0, **parts))


def test_references_of_another_window_are_refused(run, tmp_path):
    counts, _ = make_counts()
    reads = write_window(tmp_path, counts)
    gain = {"SCI": np.ones((NY, NX), np.float32)}
    same = write_reference(tmp_path / "same.fits", "GAIN", gain, SUBSTRT1=X0, SUBSTRT2=Y0)
    other = write_reference(tmp_path / "other.fits", "GAIN", gain, SUBSTRT1=X0 + 1, SUBSTRT2=Y0)
    run("-o", "L1.fits", "--gain", same, *reads)
    done = run("-o", "L2.fits", "--gain", other, *reads, expect=1)
    assert_complaint(done, r"other\.fits: SUBSTRT1: got a map of the window at \(10, 13\), expect")


def test_references_of_different_sizes_are_refused(run, tmp_path):
    counts, _ = make_counts()
    reads = write_window(tmp_path, counts)
    small = {"SCI": np.ones((NY, NX), np.float32)}
    large = {"SCI": np.ones((FULL_NY, FULL_NX), np.float32)}
    gain = write_reference(tmp_path / "gain.fits", "GAIN", small)
    noise = write_reference(tmp_path / "noise.fits", "READNOISE", large)
    done = run("-o", "L1.fits", "--gain", gain, "--read-noise", noise, *reads, expect=1)
    assert_complaint(done, r"noise\.fits: SCI: got 2 axes of \(60, 64\), expected 2 of \(40, 48\)")


# Windows (x, y, nx, ny) from 1 on the detector, margin, pixels masked on the reads.
GUIDED = {
    "inside": ((20, 30, 4, 2), 0, (slice(17, 19), slice(11, 15))),
    "over an edge": ((5, 50, 6, 11), 0, (slice(37, 40), slice(0, 2))),
    "beside, with a margin": ((2, 20, 3, 2), 6, (slice(1, 15), slice(0, 2))),
    "beside": ((2, 20, 3, 2), 4, (slice(0, 0), slice(0, 0))),
}


@pytest.mark.parametrize("case", GUIDED)
def test_guide_windows_stand_on_the_detector(run, tmp_path, case):
    window, margin, masked = GUIDED[case]
    counts, _ = make_counts()
    reads = write_window(tmp_path, counts)
    given = ",".join(map(str, window))
    run("-o", "L1.fits", "--guide-window", given, "--guide-margin", margin, *reads)
    dq = fits.getdata(tmp_path / "L1.fits", "DQ", uint=True)
    expected = np.zeros((NY, NX), bool)
    expected[masked] = True
    assert np.array_equal((dq & DQ_SUBARRAY) > 0, expected)
    assert np.all(dq[expected] & DQ_DO_NOT_USE)
    said = parameters(tmp_path / "L1.fits", "ramp")
    assert (said["guide_windows"], said["guide_margin"]) == ([list(window)], margin)


def test_a_guide_window_off_the_detector_is_refused(run, tmp_path):
    counts, _ = make_counts()
    reads = write_window(tmp_path, counts)
    done = run("-o", "L1.fits", "--guide-window", "60,1,6,1", *reads, expect=2)
    assert "--guide-window: got 60,1,6,1, expected one inside the 64 x 60 pixels" in done.stderr


# --- which reads, and how much each counts --------------------------------------------------------


def parameters(path, step):
    """Parameters in the RECEIPT row of a step, written as Python would."""
    (row,) = [row for row in fits.getdata(path, "RECEIPT") if row["step"] == step]
    values = json.loads(row["parameters"])
    assert json.dumps(values, sort_keys=True) == row["parameters"]
    return values


def as_id(value):
    """Name a case by its arguments."""
    strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return " ".join(value) if strings else ""


def image_bits(path):
    with fits.open(path) as hdus:
        return {hdu.name: bits(hdu.data) for hdu in hdus if isinstance(hdu, fits.ImageHDU)}


def assert_same_images(first, second):
    one, other = image_bits(first), image_bits(second)
    assert one.keys() == other.keys()
    for name, plane in one.items():
        assert plane == other[name], name


@pytest.mark.parametrize("mode", ["utr", "cds"])
def test_plain_packed_and_cube_are_one(run, ramp, tmp_path, mode):
    """Mapped files, files through CFITSIO and planes of a mapped or packed cube."""
    reads, counts, times = ramp
    cube = write_cube(tmp_path / "cube.fits", counts, times, table=True)
    packed = []
    for path in [*reads, cube]:
        packed.append(path.with_name(path.name + ".gz"))
        packed[-1].write_bytes(gzip.compress(path.read_bytes()))
    kinds = {"plain": reads, "packed": packed[:-1], "cube": [cube], "packed-cube": packed[-1:]}
    for name, files in kinds.items():
        run("-o", f"{name}.L1", "--mode", mode, *files)
        assert_same_images(tmp_path / f"{name}.L1", tmp_path / "plain.L1")
        assert_planes(tmp_path / f"{name}.L1", truth(counts, times, mode=mode), chi2=mode == "utr")


def test_inverted_scaling_is_not_taken_for_plain_bytes(run, ramp):
    """BSCALE -1 with BZERO 32767 covers 0 to 65535 too, but the bytes mean other counts."""
    reads, _, _ = ramp
    for path in reads:
        patch_card(path, "BSCALE", b"BSCALE  = -1.0")
        patch_card(path, "BZERO", b"BZERO   = 32767.0")
    done = run("-o", "L1.fits", *reads, expect=1)
    assert_complaint(done, r"BITPIX: got int32 pixels, expected unsigned 16-bit \(BITPIX 16, BZERO")


@pytest.mark.parametrize(
    ("arguments", "dropped"),
    [(["--drop", "4"], [4]), (["--drop", "2-3,2"], [2, 3]), (["--drop=6", "--drop=1"], [1, 6])],
    ids=as_id,
)
def test_dropped_reads_are_named(run, ramp, tmp_path, arguments, dropped):
    reads, counts, times = ramp
    done = run("-o", "L1.fits", *arguments, *reads)
    assert "--drop" not in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times, drop=dropped))
    assert parameters(tmp_path / "L1.fits", "ramp")["dropped"] == dropped
    assert parameters(tmp_path / "L1.fits", "ramp")["reads"] == [NREAD]
    assert len(fits.getdata(tmp_path / "L1.fits", "INPUTS")) == NREAD


def test_reads_are_dropped_by_their_own_number_in_every_ramp(run, tmp_path):
    reads, results = [], []
    for number in (1, 2):
        counts, times = make_counts(seed=number)
        reads += write_ramp(tmp_path, counts, ramp=number, NUMRAMPS=2)
        results.append(truth(counts, times, drop=[3]))
    reads[0].unlink()  # read 1 of ramp 1: numbers do not count from what is there
    counts, times = make_counts(seed=1)
    results[0] = truth(counts[1:], times[1:], drop=[2])
    run("-o", "L1.fits", "--drop", "3", *reads[1:])
    assert_planes(tmp_path / "L1.fits", iris_readout.combine_ramps(results))


def test_dropping_reads_that_are_not_there_is_a_warning(run, ramp, tmp_path):
    reads, counts, times = ramp
    done = run("-o", "L1.fits", "--drop", "2,7-9", *reads)
    assert "warning: r1-01.fits: --drop: got read 7 to 9, expected numbers of reads" in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times, drop=[2]))


def test_dropping_too_many_reads_is_refused(run, ramp, tmp_path):
    done = run("-o", "L1.fits", "--drop", "1-5", *ramp[0], expect=1)
    assert_complaint(
        done, r"r1-06\.fits: --drop: got 1 reads of ramp 1 left, expected at least two"
    )
    assert_nothing_left(tmp_path, ramp[0])


QUALITY = np.array([0.9, 0.3, 0.45, 0.5, 0.05, 0.4])
LINEAR = [1.0, *(QUALITY[1:] / 0.5)]
LUCKY = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]


def write_weighted(folder, counts, quality=QUALITY, **changes):
    reads = write_ramp(folder, counts, **changes)
    for path, value in zip(reads, quality, strict=True):
        set_keys(AOSTREHL=None if value is None else float(value))(path)
    return reads


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"weights": LINEAR}),
        (["--weight-rule", "linear"], {"weights": LINEAR}),
        (["--weight-rule", "threshold=0.7"], {"weights": LUCKY}),
        (["--estimator", "ols"], {"weights": LINEAR, "estimator": "ols"}),
        (["--mode", "mcds", "--nfowler", "2"], {"weights": LINEAR, "mode": "mcds", "nfowler": 2}),
        (["--mode", "cds"], {"weights": LINEAR, "mode": "cds"}),
    ],
    ids=as_id,
)
def test_reads_are_weighed_by_a_keyword(run, tmp_path, arguments, options):
    """The first read has no charge before it: its 0.9 is not the largest value."""
    counts, times = make_counts()
    reads = write_weighted(tmp_path, counts)
    run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", *arguments, *reads)
    chi2 = options.get("mode", "utr") == "utr"
    expected = truth(counts, times, **options)
    assert_planes(tmp_path / "L1.fits", expected, chi2=chi2)
    plain = truth(counts, times, **{k: v for k, v in options.items() if k != "weights"})
    assert bits(expected.rate) != bits(plain.rate) or options.get("mode") in ("cds", "mcds")
    rule = arguments[1] if "--weight-rule" in arguments else "linear"
    said = parameters(tmp_path / "L1.fits", "ramp")
    assert said["weights"] == {"keyword": "AOSTREHL", "rule": rule}
    assert said["keep_reads"] is True


def test_dropped_reads_need_no_weight(run, tmp_path):
    counts, times = make_counts()
    reads = write_weighted(tmp_path, counts, [None, 0.3, 0.45, 99.0, 0.05, 0.4])
    run("-o", "L1.fits", "--weight-keyword=aostrehl", "--drop=1,4", *reads)
    weights = np.array([1.0, 1.0, 0.45, 1.0, 0.05, 0.4]) / [1, 1, 0.45, 1, 0.45, 0.45]
    expected = truth(counts, times, weights=weights, drop=[1, 4])
    assert_planes(tmp_path / "L1.fits", expected)


def test_one_scale_of_weights_for_all_ramps(run, tmp_path):
    reads, results = [], []
    for number, scale in ((1, 1.0), (2, 0.5)):
        counts, times = make_counts(seed=number)
        reads += write_weighted(
            tmp_path, counts, [q * scale for q in QUALITY], ramp=number, NUMRAMPS=2
        )
        weights = [1.0, *(QUALITY[1:] * scale / 0.5)]
        results.append(truth(counts, times, weights=weights))
    run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", *reads)
    assert_planes(tmp_path / "L1.fits", iris_readout.combine_ramps(results))


def add_quality(path, quality):
    with fits.open(path) as hdus:
        table = hdus["TIMES"]
        columns = [*table.columns, fits.Column("AOSTREHL", "D", array=quality)]
        new = fits.BinTableHDU.from_columns(columns, name="TIMES")
        fits.HDUList([hdus[0].copy(), new]).writeto(path, overwrite=True)


def test_weights_of_a_cube_stand_in_its_table(run, tmp_path):
    counts, times = make_counts()
    cube = write_cube(tmp_path / "cube.fits", counts, times, table=True)
    done = run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", cube, expect=1)
    assert_complaint(done, r"cube\.fits: AOSTREHL: got no value for read 1, expected a number")
    add_quality(cube, QUALITY)
    run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", cube)
    assert_planes(tmp_path / "L1.fits", truth(counts, times, weights=LINEAR))
    bare = write_cube(tmp_path / "bare.fits", counts, times, table=False)
    done = run("-o", "L2.fits", "--weight-keyword", "AOSTREHL", bare, expect=1)
    assert_complaint(done, r"bare\.fits: AOSTREHL: got no value for read 1, expected a number")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"r1-03\.fits: AOSTREHL: got no value for read 3, expected a number of at least 0"),
        (-0.1, r"r1-03\.fits: AOSTREHL: got -0\.1 for read 3"),
        ("good", r"r1-03\.fits: AOSTREHL: got good for read 3"),
    ],
)
def test_a_read_that_cannot_be_weighed_is_named(run, ramp, tmp_path, value, message):
    reads, counts, times = ramp
    set_keys(AOSTREHL=value)(reads[2])
    done = run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", *reads, expect=1)
    assert_complaint(done, message)
    assert_nothing_left(tmp_path, reads)
    run("-o", "L1.fits", *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def test_weights_of_nothing_are_refused(run, tmp_path):
    counts, _ = make_counts()
    reads = write_weighted(tmp_path, counts, [0.5, 0, 0, 0, 0, 0])
    done = run("-o", "L1.fits", "--weight-keyword", "AOSTREHL", *reads, expect=1)
    assert_complaint(done, r"AOSTREHL: got 0 for all reads, expected some above 0")


# --- several ramps --------------------------------------------------------------------------------


@pytest.fixture
def three_ramps(tmp_path):
    """Three ramps, the second of them with light of its own in one corner."""
    reads, results = [], []
    for number in (1, 2, 3):
        counts, times = make_counts(seed=number)
        if number == 2:
            ramp = (np.arange(NREAD) * 300).astype(np.uint16)
            counts[:, 6:9, 6:9] += ramp[:, None, None]
        reads += write_ramp(tmp_path, counts, ramp=number, NUMRAMPS=3)
        results.append(truth(counts, times))
    return reads, results


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--combine", "sum"], {"combination": "sum"}),
        (["--reject-sigma", "none"], {"reject_sigma": None}),
        (["--reject-sigma", "0", "--combine", "mean"], {"reject_sigma": None}),
        (["--reject-sigma", "2.5"], {"reject_sigma": 2.5}),
    ],
    ids=as_id,
)
def test_rules_of_combination(run, three_ramps, tmp_path, arguments, options):
    reads, results = three_ramps
    run("-o", "L1.fits", *arguments, *reads)
    expected = iris_readout.combine_ramps(results, **options)
    assert_planes(tmp_path / "L1.fits", expected)
    rejected = options.get("reject_sigma", 5.0)
    assert np.all((expected.dq[6:9, 6:9] & DQ_OUTLIER > 0) == (rejected is not None))
    said = parameters(tmp_path / "L1.fits", "ramp")
    assert said["combination"] == options.get("combination", "mean")
    assert said["reject_sigma"] == rejected
    assert said["reads"] == [NREAD] * 3


# --- snowballs, memory, instruction sets ----------------------------------------------------------


def make_snowball(nread=8, shape=(96, 96)):
    """Dark reads; from read 4 on a saturated disk of radius 6 within a halo of radius 12."""
    rng = np.random.default_rng(4)
    counts = 5000 + rng.normal(0, 3, (nread, *shape))
    y, x = np.indices(shape)
    distance = np.hypot(y - 50, x - 40)
    counts[3:, distance <= 12] += 2000
    counts[3:, distance <= 6] = 65535
    times = np.arange(1, nread + 1) * FRAME_US / 1e6
    return np.clip(np.rint(counts), 1, 65535).astype(np.uint16), times


def test_snowballs_are_events(run, tmp_path):
    counts, times = make_snowball()
    reads = write_ramp(tmp_path, counts, DETSIZE1=96, DETSIZE2=96, NUMREADS=8)
    for options, arguments in (({}, []), ({"snowballs": False}, ["--no-snowballs"])):
        run("-o", "L1.fits", "--overwrite", *arguments, *reads)
        expected = truth(counts, times, **options)
        assert_planes(tmp_path / "L1.fits", expected)
        events = fits.getdata(tmp_path / "L1.fits", "EVENTS")
        assert list(events["kind"]) == list(expected.events["kind"])
        balls = events[events["kind"] == "SNOWBALL"]
        assert len(balls) == (not arguments)
        assert parameters(tmp_path / "L1.fits", "jump")["snowballs"] is not bool(arguments)
        for ball in balls:
            assert (ball["read"], abs(ball["y"] - 50) <= 1, abs(ball["x"] - 40) <= 1) == (4, 1, 1)


@pytest.fixture(scope="module")
def long_ramp(tmp_path_factory):
    counts, times = make_counts(nread=40)
    return write_ramp(tmp_path_factory.mktemp("long"), counts, NUMREADS=40), counts, times


@pytest.mark.parametrize("packed", [False, True], ids=["mapped", "packed"])
def test_reads_that_do_not_fit_are_folded(run, long_ramp, tmp_path, packed):
    reads, counts, times = long_ramp
    if packed:
        plain = reads
        reads = [tmp_path / (path.name + ".gz") for path in plain]
        for path, new in zip(plain, reads, strict=True):
            new.write_bytes(gzip.compress(path.read_bytes()))
    limit = 2 * NY * NX * 16
    done = run("-o", "L1.fits", "--memory-limit", limit, *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times, memory_limit=limit))
    assert "--memory-limit: got more reads than fit" in done.stderr
    said = parameters(tmp_path / "L1.fits", "ramp")
    assert 40 / 24 <= said["folding"] <= 4
    assert round(said["folding"], 3) == said["folding"]
    assert said["memory_limit"] == limit
    done = run("-o", "all.fits", "--memory-limit", "1M", *reads)
    assert "--memory-limit" not in done.stderr
    assert parameters(tmp_path / "all.fits", "ramp")["memory_limit"] == 1_000_000
    assert parameters(tmp_path / "all.fits", "ramp")["folding"] == 1.0
    assert_planes(tmp_path / "all.fits", truth(counts, times))


def test_what_cannot_be_folded_is_refused(run, long_ramp):
    reads, _, _ = long_ramp
    limited = ["--memory-limit", "50k"]
    for extra in (["--weight-keyword", "AOSTREHL"], ["--mode", "mcds"]):
        done = run("-o", "L1.fits", *limited, *extra, *reads, expect=1)
        assert_complaint(done, "ramp fit: got 'read 9: .*'.*; give a higher --memory-limit")


def test_lost_events_are_a_warning(run, tmp_path):
    counts, times = make_counts()
    counts[2:, 6:34, 6:42] += 3000  # a hit in every pixel
    reads = write_ramp(tmp_path, counts)
    done = run("-o", "L1.fits", "--max-events", "100", *reads)
    expected = truth(counts, times, max_events=100)
    assert_planes(tmp_path / "L1.fits", expected)
    events = fits.getdata(tmp_path / "L1.fits", "EVENTS")
    assert len(events) == len(expected.events) < len(truth(counts, times).events)
    lost = int(re.search(r"--max-events: got (\d+) events more than there was", done.stderr)[1])
    assert len(events) + lost == len(truth(counts, times).events)


def best_isa():
    fitter = iris_readout.RampFitter((NY, NX), gain=GAIN, read_noise=READ_NOISE, noutputs=4)
    return fitter.isa


def test_instruction_sets_agree(run, ramp, tmp_path):
    reads, _, _ = ramp
    sets = ["baseline", "avx2", "avx512"]
    sets = sets[: sets.index(best_isa()) + 1]
    for name in sets:
        run("-o", f"{name}.L1", "--isa", name, *reads)
        assert parameters(tmp_path / f"{name}.L1", "ramp")["isa"] == name
        assert_same_images(tmp_path / f"{name}.L1", tmp_path / "baseline.L1")
    run("-o", "environment.L1", *reads, env={**os.environ, "IRIS_ISA": "baseline"})
    assert parameters(tmp_path / "environment.L1", "ramp")["isa"] == "baseline"
    done = run("-o", "bad.L1", *reads, env={**os.environ, "IRIS_ISA": "mmx"}, expect=1)
    assert_complaint(done, r"options: IRIS_ISA: got 'mmx', expected auto, baseline, avx2 or avx512")


@pytest.mark.skipif(best_isa() == "avx512", reason="the machine has all there is")
def test_an_instruction_set_that_is_not_there_is_refused(run, ramp):
    done = run("-o", "L1.fits", "--isa", "avx512", *ramp[0], expect=1)
    assert_complaint(
        done, r"options: instruction set: got avx512, which this machine does not have"
    )


# --- the product ----------------------------------------------------------------------------------


@pytest.fixture
def product(run, ramp, tmp_path):
    run("-o", "L1.fits", *ramp[0])
    return tmp_path / "L1.fits"


def test_layout(product):
    with fits.open(product, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == [
            "PRIMARY",
            "SCI",
            "ERR",
            "DQ",
            "VAR_POISSON",
            "VAR_RNOISE",
            "CHI2",
            "EVENTS",
            "TELEMETRY",
            "RECEIPT",
            "CALIBRATIONS",
            "INPUTS",
        ]
        assert hdus[0].data is None
        assert hdus["SCI"].header["BUNIT"] == hdus["ERR"].header["BUNIT"] == "electron/s"
        assert hdus["VAR_RNOISE"].header["BUNIT"] == "electron2/s2"
        assert hdus["VAR_POISSON"].header["BUNIT"] == "electron2/s2"
        assert (hdus["SCI"].header["BITPIX"], hdus["DQ"].header["BITPIX"]) == (-32, 32)
        tables = {hdu.name: hdu.columns.names for hdu in hdus[7:]}
        kind = hdus["EVENTS"].columns["kind"].format
    assert tables == {
        "EVENTS": ["ramp", "read", "y", "x", "kind", "amplitude", "sigma"],
        "TELEMETRY": ["ramp", "read", "seconds", "readtime", "aostrehl"],
        "RECEIPT": ["step", "version", "parameters", "start", "end", "seconds", "status", "reason"],
        "CALIBRATIONS": ["role", "type", "file", "sha256", "version", "context"],
        "INPUTS": ["file", "sha256"],
    }
    assert kind == "10A"
    raw = fits.getheader(product, "DQ", do_not_scale_image_data=True)
    assert raw["BZERO"] == 2147483648


def test_every_block_is_standard_fits(product):
    """Blocks of 2880 bytes, printable cards, legal keywords, each keyword once."""
    data = product.read_bytes()
    assert len(data) % 2880 == 0
    with fits.open(product) as hdus:
        for hdu in hdus:
            info = hdu.fileinfo()
            header = data[info["hdrLoc"] : info["datLoc"]]
            cards = [header[i : i + 80] for i in range(0, len(header), 80)]
            names = []
            for card in cards[: [c.rstrip() for c in cards].index(b"END")]:
                assert all(32 <= byte < 127 for byte in card)
                name = card[:8].rstrip().decode()
                assert not name.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"), name
                if card[8:10] == b"= ":
                    names.append(name)
            assert len(names) == len(set(names))


def test_header_is_the_merged_header_plus_its_own(product, ramp):
    headers = [fits.getheader(path).tostring(sep="", padding=False).encode() for path in ramp[0]]
    merged = fits.Header.fromstring(iris_readout.merge_headers(headers).decode())
    header = fits.getheader(product)
    for card in merged.cards:
        if card.keyword != "COMMENT":
            assert header[card.keyword] == card.value, card.keyword
    assert (header["AOSTREHL"], header["AOSTRL_S"], header["AOSTRL_E"]) == (0.54, 0.51, 0.56)
    assert header["READTE_E"] - header["READTE_S"] == (NREAD - 1) * FRAME_US
    assert header["OBJECT"] == "M 92"
    assert "BZERO" not in header
    assert header["DATAMODL"] == "ImagerFrameModel"
    assert header["DATALVL"] == 1
    assert header["DRSVER"] == iris_readout.__version__
    assert header["FILENAME"] == "L1.fits"
    assert {header[key] for key in STATUS} == {"COMPLETE", "SKIPPED"}


def test_keywords_of_the_reads_do_not_hide_those_of_the_frame(run, tmp_path):
    counts, _ = make_counts()
    reads = write_ramp(
        tmp_path,
        counts,
        DETECTOR="IFS",
        DET_ID="IFS",
        DATALVL=0,
        DATAMODL="RampReadModel",
        BUNIT="DN",
    )
    run("-o", "L1.fits", *reads)
    header = fits.getheader(tmp_path / "L1.fits")
    assert (header["DATALVL"], header["DATAMODL"]) == (1, "IFSFrameModel")
    assert header["BUNIT"] == "electron/s"
    assert header.count("DATALVL") == 1


def test_long_strings_and_hierarch_survive(run, tmp_path):
    counts, _ = make_counts()
    path = "/data/" + "long/" * 30
    reads = write_ramp(tmp_path, counts, PROGTITL=path, **{"HIERARCH ESO DET TEMP": 38.1})
    done = run("-o", "L1.fits", *reads)
    header = fits.getheader(tmp_path / "L1.fits")
    assert header["PROGTITL"] == path
    assert header["ESO DET TEMP"] == 38.1
    assert done.stderr.count("HIERARCH") == 1


def test_events_are_those_of_the_fit(product, ramp):
    _, counts, times = ramp
    expected = truth(counts, times).events
    got = fits.getdata(product, "EVENTS")
    assert len(got) == len(expected) > 1
    for name in ("ramp", "read", "y", "x", "kind"):
        assert list(got[name]) == list(expected[name])
    for name in ("amplitude", "sigma"):
        assert np.array_equal(got[name], expected[name], equal_nan=True)
    hit = got[(got["y"] == 20) & (got["x"] == 30)]
    assert (hit["kind"][0], hit["read"][0]) == ("JUMP", 4)
    assert abs(hit["amplitude"][0] - 2000 * GAIN) < 300
    saturated = got[(got["y"] == 10) & (got["x"] == 11)]
    assert (saturated["kind"][0], saturated["read"][0]) == ("SATURATION", 3)


def test_receipt(product):
    rows = {row["step"]: row for row in fits.getdata(product, "RECEIPT")}
    header = fits.getheader(product)
    keys = {
        "gain": "S_GAIN",
        "dq_init": "S_DQINIT",
        "saturation": "S_SATUR",
        "linearity": "S_LINEAR",
        "refpix": "S_REFPIX",
        "jump": "S_JUMP",
        "ramp": "S_RAMP",
    }
    assert set(rows) == {"ingest", *keys}
    for step, key in keys.items():
        assert header[key] == rows[step]["status"]
        assert bool(rows[step]["reason"]) == (rows[step]["status"] == "SKIPPED")
    assert rows["linearity"]["reason"] == "no linearity reference"
    assert json.loads(rows["ramp"]["parameters"]) == {
        "aborted": False,
        "combination": "mean",
        "dropped": [],
        "estimator": "likelihood",
        "folding": 1.0,
        "guide_margin": 0,
        "guide_windows": [],
        "isa": best_isa(),
        "keep_reads": False,
        "max_events": 0,
        "memory_limit": 0,
        "mode": "utr",
        "nfowler": 1,
        "read_noise": READ_NOISE,
        "reads": [NREAD],
        "reject_sigma": 5.0,
        "weights": None,
    }
    assert json.loads(rows["gain"]["parameters"]) == {"gain": GAIN, "source": "header"}
    assert json.loads(rows["jump"]["parameters"]) == {"jump_sigma": 4.5, "snowballs": True}
    assert json.loads(rows["refpix"]["parameters"]) == {
        "noutputs": 4,
        "ref_pixels": 4,
        "side_rows": 11,
        "weights": None,
    }
    assert json.loads(rows["ingest"]["parameters"])["reads"] == NREAD
    assert rows["ramp"]["seconds"] > 0
    for row in rows.values():
        assert row["version"] == iris_readout.__version__
        again = json.dumps(json.loads(row["parameters"]), sort_keys=True)
        assert row["parameters"] == again
        start, end = (np.datetime64(row[name]) for name in ("start", "end"))
        assert start <= end
        assert abs(np.datetime64("now") - end) < np.timedelta64(1, "h")


def test_inputs_name_every_read(product, ramp):
    table = fits.getdata(product, "INPUTS")
    assert list(table["file"]) == [path.name for path in ramp[0]]
    assert list(table["sha256"]) == [hashlib.sha256(p.read_bytes()).hexdigest() for p in ramp[0]]


def test_optional_parts_can_be_left_out(run, ramp, tmp_path):
    run("-o", "L1.fits", "--no-chi2", "--no-events", *ramp[0])
    with fits.open(tmp_path / "L1.fits") as hdus:
        names = [hdu.name for hdu in hdus]
    assert "CHI2" not in names
    assert "EVENTS" not in names


def test_no_events_is_an_empty_table(run, tmp_path):
    counts = np.full((3, NY, NX), 5000, np.uint16)
    run("-o", "L1.fits", *write_ramp(tmp_path, counts))
    with fits.open(tmp_path / "L1.fits") as hdus:
        hdus.verify("exception")
        assert len(hdus["EVENTS"].data) == 0
        assert hdus["EVENTS"].columns["kind"].format == "10A"


# --- bad input ------------------------------------------------------------------------------------


def assert_complaint(done, message):
    """One line of error, in the form FILE: KEY or part: got ..., expected ...; remedy."""
    lines = [line for line in done.stderr.splitlines() if "warning:" not in line]
    assert len(lines) == 1, done.stderr
    assert re.search(message, lines[0]), lines[0]
    assert re.fullmatch(r"iris-readout: [^:]+: [^:]+: .*", lines[0]), lines[0]
    assert re.search(r"got .*expected .*; ", lines[0]) or "options" in lines[0], lines[0]


def truncate(count):
    return lambda path: path.write_bytes(path.read_bytes()[:-count])


def keep_only(count):
    return lambda path: path.write_bytes(path.read_bytes()[:count])


def as_type(dtype):
    def change(path):
        data, header = fits.getdata(path), fits.getheader(path)
        new = fits.PrimaryHDU(data.astype(dtype))
        for key in ("BZERO", "BSCALE", "BITPIX"):
            header.remove(key, ignore_missing=True)
        new.header.extend(header, update=True, unique=True)
        path.unlink()
        new.writeto(path)

    return change


def wrong_datasum(path):
    data, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    fits.PrimaryHDU(data, header).writeto(path, checksum=True)
    raw = bytearray(path.read_bytes())
    raw[-2880 + 100] ^= 4
    path.write_bytes(raw)


def write_text(path):
    path.write_text("not FITS\n" * 1000)


def image_in_extension(path):
    data, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(data)]).writeto(path)


def crop(path):
    data, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    fits.PrimaryHDU(data[:-2], header).writeto(path)


def cut_extension(path):
    data, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    fits.HDUList([fits.PrimaryHDU(data, header), fits.ImageHDU(np.zeros((99, 99)))]).writeto(path)
    path.write_bytes(path.read_bytes()[:-2880])


BAD = r"r1-03\.fits: "

# Change made to read 3, message; all can be left out with --skip-bad-reads.
BROKEN = {
    "truncated": (truncate(3000), r"PRIMARY: got a file of \d+ bytes, expected at least \d+"),
    "one byte short": (truncate(1), r"PRIMARY: got a file of .*truncated"),
    "cut in the header": (keep_only(1000), r"PRIMARY: got"),
    "cut in an extension": (cut_extension, r"HDU 2: got a file of .*truncated"),
    "empty": (keep_only(0), r"PRIMARY: got .*it is empty"),
    "text": (write_text, r"PRIMARY: got .* SIMPLE, expected FITS"),
    "DATASUM": (wrong_datasum, r"DATASUM: got data in PRIMARY that do not match"),
    "float32": (as_type(np.float32), r"BITPIX: got float32 pixels, expected unsigned"),
    "int32": (as_type(np.int32), r"BITPIX: got int32 pixels, expected unsigned"),
    "int16": (as_type(np.int16), r"BITPIX: got int16 pixels, expected unsigned"),
    "uint8": (as_type(np.uint8), r"BITPIX: got uint8 pixels, expected unsigned"),
    "in an extension": (image_in_extension, r"NAXIS: got 0, expected 2"),
    "FULL of another size": (crop, r"SUBARRAY: got FULL with 38 pixels along axis 2, expected 40"),
    "SUBSIZE": (set_keys(SUBSIZE1=47), r"SUBSIZE1: got 47, expected the 48 pixels"),
    "window": (
        set_keys(SUBARRAY="CUSTOM", SUBSTRT2=2),
        r"SUBSTRT2: got a window from 2 to 41, expected one inside the 40",
    ),
    "window before 1": (set_keys(SUBSTRT1=0), r"SUBSTRT1: got 0, expected an integer"),
    "other shape": (
        lambda path: (crop(path), set_keys(DETSIZE2=NY - 2)(path)),
        r"NAXIS: got a shape of \(38, 48\), expected \(40, 48\)",
    ),
    "NOUTPUTS": (set_keys(NOUTPUTS=7), r"NOUTPUTS: got 7, expected a divisor of the 48 columns"),
    "NOUTPUTS 0": (set_keys(NOUTPUTS=0), r"NOUTPUTS: got 0, expected an integer"),
    "no OBS_ID": (set_keys(OBS_ID=None), r"OBS_ID: got no value"),
    "no DETECTOR": (set_keys(DETECTOR=None), r"DETECTOR: got no value"),
    "no EXP_NO": (set_keys(EXP_NO=None), r"EXP_NO: got no value"),
    "no RAMP_NO": (set_keys(RAMP_NO=None), r"RAMP_NO: got no value"),
    "no READ_NO": (set_keys(READ_NO=None), r"READ_NO: got no value"),
    "no READTIME": (set_keys(READTIME=None), r"READTIME: got no value"),
    "no RST_TIME": (set_keys(RST_TIME=None), r"RST_TIME: got no value"),
    "READ_NO text": (set_keys(READ_NO="3"), r"READ_NO: got 3 \(a string\), expected an integer"),
    "READ_NO 0": (set_keys(READ_NO=0), r"READ_NO: got 0, expected an integer"),
    "EXP_NO float": (set_keys(EXP_NO=1.5), r"EXP_NO: got 1\.5, expected an integer"),
    "DETECTOR": (
        set_keys(DETECTOR="IMG9"),
        r"DETECTOR: got 'IMG9', expected one of IMG1 IMG2 IMG3 IMG4 IFS",
    ),
    "DET_ID": (set_keys(DET_ID="IMG2"), r"DET_ID: got 'IMG2', expected 'IMG1' as in DETECTOR"),
    "IMTYPE": (
        set_keys(IMTYPE="SCIENCE"),
        r"IMTYPE: got 'SCIENCE', expected one of SCI SKY DARK FLAT",
    ),
    "FILTER": (set_keys(FILTER="Kxx"), r"FILTER: got 'Kxx', expected one of "),
    "before the reset": (
        set_keys(READTIME=RESET),
        r"READTIME: got \d+, expected no less than RST_TIME",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_reads_are_refused(run, ramp, tmp_path, case):
    reads, _, _ = ramp
    change, message = BROKEN[case]
    change(reads[2])
    done = run("-o", "L1.fits", *reads, expect=1)
    assert_complaint(done, BAD + message)
    assert_nothing_left(tmp_path, reads)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_reads_can_be_skipped(run, ramp, tmp_path, case):
    reads, counts, times = ramp
    change, _ = BROKEN[case]
    change(reads[2])
    done = run("-o", "L1.fits", "--skip-bad-reads", *reads)
    keep = [0, 1, 3, 4, 5]
    assert_planes(tmp_path / "L1.fits", truth(counts[keep], times[keep]))
    assert "left out as --skip-bad-reads says" in done.stderr
    receipt = {row["step"]: row for row in fits.getdata(tmp_path / "L1.fits", "RECEIPT")}
    assert json.loads(receipt["ingest"]["parameters"])["skipped"] == ["r1-03.fits"]
    assert "left out r1-03.fits" in receipt["ingest"]["reason"]
    assert "r1-03.fits" not in list(fits.getdata(tmp_path / "L1.fits", "INPUTS")["file"])


def test_the_odd_read_may_be_the_first(run, ramp, tmp_path):
    reads, counts, times = ramp
    crop(reads[0])
    set_keys(DETSIZE2=NY - 2)(reads[0])
    run("-o", "L1.fits", "--skip-bad-reads", *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts[1:], times[1:]))


# Change made to read 3, message; these end the command in any case.
REFUSED = {
    "no GAIN": (set_keys(GAIN=None), r"GAIN: got no value, expected a finite number above 0"),
    "GAIN 0": (set_keys(GAIN=0.0), r"GAIN: got 0\.?0?"),
    "GAIN < 0": (set_keys(GAIN=-2.0), r"GAIN: got -2\.0"),
    "GAIN text": (set_keys(GAIN="NaN"), r"GAIN: got NaN"),
    "GAIN varies": (set_keys(GAIN=2.0), r"GAIN: got 2\.0, expected 3\.0 as in r1-01\.fits"),
    "no READNOIS": (set_keys(READNOIS=None), r"READNOIS: got no value"),
    "READNOIS 0": (set_keys(READNOIS=0), r"READNOIS: got 0"),
    "other exposure": (set_keys(EXP_NO=2), r"EXP_NO: got '2', expected '1' as in r1-01\.fits: one"),
    "other observation": (set_keys(OBS_ID="X"), r"OBS_ID: got 'X'"),
    "other detector": (
        set_keys(DETECTOR="IMG2", DET_ID="IMG2"),
        r"DETECTOR: got 'IMG2', expected 'IMG1'",
    ),
    "other window": (set_keys(SUBARRID="W2"), r"SUBARRID: got 'W2'"),
    "one identity": (set_keys(READ_NO=2), r"READ_NO: got another read 2 of ramp 1 than in r1-02"),
    "equal times": (
        set_keys(READTIME=RESET + 100_000_000 + 2 * FRAME_US),
        r"READTIME: got 3\.5.* s after the reset, expected more than the 3\.5",
    ),
    "falling times": (
        set_keys(READTIME=RESET + 100_000_000 + FRAME_US // 2),
        r"READTIME: got 0\.875.* s after the reset",
    ),
    "two resets": (
        set_keys(RST_TIME=RESET + 100_000_001),
        r"RST_TIME: got \d+, expected \d+ as in the other reads of ramp 1",
    ),
    "a ramp of one read": (set_keys(RAMP_NO=2), r"READ_NO: got one read in ramp 2"),
}


@pytest.mark.parametrize("skip", [False, True], ids=["", "--skip-bad-reads"])
@pytest.mark.parametrize("case", REFUSED)
def test_contradictions_are_refused(run, ramp, tmp_path, case, skip):
    reads, _, _ = ramp
    change, message = REFUSED[case]
    change(reads[2])
    done = run("-o", "L1.fits", *(["--skip-bad-reads"] if skip else []), *reads, expect=1)
    assert_complaint(done, BAD + message)
    assert_nothing_left(tmp_path, reads)


@pytest.mark.parametrize("value", [b"inf", b"NaN", b"", b"3.0x"])
def test_gain_that_is_no_finite_number_is_refused(run, ramp, value):
    reads, _, _ = ramp
    for path in reads:
        patch_card(path, "GAIN", b"GAIN    = " + value)
    done = run("-o", "L1.fits", *reads, expect=1)
    assert_complaint(done, r"r1-01\.fits: GAIN: got .*, expected a finite number .* --gain")


def test_options_stand_in_for_the_header(run, tmp_path):
    counts, times = make_counts()
    reads = write_ramp(tmp_path, counts, GAIN=None, READNOIS=-1.0)
    run("-o", "L1.fits", "--gain", "3.0", "--read-noise", "9", *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def test_fortran_exponents_are_numbers(run, ramp, tmp_path):
    reads, counts, times = ramp
    for path in reads:
        patch_card(path, "GAIN", b"GAIN    = 0.3D+01 / e-/DN")
    run("-o", "L1.fits", *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def test_one_read_is_refused(run, ramp, tmp_path):
    reads, _, _ = ramp
    for mode in ("utr", "cds", "mcds"):
        done = run("--mode", mode, "-o", "L1.fits", reads[0], expect=1)
        assert_complaint(done, r"READ_NO: got one read in ramp 1, expected at least two")
    assert_nothing_left(tmp_path, reads)


def test_all_reads_skipped_is_refused(run, ramp, tmp_path):
    reads, _, _ = ramp
    for path in reads:
        path.write_bytes(b"")
    done = run("-o", "L1.fits", "--skip-bad-reads", *reads, expect=1)
    assert_complaint(done, "reads: got no read that can be used")


def test_unknown_sampmode_needs_a_mode(run, tmp_path):
    counts, times = make_counts()
    reads = write_ramp(tmp_path, counts, SAMPMODE="FOO")
    done = run("-o", "L1.fits", *reads, expect=1)
    assert_complaint(done, r"SAMPMODE: got 'FOO', expected UTR, CDS or MDS; give --mode")
    run("-o", "L1.fits", "--mode", "utr", *reads)
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def flip_packed_byte(content):
    packed = bytearray(gzip.compress(content))
    packed[3000] ^= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: gzip.compress(b)[:-300], r"r\.fits\.gz: "),
        (lambda b: gzip.compress(b)[:-4], r"file: got a gzip file that ends too early"),
        (lambda b: gzip.compress(b[:-2880]), r"r\.fits\.gz: PRIMARY: got a file of .*truncated"),
        (flip_packed_byte, r"PRIMARY: got"),
        (lambda b: b"\x1f\x8bnot gzip at all", r"r\.fits\.gz: PRIMARY: got"),
    ],
    ids=["cut", "cut in the trailer", "truncated before packing", "bit rot", "only the magic"],
)
def test_broken_gzip_is_refused(run, ramp, tmp_path, spoil, message):
    reads, _, _ = ramp
    packed = tmp_path / "r.fits.gz"
    packed.write_bytes(spoil(reads[2].read_bytes()))
    reads[2].unlink()
    rest = [*reads[:2], *reads[3:]]
    done = run("-o", "L1.fits", packed, *rest, expect=1)
    assert_complaint(done, message)
    assert_nothing_left(tmp_path, [packed, *rest])


def drop_times(hdus):
    del hdus["TIMES"]


def shorten_times(hdus):
    hdus["TIMES"].data = hdus["TIMES"].data[:-1]


def number_from_zero(hdus):
    hdus["TIMES"].data["READ_NO"] -= 1


def reverse_clock(hdus):
    hdus["TIMES"].data["READTIME"] = hdus["TIMES"].data["READTIME"][::-1].copy()


def repeat_number(hdus):
    hdus["TIMES"].data["READ_NO"][3] = 3


def bad_tframe(hdus):
    del hdus["TIMES"]
    hdus[0].header["TFRAME"] = 0.0


def no_reset(hdus):
    del hdus[0].header["RST_TIME"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_times, "TFRAME: got no value and no TIMES table"),
        (shorten_times, "TIMES: got 5 rows, expected one for each of the 6 reads"),
        (number_from_zero, "READ_NO: got 0 in TIMES"),
        (reverse_clock, "READTIME: got .* s after the reset, expected more"),
        (repeat_number, "READ_NO: got another read 3 of ramp 1"),
        (bad_tframe, r"TFRAME: got 0\.0 and no TIMES table"),
        (no_reset, "RST_TIME: got no value"),
    ],
)
def test_bad_cubes_are_refused(run, tmp_path, spoil, message):
    counts, times = make_counts()
    cube = write_cube(tmp_path / "cube.fits", counts, times, table=True)
    with fits.open(cube, mode="update") as hdus:
        spoil(hdus)
    assert_complaint(run("-o", "L1.fits", cube, expect=1), r"cube\.fits: " + message)
    assert_nothing_left(tmp_path, [cube])


def test_known_filters_are_those_of_the_package(run, ramp):
    reads, _, _ = ramp
    set_keys(FILTER="bogus")(reads[0])
    done = run("-o", "L1.fits", *reads, expect=1)
    listed = done.stderr.split("expected one of ")[1].split(";")[0].split()
    assert set(listed) == set(filters.FILTERS) | filters.OPAQUE_OR_OPEN
    set_keys(FILTER="K", DETECTOR="bogus")(reads[0])
    done = run("-o", "L1.fits", *reads, expect=1)
    listed = done.stderr.split("expected one of ")[1].split(";")[0].split()
    assert listed == list(detectors.DETECTORS)


# --- what is used, with a warning -----------------------------------------------------------------


def wrong_checksum(path):
    data, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    fits.PrimaryHDU(data, header).writeto(path, checksum=True)
    patch_card(path, "OBJECT", b"OBJECT  = 'M 93'")
    patch_card(path, "OBJECT", b"OBJECT  = 'M 92'              / edited by hand")


WARNED = {
    "CHECKSUM": (wrong_checksum, r"r1-03.fits: CHECKSUM: got a header in PRIMARY that does not"),
    "trailing bytes": (
        lambda path: path.write_bytes(path.read_bytes() + b"hello" * 700),
        r"r1-03.fits: end: got 3500 bytes after the last HDU",
    ),
    "HIERARCH": (
        lambda path: patch_card(path, "OBJECT", b"HIERARCH ESO X = 1"),
        r"r1-03.fits: header: got HIERARCH cards",
    ),
    "lower case": (
        lambda path: patch_card(path, "GAIN", b"gain    = 3.0"),
        r"r1-03.fits: header: got lower-case keywords",
    ),
    "not ASCII": (
        lambda path: patch_card(path, "OBJECT", b"OBJECT  = 'caf\xe9'"),
        r"r1-03.fits: header: got bytes that are not text",
    ),
}


@pytest.mark.parametrize("case", WARNED)
def test_odd_files_work_with_a_warning(run, ramp, tmp_path, case):
    reads, counts, times = ramp
    change, message = WARNED[case]
    change(reads[2])
    done = run("-o", "L1.fits", *reads)
    assert f"iris-readout: warning: {message}" in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times))
    with fits.open(tmp_path / "L1.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["OBJECT"] == "M 92"
        assert hdus[0].header["GAIN"] == 3.0


def test_good_checksums_pass_silently(run, tmp_path):
    counts, times = make_counts()
    reads = [
        write_read(tmp_path / f"{i}.fits", plane, make_header(1, i + 1), checksum=True)
        for i, plane in enumerate(counts)
    ]
    done = run("-o", "L1.fits", *reads)
    assert "SUM" not in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times))


def test_copies_are_used_once(run, ramp, tmp_path):
    reads, counts, times = ramp
    same = tmp_path / "same.fits"
    shutil.copy(reads[2], same)
    packed = tmp_path / "packed.fits.gz"
    packed.write_bytes(gzip.compress(reads[4].read_bytes()))
    done = run("-o", "L1.fits", *reads, same, packed, reads[1])
    assert done.stderr.count("got the same read as in") == 3
    assert "same.fits: READ_NO: got the same read as in r1-03.fits" in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts, times))
    assert len(fits.getdata(tmp_path / "L1.fits", "INPUTS")) == NREAD


def test_an_aborted_ramp_works_with_a_warning(run, ramp, tmp_path):
    reads, counts, times = ramp
    done = run("-o", "L1.fits", *reads[:4])
    assert "warning: r1-01.fits: NUMREADS: got 4 reads in ramp 1, expected 6" in done.stderr
    assert_planes(tmp_path / "L1.fits", truth(counts[:4], times[:4]))


def test_no_imtype_is_one_warning(run, tmp_path):
    counts, _ = make_counts()
    done = run("-o", "L1.fits", *write_ramp(tmp_path, counts, IMTYPE=None))
    assert done.stderr.count("IMTYPE: got no value") == 1


def test_missing_ramps_are_a_warning(run, tmp_path):
    counts, _ = make_counts()
    done = run("-o", "L1.fits", *write_ramp(tmp_path, counts, NUMRAMPS=2))
    assert "warning: r1-01.fits: NUMRAMPS: got 1 ramps, expected 2" in done.stderr


def test_steps_without_a_reference_are_a_warning(run, ramp):
    done = run("-o", "L1.fits", *ramp[0])
    assert "linearity: got no linearity reference, expected one; the step is SKIPPED" in done.stderr
    assert "dq_init: got no dq reference" in done.stderr
    assert "saturation: got no saturation reference; the level is 60000 DN" in done.stderr
    assert done.stdout == "L1.fits: 6 reads in 1 ramp, utr\n"


def test_quiet(run, ramp):
    done = run("-o", "L1.fits", "--quiet", *ramp[0][:3])
    assert done.stdout == done.stderr == ""


def test_no_saturation_level_is_the_converter(run, tmp_path):
    counts, times = make_counts()
    run("-o", "L1.fits", *write_ramp(tmp_path, counts, SATURATE=None))
    assert_planes(tmp_path / "L1.fits", truth(counts, times, saturation=65535.0))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("content", ["noise", "zero bytes", "one bits", "odd end"])
def test_datasum_is_that_of_the_standard(run, tmp_path, content, packed):
    """Sums of extensions too, against those that astropy wrote."""
    counts, _ = make_counts()
    counts[:] = {"zero bytes": 32768, "one bits": 32767}.get(content, counts)
    extra = np.arange(7 if content == "odd end" else 5000, dtype=np.uint8)
    reads = []
    for i, plane in enumerate(counts):
        hdus = fits.HDUList([fits.PrimaryHDU(plane), fits.ImageHDU(extra)])
        hdus[0].header.update(make_header(1, i + 1))
        reads.append(tmp_path / f"{i}.fits")
        hdus.writeto(reads[-1], checksum=True)
    broken = bytearray(reads[3].read_bytes())
    broken[-2880] ^= 1  # the first byte of the extension, or of its last block
    if packed:
        reads[3].write_bytes(gzip.compress(reads[3].read_bytes()))
    done = run("-o", "L1.fits", "--saturation", "65535", *reads)
    assert "SUM" not in done.stderr
    reads[3].write_bytes(gzip.compress(broken) if packed else broken)
    done = run("-o", "L2.fits", *reads, expect=1)
    assert_complaint(done, r"3\.fits: DATASUM: got data in HDU 2 that do not match it")


def start_and_hold(command, arguments, cwd):
    """Start the command with a full pipe for its warnings: it waits after the reads are checked."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"\n" * 4096)
    os.set_blocking(write_end, True)
    started = subprocess.Popen([command, *map(str, arguments)], stderr=write_end, cwd=cwd)
    os.close(write_end)
    stat = Path(f"/proc/{started.pid}/stat")
    asleep = 0
    while asleep < 25:  # half a second: nothing but the pipe holds it so long
        time.sleep(0.02)
        asleep = asleep + 1 if stat.read_text().rsplit(")", 1)[1].split()[0] == "S" else 0
    return started, read_end


def rewrite(path):
    new = bytearray(path.read_bytes())
    new[-2880] ^= 1
    path.write_bytes(new)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("packed", "change", "message"),
    [
        (False, truncate(3000), r"file: got a file of \d+ bytes, expected the \d+ .*truncated"),
        (False, keep_only(0), r"file: got a file of 0 bytes, expected the \d+ .*truncated since"),
        (False, rewrite, r"file: got a file that was changed since it was checked, expected"),
        (False, Path.unlink, r"PRIMARY: got 'could not open the named file'"),
        (True, truncate(30), r"file: got a file of \d+ bytes, expected the \d+ .*truncated since"),
    ],
    ids=["truncated", "emptied", "rewritten", "removed", "packed, truncated"],
)
def test_a_file_that_changes_between_check_and_fit(
    command, ramp, tmp_path, packed, change, message
):
    reads, _, _ = ramp
    if packed:
        reads[4].write_bytes(gzip.compress(reads[4].read_bytes()))
    started, read_end = start_and_hold(command, ["-o", "L1.fits", *reads], tmp_path)
    change(reads[4])
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    assert started.wait(timeout=30) == 1
    last = said.strip().splitlines()[-1]
    assert re.search(r"iris-readout: r1-05\.fits: " + message, last), last
    assert re.search(r"got .*expected .*; ", last)
    assert not (tmp_path / "L1.fits").exists()


# --- output by rename only ------------------------------------------------------------------------


def test_an_existing_file_is_replaced_only_on_request(run, ramp, tmp_path):
    reads, counts, times = ramp
    old = tmp_path / "L1.fits"
    old.write_bytes(b"mine")
    done = run("-o", "L1.fits", *reads, expect=1)
    assert_complaint(done, r"L1\.fits: -o: got a file that exists, expected .*--overwrite")
    assert old.read_bytes() == b"mine"
    reads[2].rename(tmp_path / "away")
    run("-o", "L1.fits", "--overwrite", *reads, expect=1)
    assert old.read_bytes() == b"mine"
    (tmp_path / "away").rename(reads[2])
    run("-o", "L1.fits", "--overwrite", *reads)
    assert_planes(old, truth(counts, times))
    assert_nothing_left(tmp_path, [*reads, old])


@pytest.mark.parametrize("how", ["name", "link"])
def test_an_input_is_never_the_output(run, ramp, tmp_path, how):
    reads, _, _ = ramp
    before = reads[1].read_bytes()
    target = reads[1].name
    if how == "link":
        (tmp_path / "link.fits").symlink_to(reads[1])
        target = "link.fits"
    done = run("-o", target, "--overwrite", *reads, expect=1)
    assert_complaint(done, "-o: got one of the inputs, expected another file")
    assert reads[1].read_bytes() == before


def test_inputs_are_not_touched(run, ramp):
    reads, _, _ = ramp
    for path in reads:
        path.chmod(0o444)
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in reads]
    run("-o", "L1.fits", *reads)
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in reads] == before


def test_a_folder_that_is_not_there_is_refused(run, ramp):
    done = run("-o", "nowhere/L1.fits", *ramp[0], expect=1)
    assert_complaint(done, r"L1\.fits: -o: got 'No such file or directory', expected a folder")


@pytest.mark.parametrize("limit", [0, 4000, 40_000, 60_000])
def test_a_full_disk_leaves_nothing(run, ramp, tmp_path, limit):
    reads, _, _ = ramp

    def cap():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run("-o", "L1.fits", *reads, expect=1, preexec_fn=cap)
    assert "L1.fits: -o: got" in done.stderr.splitlines()[-1]
    assert_nothing_left(tmp_path, reads)


def test_signals_leave_nothing(command, tmp_path):
    """Whenever the signal comes, the product is whole or not there."""
    counts = np.random.default_rng(3).integers(5000, 6000, (3, 512, 512)).astype(np.uint16)
    reads = write_ramp(tmp_path, counts, DETSIZE1=512, DETSIZE2=512)
    output = tmp_path / "L1.fits"
    arguments = [command, "--quiet", "-o", str(output), *map(str, reads)]
    states = set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        started = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while started.poll() is None and time.monotonic() < deadline:
            if any(p.name.startswith(".iris-readout.") for p in tmp_path.iterdir()):
                started.send_signal(number)
                break
        started.communicate(timeout=30)
        states.add(started.returncode)
        assert started.returncode in (0, -number)
        if output.exists():
            with fits.open(output, checksum=True) as hdus:
                assert hdus[-1].name == "INPUTS"
            output.unlink()
        assert_nothing_left(tmp_path, reads)
    assert states


# --- usage ----------------------------------------------------------------------------------------


def wrong(*arguments):
    return [*arguments, "-o", "L1.fits", "a.fits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "-o: got no output file"),
        (["a.fits"], "-o: got no output file"),
        (["-o", "L1.fits"], "READ.fits: got no reads"),
        (["-o"], "-o: got no value"),
        (["--mode", "likelihood", "-o", "L1.fits", "a.fits"], "--mode: got 'likelihood'"),
        (["--bogus", "-o", "L1.fits", "a.fits"], "--bogus: got an option that is not known"),
        (["--jump-sigma", "-1", "-o", "L1.fits", "a.fits"], "--jump-sigma: got '-1'"),
        (["--jump-sigma", "nan", "-o", "L1.fits", "a.fits"], "--jump-sigma: got 'nan'"),
        (["--threads", "two", "-o", "L1.fits", "a.fits"], "--threads: got 'two'"),
        (["--nfowler", "0", "-o", "L1.fits", "a.fits"], "--nfowler: got '0'"),
        (["--gain", "-3", "-o", "L1.fits", "a.fits"], "--gain: got -3"),
        (["--read-noise", "inf", "-o", "L1.fits", "a.fits"], "--read-noise: got inf"),
        (["--saturation", "0", "-o", "L1.fits", "a.fits"], "--saturation: got 0"),
        (["-o", "L1.fits.gz", "a.fits"], "-o: got 'L1.fits.gz', expected a name without .gz"),
        (wrong("--mode", "ols"), "--mode: got 'ols', expected utr, cds or mcds; see"),
        (wrong("--estimator", "best"), "--estimator: got 'best', expected likelihood or ols; see"),
        (wrong("--isa", "mmx"), "--isa: got 'mmx', expected auto, baseline, avx2 or avx512; see"),
        (wrong("--combine", "median"), "--combine: got 'median', expected mean or sum; see"),
        (wrong("--reject-sigma", "-1"), "--reject-sigma: got '-1'"),
        (wrong("--side-rows", "4"), "--side-rows: got '4', expected an odd integer, or 0 for none"),
        (wrong("--side-rows", "-1"), "--side-rows: got '-1'"),
        (wrong("--memory-limit", "lots"), "--memory-limit: got 'lots', expected bytes such as"),
        (wrong("--memory-limit", "2T"), "--memory-limit: got '2T'"),
        (wrong("--memory-limit", "-1k"), "--memory-limit: got '-1k'"),
        (wrong("--memory-limit", "nan"), "--memory-limit: got 'nan'"),
        (wrong("--memory-limit", "1e30"), "--memory-limit: got '1e30'"),
        (wrong("--max-events", "1.5"), "--max-events: got '1.5', expected an integer"),
        (wrong("--drop", "0"), "--drop: got '0', expected numbers of reads from 1 on"),
        (wrong("--drop", "5-3"), "--drop: got '5-3'"),
        (wrong("--drop", "1,"), "--drop: got '1,'"),
        (wrong("--drop", "1-2-3"), "--drop: got '1-2-3'"),
        (wrong("--drop", "all"), "--drop: got 'all'"),
        (wrong("--drop", "99999999999999999999"), "--drop: got '99999999999999999999'"),
        (wrong("--weight-keyword", "TOO_LONG_A"), "--weight-keyword: got 'TOO_LONG_A', expected"),
        (wrong("--weight-keyword", "A*"), "--weight-keyword: got 'A*'"),
        (wrong("--weight-keyword", ""), "--weight-keyword: got ''"),
        (wrong("--weight-rule", "square"), "--weight-rule: got 'square', expected linear or"),
        (wrong("--weight-rule", "threshold=1.5"), "--weight-rule: got 'threshold=1.5'"),
        (wrong("--weight-rule", "threshold="), "--weight-rule: got 'threshold='"),
        (
            wrong("--weight-rule", "linear"),
            "--weight-rule: got 'linear' alone, expected --weight-k",
        ),
        (wrong("--guide-window", "1,2,3"), "--guide-window: got '1,2,3', expected X,Y,NX,NY"),
        (wrong("--guide-window", "0,1,1,1"), "--guide-window: got '0,1,1,1'"),
        (wrong("--guide-window", "1,1,1,1,1"), "--guide-window: got '1,1,1,1,1'"),
        (wrong("--guide-margin", "-2"), "--guide-margin: got '-2', expected an integer"),
        (wrong("--no-snowballs=1"), "--no-snowballs=1: got an option that is not known or takes"),
    ],
)
def test_wrong_usage_is_status_2(run, arguments, message):
    done = run(*arguments, expect=2)
    assert done.stderr.startswith(f"iris-readout: {message}")
    assert "expected" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_version(run):
    done = run("--help")
    for option in ("--mode", "--skip-bad-reads", "--overwrite", "--debug", "Exit status"):
        assert option in done.stdout
    assert run("--version").stdout == f"iris-readout {iris_readout.__version__}\n"


def test_help_and_manual_name_the_same_options(run):
    manual = Path(__file__).parents[1] / "iris_readout" / "tools" / "iris-readout.1"
    written = manual.read_text().replace("\\-", "-")
    options = re.compile(r"--[a-z][a-z0-9-]+")
    assert set(options.findall(run("--help").stdout)) == set(options.findall(written))


def test_debug_adds_the_words_of_cfitsio(run, ramp):
    reads, _, _ = ramp
    keep_only(1000)(reads[0])
    done = run("--debug", "-o", "L1.fits", *reads, expect=1)
    assert "iris-readout: cfitsio: " in done.stderr


def test_a_missing_read_and_a_folder_are_named(run, ramp, tmp_path):
    reads, _, _ = ramp
    done = run("-o", "L1.fits", *reads, "gone.fits", expect=1)
    assert_complaint(done, r"gone\.fits: file: got 'No such file or directory', expected")
    (tmp_path / "folder.fits").mkdir()
    done = run("-o", "L1.fits", *reads, "folder.fits", expect=1)
    assert_complaint(done, r"folder\.fits: file: got something that is not a plain file")


def test_names_with_brackets_are_plain_names(run, tmp_path):
    """CFITSIO would take brackets and a leading exclamation mark as commands."""
    folder = tmp_path / "odd"
    folder.mkdir()
    counts, times = make_counts()
    reads = []
    for i, plane in enumerate(counts):
        path = folder / f"read[{i}](1)+2.fits"
        reads.append(write_read(path, plane, make_header(1, i + 1)))
    run("-o", "odd/!L1[0].fits", *reads)
    assert_planes(folder / "!L1[0].fits", truth(counts, times))
