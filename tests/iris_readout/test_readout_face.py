"""How arrays go in and out: byte order, strides, reuse, planes, threads, headers."""

import threading

import numpy as np
import pytest

import iris_readout

SHAPE = (40, 48)
TIMES = [0.5, 1.0, 2.0, 3.5]
OPTIONS = {"gain": 2.0, "read_noise": 10.0, "noutputs": 6, "jump_sigma": 3.0}


@pytest.fixture(name="reads")
def fixture_reads():
    rng = np.random.default_rng(5)
    reads = rng.integers(1000, 1100, (4, *SHAPE)) + 20 * np.arange(4)[:, None, None]
    reads[2:, 20, 20] = 65535
    return reads.astype(np.uint16)


def assert_same(got, expected):
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    assert got.events.dtype == expected.events.dtype
    for name in got.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


def test_dtypes(reads):
    result = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    for name, dtype in iris_readout.PLANES.items():
        assert getattr(result, name).dtype == dtype
        assert getattr(result, name).shape == SHAPE
    assert [(n, t.str) for n, (t, _) in result.events.dtype.fields.items()] == [
        ("ramp", "<i4"),
        ("read", "<i4"),
        ("y", "<i4"),
        ("x", "<i4"),
        ("kind", "<U10"),
        ("amplitude", "<f4"),
        ("sigma", "<f4"),
    ]
    keys = result.events[["ramp", "y", "x", "read"]].tolist()
    assert len(keys) > 1
    assert keys == sorted(keys)


def test_byte_order_and_strides_of_reads(reads):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    big = np.zeros((4, SHAPE[0], 2 * SHAPE[1]), ">u2")
    big[:, :, ::2] = reads
    read_only = reads.copy()
    read_only.flags.writeable = False
    fortran = [np.asfortranarray(read) for read in reads]
    flipped = reads[:, ::-1].copy()[:, ::-1]
    for same in (reads.astype(">u2"), big[:, :, ::2], read_only, fortran, flipped, list(reads)):
        assert_same(iris_readout.fit_ramp(same, TIMES, **OPTIONS), expected)


def test_byte_order_strides_and_dtype_of_maps(reads):
    rng = np.random.default_rng(6)
    gain = rng.uniform(1.5, 2.5, SHAPE).astype(np.float32)
    noise = rng.uniform(8, 12, SHAPE).astype(np.float32)
    coeffs = np.array([0, 1, 1e-6], np.float32)[:, None, None] * np.ones((3, *SHAPE), np.float32)
    dq = rng.integers(0, 2, SHAPE).astype(np.uint32) << 11

    def fit(convert):
        options = {
            "gain": convert(gain),
            "read_noise": convert(noise),
            "linearity": (convert(coeffs), convert(gain * 1e5), None),
            "saturation": convert(gain * 30000),
            "bad_pixels": convert(dq),
        }
        return iris_readout.fit_ramp(reads, TIMES, **{**OPTIONS, **options})

    expected = fit(lambda a: a)
    for convert in (
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a.astype(float) if a.dtype.kind == "f" else a,
    ):
        assert_same(fit(convert), expected)


def test_nothing_that_was_handed_over_is_changed(reads):
    maps = {
        "gain": np.full(SHAPE, 2.0, np.float32),
        "read_noise": np.full(SHAPE, 9.0, np.float32),
        "saturation": np.full(SHAPE, 9e4, np.float32),
        "bad_pixels": np.full(SHAPE, 1 << 12, np.uint32),
        "linearity": (np.ones((2, *SHAPE), np.float32), np.full(SHAPE, 9e4, np.float32), None),
    }
    arrays = [
        reads,
        *[m for m in maps.values() if isinstance(m, np.ndarray)],
        *maps["linearity"][:2],
    ]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    iris_readout.fit_ramp(reads, TIMES, **{**OPTIONS, **maps})
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_buffer_may_be_reused_and_maps_dropped(reads):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    gain = np.full(SHAPE, 2.0, np.float32)
    fitter = iris_readout.RampFitter(SHAPE, **{**OPTIONS, "gain": gain})
    del gain
    buffer = np.empty(SHAPE, ">u2")
    for read, time in zip(reads, TIMES, strict=True):
        buffer[:] = read
        fitter.push(buffer, time)
    buffer[:] = 0
    assert_same(fitter.finish(), expected)


def test_a_fitter_takes_one_ramp_after_the_other(reads):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS)
    for _ in range(3):
        for number, (read, time) in enumerate(zip(reads, TIMES, strict=True)):
            assert fitter.nread in (number, len(reads))
            fitter.push(read, time)
        assert_same(fitter.finish(), expected)
        assert_same(fitter.finish(), expected)


def test_a_refused_read_leaves_the_ramp_as_it_was(reads):
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS)
    for read, time in zip(reads, TIMES, strict=True):
        fitter.push(read, time)
        with pytest.raises(iris_readout.Error):
            fitter.push(read, time)
        with pytest.raises(iris_readout.Error):
            fitter.push(read.astype(float), time + 0.1)
        with pytest.raises(iris_readout.Error):
            fitter.push(read, "later")
    assert_same(fitter.finish(), iris_readout.fit_ramp(reads, TIMES, **OPTIONS))


@pytest.mark.parametrize("nthreads", [0, 2, 5])
def test_threads_change_no_bit(reads, nthreads):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, nthreads=1, saturation_grow=1)
    got = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, nthreads=nthreads, saturation_grow=1)
    assert_same(got, expected)


def test_fitters_of_several_python_threads(reads):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    results = [None] * 4

    def work(i):
        results[i] = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_same(result, expected)


def fitted(reads):
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS)
    for read, time in zip(reads, TIMES, strict=True):
        fitter.push(read, time)
    return fitter


def test_planes_asked_for(reads):
    fitter = fitted(reads)
    everything = fitter.finish()
    some = fitter.finish(planes=["dq", "var_read"])
    np.testing.assert_array_equal(some.dq, everything.dq)
    np.testing.assert_array_equal(some.var_read, everything.var_read)
    assert some.rate is None
    assert some.chi2 is None
    assert some.events is None
    assert fitter.finish(planes={"events"}).events.size == everything.events.size
    with pytest.raises(ValueError, match=r"planes: got \['flux'\], expected some of rate, "):
        fitter.finish(planes=["flux", "dq"])


def test_memory_is_reused(reads):
    fitter = fitted(reads)
    first = fitter.finish()
    expected = {name: getattr(first, name).copy() for name in iris_readout.PLANES}
    for name in iris_readout.PLANES:
        getattr(first, name)[:] = 77
    again = fitter.finish(out=first)
    for name in iris_readout.PLANES:
        assert getattr(again, name) is getattr(first, name)
        np.testing.assert_array_equal(getattr(again, name), expected[name])
    part = fitter.finish(planes=["rate"])
    assert fitter.finish(out=part).dq is None
    both = fitter.finish(out=part, planes=["rate", "nused"])
    assert both.rate is part.rate
    np.testing.assert_array_equal(both.nused, expected["nused"])


def test_memory_that_cannot_be_reused(reads):
    fitter = fitted(reads)
    result = fitter.finish()
    result.dq.flags.writeable = False
    with pytest.raises(
        ValueError, match=r"out\.dq: expected a contiguous array that can be written"
    ):
        fitter.finish(out=result)
    smaller = iris_readout.fit_ramp(reads[:, :20], TIMES, **OPTIONS)
    with pytest.raises(ValueError, match=r"out\.rate: got shape \(20, 48\)"):
        fitter.finish(out=smaller)


def test_combined_ramps(reads):
    one = iris_readout.fit_ramp(reads, TIMES, **OPTIONS)
    both = iris_readout.combine_ramps([one, one])
    np.testing.assert_allclose(both.rate, one.rate, rtol=1e-6)
    np.testing.assert_allclose(both.var_read, one.var_read / 2, rtol=1e-6)
    np.testing.assert_allclose(
        both.var_photon, np.maximum(both.rate, 0) * one.photon_factor / 2, rtol=1e-5
    )
    np.testing.assert_array_equal(both.dq, one.dq)
    np.testing.assert_array_equal(both.nused, 2 * one.nused)
    assert list(both.events["ramp"]) == [1] * len(one.events) + [2] * len(one.events)
    single = iris_readout.combine_ramps([one])
    np.testing.assert_allclose(single.rate, one.rate, rtol=1e-6)
    np.testing.assert_array_equal(single.dq, one.dq)


def test_ramps_that_cannot_be_combined(reads):
    fitter = fitted(reads)
    one = fitter.finish()
    with pytest.raises(ValueError, match="results: got none"):
        iris_readout.combine_ramps([])
    with pytest.raises(TypeError, match="result 2 dq: got dtype object, expected uint32"):
        iris_readout.combine_ramps([one, fitter.finish(planes=set(iris_readout.PLANES) - {"dq"})])
    smaller = iris_readout.fit_ramp(reads[:, :20], TIMES, **OPTIONS)
    with pytest.raises(ValueError, match="result 2 rate: got shape"):
        iris_readout.combine_ramps([one, smaller])
    few = iris_readout.combine_ramps(
        [one, fitter.finish(planes=set(iris_readout.PLANES) - {"nused"})]
    )
    assert few.nused is None
    assert few.chi2 is None
    assert few.events is None


def card(text):
    return text.ljust(80).encode()


def test_merged_headers():
    headers = [
        card("OBSERVER= 'A'") + card(f"READTIME= {k}") + card("END").ljust(2880)
        for k in (10, 20, 30)
    ]
    merged = iris_readout.merge_headers(headers)
    cards = [merged[i : i + 80].decode().split("/")[0].rstrip() for i in range(0, len(merged), 80)]
    assert [c[:8].rstrip() for c in cards] == ["OBSERVER", "READTIME", "READTE_S", "READTE_E"]
    assert [c.split("=")[1].strip() for c in cards[1:]] == ["20", "10", "30"]


def test_headers_that_cannot_be_merged():
    with pytest.raises(TypeError, match="header 1: got str, expected bytes"):
        iris_readout.merge_headers(["SIMPLE  =                    T"])
    with pytest.raises(ValueError, match="header 2: got 79 bytes, expected a multiple of 80"):
        iris_readout.merge_headers([card("A"), card("B")[:79]])
    with pytest.raises(iris_readout.Error):
        iris_readout.merge_headers([])
