"""Catalogues of fields whose stars are known."""

import numpy as np
import pytest

from liger_iris_pipeline.algorithms.frame import TanWcs
from liger_iris_pipeline.algorithms.mosaic import make_catalogue, photometry
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError
from liger_iris_pipeline.kinds import Mosaic

SIZE, SKY, TIME, READ_NOISE = 300, 8.0, 300.0, 5.0
WCS = TanWcs((150.0, 150.0), (10.0, 20.0), ((-0.004 / 3600, 0.0), (0.0, 0.004 / 3600)))
COLUMNS = ["id", "x", "y", "ra", "dec", "flux", "flux_err", "mag_ab", "mag_err"]
COLUMNS += ["snr", "fwhm", "flags"]


def profile(r, strehl, beta, core=4.0):
    s, a = core / 2.3548, 7.5 / np.sqrt(2 ** (1 / beta) - 1)
    gauss = np.exp(-(r**2) / 2 / s**2) / (2 * np.pi * s**2)
    moffat = (beta - 1) / (np.pi * a**2) * (1 + (r / a) ** 2) ** -beta
    return strehl * gauss + (1 - strehl) * moffat


def field(rng, flux, *, strehl=0.5, beta=2.75, places=None, level=0.0):
    """A sky-subtracted image of stars, its noise known."""
    if places is None:
        places = rng.uniform(5, SIZE - 5, (len(flux), 2))
    y, x = np.indices((SIZE, SIZE))
    image = np.zeros((SIZE, SIZE))
    for (j, i), f in zip(places, flux, strict=True):
        image += f * profile(np.hypot(y - j, x - i), strehl, beta)
    photon = (image + SKY) / TIME
    read = np.full(image.shape, (READ_NOISE / TIME) ** 2)
    image = image + level + rng.normal(0, 1, image.shape) * np.sqrt(photon + read)
    zero = np.zeros(image.shape, np.float32)
    mosaic = Mosaic(
        flux=image.astype(np.float32),
        var_read=read.astype(np.float32),
        var_photon=photon.astype(np.float32),
        var_flat=zero,
        dq=zero.astype(np.uint32),
        weight=zero + 1,
        coverage=np.ones((1, SIZE, SIZE), np.int32),
        noise_kernel=np.ones((1, 1)),
    )
    return mosaic, np.asarray(places)


def luminosities(rng, n, low=50.0, high=1e4):
    return (low**-0.5 + rng.random(n) * (high**-0.5 - low**-0.5)) ** -2


def match(table, places):
    gap = np.hypot(
        table["y"].value[:, None] - places[:, 0], table["x"].value[:, None] - places[:, 1]
    )
    return gap.argmin(axis=0), gap.min(axis=0), gap.min(axis=1)


def isolated(places, reach=14.0, edge=25.0):
    gap = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(places))
    inside = (places > edge).all(axis=1) & (places < SIZE - edge).all(axis=1)
    return (gap.min(axis=1) > reach) & inside


@pytest.mark.parametrize(
    ("strehl", "beta", "seed"), [(0.5, 2.5, 1), (0.5, 3.0, 2), (1.0, 2.75, 3), (0.3, 2.75, 4)]
)
def test_fields_of_stars(strehl, beta, seed):
    rng = np.random.default_rng(seed)
    flux = luminosities(rng, 40)
    mosaic, places = field(rng, flux, strehl=strehl, beta=beta)
    table = make_catalogue(mosaic, WCS, zero_point=25.0)
    assert table.colnames == COLUMNS
    index, gap, stray = match(table, places)
    alone = isolated(places)
    sigma = np.median(table["flux_err"].value)
    assert np.all(gap[alone & (flux > 10 * sigma)] < 1.0)
    assert np.count_nonzero(stray > 2.0) <= 1
    measured, error = table["flux"].value[index], table["flux_err"].value[index]
    bright = alone & (measured > 100 * error)
    assert np.count_nonzero(bright) >= 4
    weight = flux[bright] / error[bright] ** 2
    bias = np.average(measured[bright] / flux[bright] - 1, weights=weight)
    assert abs(bias) < 0.005
    offset = np.stack([table["y"].value, table["x"].value], -1)[index][bright] - places[bright]
    assert np.all(np.sqrt(np.mean(offset**2, axis=0)) < 0.03)
    assert np.all(abs(table["fwhm"].value[index][bright] - 4.0) < 1.2)
    ra, dec = WCS.pixel_to_sky(table["x"].value, table["y"].value)
    assert np.array_equal(ra, table["ra"].value)
    assert np.array_equal(dec, table["dec"].value)


def test_pulls_of_isolated_stars():
    pulls = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        base = np.stack(np.mgrid[50:260:40, 50:260:40], -1).reshape(-1, 2)
        places = base + rng.uniform(-2, 2, base.shape)
        flux = np.full(len(places), 300.0)
        flux[:4] = 5000.0
        mosaic, _ = field(rng, flux, places=places)
        found = photometry(mosaic.flux, mosaic.variance, mosaic.dq, [[1.0]], places)
        pulls.append(((found.flux - flux) / found.flux_err)[4:])
    pulls = np.concatenate(pulls)
    assert abs(pulls.mean()) < 0.35
    assert abs(pulls.std() - 1) < 0.2


def test_a_wrong_sky_level_does_not_matter():
    rng = np.random.default_rng(6)
    flux = luminosities(rng, 25, low=1000)
    mosaic, places = field(rng, flux, level=0.05)
    table = make_catalogue(mosaic, WCS)
    index, _, _ = match(table, places)
    ratio = (table["flux"].value[index] / flux)[isolated(places)]
    assert abs(np.mean(ratio) - 1) < 0.005
    assert np.isnan(table["mag_ab"].value).all()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("strehl", [0.5, 1.0])
def test_few_stars(count, strehl):
    rng = np.random.default_rng(7)
    mosaic, places = field(
        rng, [5000.0] * count, strehl=strehl, places=[[100.3, 120.6], [200.1, 170.9]][:count]
    )
    table = make_catalogue(mosaic, WCS)
    assert len(table) == count
    index, gap, _ = match(table, places)
    assert np.all(gap < 0.03)
    assert np.all(abs(table["flux"].value[index] / 5000 - 1) < 0.015)


def test_one_faint_star_alone_and_none_at_all():
    rng = np.random.default_rng(8)
    mosaic, places = field(rng, [60.0], places=[[150.0, 140.0]])
    table = make_catalogue(mosaic, WCS)
    assert match(table, places)[1][0] < 1.0
    blank, _ = field(rng, [])
    empty = make_catalogue(blank, WCS, zero_point=25.0)
    assert empty.colnames == COLUMNS
    assert len(empty) <= 1


def test_a_mosaic_without_a_good_pixel():
    blank, _ = field(np.random.default_rng(9), [])
    nan = np.full((SIZE, SIZE), np.nan, np.float32)
    dead = Mosaic(
        nan,
        nan,
        nan,
        nan,
        blank.dq | np.uint32(1),
        0 * blank.weight,
        blank.coverage,
        blank.noise_kernel,
    )
    assert len(make_catalogue(dead, WCS)) == 0


def test_close_pair_is_told_apart():
    rng = np.random.default_rng(10)
    places = [[150.0, 150.0], [150.0, 157.0], [60.0, 60.0], [230.0, 70.0], [80.0, 240.0]]
    flux = np.array([3000.0, 1500.0, 4000.0, 4000.0, 4000.0])
    mosaic, places = field(rng, flux, places=places)
    table = make_catalogue(mosaic, WCS)
    index, gap, _ = match(table, places)
    assert len(table) == 5
    assert np.all(gap < 0.15)
    assert np.all(abs(table["flux"].value[index] / flux - 1) < 0.05)


def test_magnitudes():
    rng = np.random.default_rng(11)
    mosaic, _ = field(rng, [1e4], places=[[150.0, 150.0]])
    table = make_catalogue(mosaic, WCS, zero_point=26.0, pixel_area_ratio=0.25)
    assert table["flux"].value[0] == pytest.approx(2500, rel=0.01)
    assert table["mag_ab"].value[0] == pytest.approx(26 - 2.5 * np.log10(2500), abs=0.01)
    assert table["mag_err"].value[0] == pytest.approx(1.0857 / table["snr"][0], rel=1e-3)
    assert str(table["flux"].unit) == "electron / s"


def test_flagged_pixels_in_an_aperture_are_estimated_and_say_so():
    rng = np.random.default_rng(12)
    places = np.array([[60.0, 60.0], [230.0, 70.0], [80.0, 240.0], [200.0, 200.0]])
    flux = np.full(4, 5000.0)
    mosaic, _ = field(rng, flux, places=places)
    image, dq = mosaic.flux.copy(), mosaic.dq.copy()
    image[61, 60:62], dq[61, 60:62] = np.nan, Flag.DO_NOT_USE
    dq[229, 70] = Flag.JUMP_DET
    found = photometry(image, mosaic.variance, dq, mosaic.noise_kernel, places)
    assert found.flags[0] == Flag.FLUX_ESTIMATED
    assert found.flags[1] == Flag.JUMP_DET
    assert np.all(found.flags[2:] == 0)
    assert np.all(abs(found.flux / flux - 1) < 0.02)
    off = photometry(image, mosaic.variance, dq, mosaic.noise_kernel, [[-50.0, 10.0]])
    assert np.isnan(off.flux[0])


def test_planes_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"photometry: planes: got shapes \(3, 3\), \(3, 4\)"):
        photometry(np.ones((3, 3)), np.ones((3, 4)), np.zeros((3, 3), int), [[1]], [[1, 1]])
