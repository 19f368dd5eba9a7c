"""Source masks and sky levels on fields of stars with AO halos whose sky is known."""

import numpy as np
import pytest

from liger_iris_pipeline.algorithms.frame import (
    constant_sky,
    sky_from_dithers,
    sky_from_frames,
    source_mask,
    subtract_sky,
)
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError
from liger_iris_pipeline.kinds import Frame

NY = NX = 504
TIME, READ_NOISE = 60.0, 5.0


def star(r):
    """Half of the light in a core of 4 pixels, half in a halo of 15 (Moffat, beta 2.75)."""
    s, a, b = 4 / 2.3548, 7.5 / np.sqrt(2 ** (1 / 2.75) - 1), 2.75
    core = np.exp(-(r**2) / 2 / s**2) / (2 * np.pi * s**2)
    return 0.5 * core + 0.5 * (b - 1) / (np.pi * a**2) * (1 + (r / a) ** 2) ** -b


def light(rng, nstar=150, low=20.0, high=2e4, shape=(NY, NX)):
    """Stars with a power law of luminosities, over a wider field than the frame."""
    pad = 200
    image = np.zeros((shape[0] + 2 * pad, shape[1] + 2 * pad))
    y, x = np.indices((2 * pad + 1, 2 * pad + 1)) - pad
    psf = star(np.hypot(x, y))
    flux = (low**-0.5 + rng.random(nstar) * (high**-0.5 - low**-0.5)) ** -2
    for f in flux:
        j, i = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[j : j + 2 * pad + 1, i : i + 2 * pad + 1] += f * psf
    return image[pad:-pad, pad:-pad]


def expose(rng, rate):
    electrons = rng.poisson(rate * TIME) + rng.normal(0, READ_NOISE, rate.shape)
    value = (electrons / TIME).astype(np.float32)
    read = np.full(rate.shape, (READ_NOISE / TIME) ** 2, np.float32)
    photon = (np.maximum(value, 0) / TIME).astype(np.float32)
    return Frame(value, read, photon, np.zeros(rate.shape, np.uint32))


@pytest.mark.parametrize("sky", [1.0, 8.0, 40.0])
def test_level_under_crowded_halos(sky):
    errors = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        frame = expose(rng, sky + light(rng, low=20, high=5e3))
        errors.append(constant_sky(frame).level / sky - 1)
    assert abs(np.mean(errors)) < 3e-3


@pytest.mark.parametrize("sky", [0.3, 1.0, 10.0])
def test_level_of_blank_sky_in_the_skewed_poisson_regime(sky):
    rng = np.random.default_rng(7)
    found = [constant_sky(expose(rng, np.full((252, 252), sky))) for _ in range(6)]
    pulls = [(f.level - sky) / np.sqrt(f.variance[0, 0]) for f in found]
    assert abs(np.mean([f.level for f in found]) / sky - 1) < 3e-3
    assert abs(np.mean(pulls)) < 2.0
    assert 0.3 < np.std(pulls) < 2.0


def test_level_survives_bad_pixels_hits_and_a_border():
    rng = np.random.default_rng(3)
    frame = expose(rng, np.full((256, 256), 8.0))
    rate, dq = frame.rate.copy(), frame.dq.copy()
    hit = rng.random(rate.shape) < 0.01
    rate[hit] += 500  # never flagged
    nan = rng.random(rate.shape) < 0.02
    rate[nan] = np.nan
    dead = rng.random(rate.shape) < 0.02
    rate[dead], dq[dead] = -1e6, Flag.DEAD | Flag.DO_NOT_USE
    rate[:4], dq[:4] = 0, Flag.REFERENCE_PIXEL | Flag.DO_NOT_USE
    found = constant_sky(Frame(rate, frame.var_read, frame.var_photon, dq))
    assert abs(found.level / 8.0 - 1) < 4e-3


def test_mask_covers_light_and_little_else():
    rng = np.random.default_rng(5)
    stars = light(rng, nstar=25, low=500, high=5000)
    frame = expose(rng, 8.0 + stars)
    mask = source_mask(frame)
    noise = np.sqrt(8.0 / TIME + (READ_NOISE / TIME) ** 2)
    assert mask[stars > noise].all()
    assert stars[~mask].max() < 0.3 * noise
    blank = source_mask(expose(rng, np.full((NY, NX), 8.0)))
    assert blank.mean() < 0.01


def test_mask_ignores_flagged_pixels():
    rng = np.random.default_rng(6)
    frame = expose(rng, np.full((128, 128), 8.0))
    rate, dq = frame.rate.copy(), frame.dq.copy()
    rate[60:63, 60:63], dq[60:63, 60:63] = 1e5, Flag.HOT | Flag.DO_NOT_USE
    mask = source_mask(Frame(rate, frame.var_read, frame.var_photon, dq))
    assert mask.mean() < 0.01
    nothing = Frame(rate, frame.var_read, frame.var_photon, dq | np.uint32(1))
    assert not source_mask(nothing).any()


def pattern(shape):
    y, x = np.indices(shape)
    wave = 0.3 * np.sin(x / 30.0) + 0.2 * np.cos(y / 25.0)
    return wave - np.median(wave)


def dithers(n=5, levels=None):
    """Dithers of a field over a fixed pattern, with levels that drift."""
    rng = np.random.default_rng(11)
    scene = light(rng, nstar=30, low=100, high=3000, shape=(300, 300))
    frames, truth = [], []
    for i in range(n):
        level = 8.0 + 0.5 * i if levels is None else levels[i]
        j, k = (17 * i) % 48, (29 * i) % 48
        sky = level + pattern((252, 252))
        frames.append(expose(rng, sky + scene[j : j + 252, k : k + 252]))
        truth.append(sky)
    return frames, truth


def test_dithers_give_level_and_pattern():
    frames, truth = dithers()
    mask = [source_mask(f) for f in frames]
    for i in (0, 4, -1):
        sky = sky_from_dithers(frames, i, sources=mask)
        assert sky.mode == "DITHERS"
        assert abs(np.mean(sky.model - truth[i])) < 3e-3 * 8
        pull = (sky.model - truth[i]) / np.sqrt(sky.variance)
        assert abs(pull.std() - 1) < 0.15
        assert np.isfinite(sky.model).all()


def test_its_own_frame_does_not_enter_the_pattern():
    frames, _ = dithers(4)
    a = sky_from_dithers(frames, 1)
    rate = frames[1].rate.copy()
    rate[100:110, 100:110] += 3000
    changed = Frame(rate, frames[1].var_read, frames[1].var_photon, frames[1].dq)
    b = sky_from_dithers([frames[0], changed, *frames[2:]], 1)
    np.testing.assert_allclose(a.model - a.level, b.model - b.level, atol=1e-5)


def test_a_pixel_never_seen_blank_takes_the_level():
    frames, _ = dithers(3)
    masks = [np.zeros((252, 252), bool) for _ in frames]
    for m in masks:
        m[50:60, 70:80] = True
    sky = sky_from_dithers(frames, 0, sources=masks)
    np.testing.assert_allclose(sky.model[50:60, 70:80], sky.level, rtol=1e-6)
    assert np.all(sky.variance[50:60, 70:80] > 0.01)  # the pattern of 0.25 e-/s rms is not known


def test_frames_of_blank_sky_are_shifted_to_the_science_level():
    rng = np.random.default_rng(12)
    skies = [expose(rng, 5.0 + pattern((252, 252))) for _ in range(4)]
    frames, truth = dithers(1)
    sky = sky_from_frames(frames[0], skies)
    assert sky.mode == "FRAMES"
    assert abs(np.mean(sky.model - truth[0])) < 3e-3 * 8
    kept = sky_from_frames(frames[0], skies, align=False)
    assert abs(kept.level - 5.0) < 0.02


def test_subtraction_and_its_error():
    rng = np.random.default_rng(13)
    frames = [expose(rng, 8.0 + pattern((200, 200))) for _ in range(4)]
    before = frames[0].rate.copy()
    out = subtract_sky(frames[0], sky_from_dithers(frames, 0))
    assert np.array_equal(frames[0].rate, before)
    pull = out.rate / np.sqrt(out.var_read + out.var_photon)
    assert abs(pull.std() - 1) < 0.03
    assert np.array_equal(out.var_read, frames[0].var_read)


def test_sky_plus_result_is_the_input_and_reference_pixels_stay_zero():
    rng = np.random.default_rng(14)
    frame = expose(rng, np.full((64, 64), 8.0))
    rate, dq = frame.rate.copy(), frame.dq.copy()
    rate[:4], dq[:4] = 0, Flag.REFERENCE_PIXEL | Flag.DO_NOT_USE
    frame = Frame(rate, frame.var_read, frame.var_photon, dq)
    sky = constant_sky(frame)
    out = subtract_sky(frame, sky)
    np.testing.assert_allclose((out.rate + sky.model)[4:], rate[4:], rtol=1e-6)
    assert np.all(out.rate[:4] == 0)
    assert np.array_equal(out.dq, dq)


def test_what_cannot_give_a_sky_is_refused():
    rng = np.random.default_rng(15)
    frame = expose(rng, np.full((32, 32), 8.0))
    with pytest.raises(InputError, match="sky: dithers: got 2, expected at least 3"):
        sky_from_dithers([frame, frame], 0)
    with pytest.raises(InputError, match="sky: frames: got none"):
        sky_from_frames(frame, [])
    flagged = Frame(frame.rate, frame.var_read, frame.var_photon, frame.dq | np.uint32(1))
    with pytest.raises(InputError, match="sky: frame: got no good pixel"):
        constant_sky(flagged)
    small = expose(rng, np.full((31, 32), 8.0))
    with pytest.raises(InputError, match=r"sky: model: got shape \(32, 32\)"):
        subtract_sky(small, constant_sky(frame))
