"""Reference-pixel kernels against simulated noise and a least-squares fit in real space."""

import numpy as np
import pytest

from liger_iris_pipeline.algorithms.ramp.reference_weights import fit_reference_weights
from liger_iris_pipeline.errors import InputError

NY, NX, BORDER, NOUT = 136, 64, 4, 4
WIDTH = NX // NOUT


def pink(nrow, rms, rng):
    """Draw 1/f noise (nrow,) of the given rms, cut out of a series twice as long."""
    frequency = np.fft.rfftfreq(2 * nrow)
    amplitude = np.zeros(len(frequency))
    amplitude[1:] = frequency[1:] ** -0.5
    phases = rng.normal(size=len(frequency)) + 1j * rng.normal(size=len(frequency))
    series = np.fft.irfft(amplitude * phases, 2 * nrow)
    return rms * series[:nrow] / series.std()


def dark(outputs, left, right, white, rng):
    """Build a dark (NY, NX) from the row noise of its outputs and of its side columns."""
    frame = np.repeat(np.asarray(outputs).T, WIDTH, axis=1)
    frame[:, :BORDER] = left[:, None]
    frame[:, -BORDER:] = right[:, None]
    return frame + white * rng.normal(size=(NY, NX))


def predict(left, right, kernel_left, kernel_right):
    """Apply kernels as the header of iris_readout says, away from the ends."""
    nlag = len(kernel_left)
    h = (nlag - 1) // 2
    out = np.full(len(left), np.nan)
    for y in range(h, len(left) - h):
        out[y] = sum(
            kernel_left[j] * left[y + j - h] + kernel_right[j] * right[y + j - h]
            for j in range(nlag)
        )
    return out


def common_darks(number, seed, white=9.0, rms=5.0):
    """Draw darks whose outputs and sides share pink noise."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        noise = pink(NY, rms, rng)
        yield dark([noise] * NOUT, noise, noise, white, rng)


def test_kernels_point_at_the_rows_that_know():
    """Output 0 follows L a row later, output 1 follows R two rows earlier, output 2 both."""
    rng = np.random.default_rng(1)
    darks = []
    for _ in range(30):
        left, right = rng.normal(size=(2, NY)) * 20.0
        outputs = [np.roll(0.7 * left, 1), np.roll(0.5 * right, -2), left - right, 0.0 * left]
        darks.append(dark(outputs, left, right, 1.0, rng))
    kernel_left, kernel_right = fit_reference_weights(darks, NOUT, BORDER, 17)

    def expected(index, value):
        kernel = np.zeros(17)
        kernel[index] = value
        return kernel

    # what is left beside the taps is the taper of lags: 3 % a row away, 12 % two rows away
    np.testing.assert_allclose(kernel_left[0], expected(8 - 1, 0.7), atol=0.05)
    np.testing.assert_allclose(kernel_right[1], expected(8 + 2, 0.5), atol=0.08)
    np.testing.assert_allclose(kernel_left[2], expected(8, 1.0), atol=0.05)
    np.testing.assert_allclose(kernel_right[2], expected(8, -1.0), atol=0.05)
    for kernel in (kernel_right[0], kernel_left[1], kernel_left[3], kernel_right[3]):
        np.testing.assert_allclose(kernel, 0.0, atol=0.05)


def test_as_good_as_least_squares_in_real_space():
    """On fresh noise the kernels leave as much as a fit of every tap to a hundred more darks."""
    nlag, h = 31, 15
    rng = np.random.default_rng(3)
    kernel_left, kernel_right = fit_reference_weights(common_darks(60, 2), NOUT, BORDER, nlag)

    def draw(number):
        """Draw rows of L, R and the truth without going through pixels."""
        for _ in range(number):
            truth = pink(NY, 5.0, rng)
            truth -= truth.mean()
            yield *(truth + rng.normal(size=(2, NY)) * 9.0 / 2.0), truth

    design, wanted = [], []
    for left, right, truth in draw(160):
        for y in range(h, NY - h):
            design.append(np.r_[left[y - h : y + h + 1], right[y - h : y + h + 1]])
            wanted.append(truth[y])
    oracle = np.linalg.lstsq(np.array(design), np.array(wanted), rcond=None)[0]
    ours, best, before = [], [], []
    for left, right, truth in draw(60):
        inside = slice(h, NY - h)
        ours.append((predict(left, right, kernel_left[1], kernel_right[1]) - truth)[inside])
        best.append((predict(left, right, oracle[:nlag], oracle[nlag:]) - truth)[inside])
        before.append(truth[inside])
    assert np.std(best) < 0.6 * np.std(before)
    assert np.std(ours) < 1.05 * np.std(best)


def test_white_reference_pixels_are_not_amplified():
    """Where L and R know nothing, only what 20 darks agree on by chance is left of the kernels.

    n has a third of the variance of L; 24 of 128 / 1.5 independent numbers (raised cosine on 65
    lags, cosine tapered rows) are fitted to 20 darks: 2 / 3 / 20 * 24 / 85 = 0.0094 of the
    variance of L. The bound is twice that.
    """
    rng = np.random.default_rng(4)
    darks = [dark(np.zeros((NOUT, NY)), np.zeros(NY), np.zeros(NY), 9.0, rng) for _ in range(20)]
    left, right = fit_reference_weights(darks, NOUT, BORDER, 65)
    assert np.all((left**2).sum(axis=1) + (right**2).sum(axis=1) < 0.019)


def test_a_noisier_side_weighs_less():
    rng = np.random.default_rng(5)
    darks = []
    for _ in range(40):
        noise = pink(NY, 5.0, rng)
        frame = dark([noise] * NOUT, noise, noise, 3.0, rng)
        frame[:, :BORDER] += 12.0 * rng.normal(size=(NY, BORDER))
        darks.append(frame)
    left, right = fit_reference_weights(darks, NOUT, BORDER, 33)
    assert np.all(left.sum(axis=1) < 0.5 * right.sum(axis=1))
    # together they follow slow noise nearly fully, but not more than that
    total = (left + right).sum(axis=1)
    assert np.all((total > 0.85) & (total < 1.02))


def test_levels_of_outputs_and_columns_do_not_matter():
    rng = np.random.default_rng(6)
    darks = list(common_darks(6, 7))
    level = np.repeat(rng.normal(size=(6, NOUT)) * 300.0, WIDTH, axis=1)
    level[:, 1::2] += 40.0 * rng.normal(size=(6, 1))
    shifted = [frame + offset for frame, offset in zip(darks, level, strict=True)]
    for a, b in zip(
        fit_reference_weights(darks, NOUT, BORDER, 33),
        fit_reference_weights(shifted, NOUT, BORDER, 33),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_hits_and_marked_pixels_do_not_matter():
    rng = np.random.default_rng(8)
    darks = list(common_darks(10, 9))
    bad = rng.random((NY, NX)) < 0.02
    spoilt = []
    for frame in darks:
        frame = np.where(bad, np.nan, frame)
        hit = rng.random((NY, NX)) < 0.002
        frame[hit] += 5000.0
        spoilt.append(frame)
    clean = fit_reference_weights(darks, NOUT, BORDER, 33, bad_pixels=bad)
    dirty = fit_reference_weights(spoilt, NOUT, BORDER, 33, bad_pixels=bad)
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)


def test_rows_without_a_reference_pixel_are_bridged():
    bad = np.zeros((NY, NX), dtype=bool)
    bad[50, :BORDER] = True
    bad[60:64, -BORDER:] = True
    whole = fit_reference_weights(common_darks(10, 10), NOUT, BORDER, 33)
    gaps = fit_reference_weights(common_darks(10, 10), NOUT, BORDER, 33, bad_pixels=bad)
    for a, b in zip(whole, gaps, strict=True):
        np.testing.assert_allclose(a, b, atol=0.03)


def test_output_without_a_good_pixel_is_left_alone():
    bad = np.zeros((NY, NX), dtype=bool)
    bad[:, WIDTH : 2 * WIDTH] = True
    left, right = fit_reference_weights(common_darks(4, 11), NOUT, BORDER, 9, bad_pixels=bad)
    assert not left[1].any()
    assert not right[1].any()
    assert np.isfinite(left).all()


@pytest.mark.parametrize("noutputs", [1, NX])
def test_any_number_of_outputs(noutputs):
    left, right = fit_reference_weights(common_darks(4, 12), noutputs, BORDER, 9)
    assert left.shape == right.shape == (noutputs, 9)
    assert left.dtype == right.dtype == np.float32
    assert np.isfinite(left).all()
    assert np.isfinite(right).all()


def test_integer_and_big_endian_reads_unchanged():
    reads = [(2000.0 + frame).round().astype(">u2") for frame in common_darks(5, 13)]
    before = [read.copy() for read in reads]
    native = fit_reference_weights([r.astype(float) for r in reads], NOUT, BORDER, 9)
    for a, b in zip(native, fit_reference_weights(reads, NOUT, BORDER, 9), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(reads, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_constant_darks_give_no_weights():
    left, right = fit_reference_weights(np.full((3, NY, NX), 7), NOUT, BORDER, 9)
    assert not left.any()
    assert not right.any()


@pytest.mark.parametrize(
    ("darks", "options", "message"),
    [
        ([], {}, "darks: got none, expected at least one"),
        ([np.zeros(5)], {}, r"shape: got \(5,\), expected \(ny, nx\)"),
        ([np.zeros((NY, NX)), np.zeros((NY, 32))], {}, r"shape: got \(136, 32\)"),
        ([np.full((NY, NX), np.nan)], {}, "values: got NaN or infinity"),
        ([np.zeros((NY, NX))], {"ref_pixels": 0}, "ref_pixels: got 0"),
        ([np.zeros((NY, NX))], {"ref_pixels": 32}, "ref_pixels: got 32"),
        ([np.zeros((NY, NX))], {"noutputs": 5}, "noutputs: got 5, expected a divisor of 64"),
        ([np.zeros((NY, NX))], {"noutputs": 0}, "noutputs: got 0"),
        ([np.zeros((NY, NX))], {"nlag": 8}, "nlag: got 8, expected an odd number up to 128"),
        ([np.zeros((NY, NX))], {"nlag": 129}, "nlag: got 129"),
        ([np.zeros((NY, NX))], {"bad_pixels": np.zeros((3, 3), bool)}, "bad_pixels: got"),
    ],
)
def test_what_does_not_fit_is_refused(darks, options, message):
    arguments = {"noutputs": NOUT, "ref_pixels": BORDER, "nlag": 9} | options
    with pytest.raises(InputError, match=message):
        fit_reference_weights(darks, **arguments)
