"""Averages of frames over their valid pixels: flags never become intensities, noise is never taken for flags."""

import numpy as np
import pytest

from ponikeeper.errors import ImageError, ShapeError
from ponikeeper_client._image_files.averaging import mean_image, subtract_dark, valid_pixels

SHAPE = (64, 80)
GAP = (slice(None), slice(30, 34))
DEAD = (10, 50)


def counts(mean=200.0, seed=0, dtype=np.int64):
    return np.random.default_rng(seed).poisson(mean, SHAPE).astype(dtype)


def flagged(flag, mean=200.0, seed=0, dtype=np.int64):
    frame = counts(mean, seed, dtype)
    frame[GAP] = flag
    return frame


def only_the_gap_is_missing(valid):
    expected = np.ones(SHAPE, bool)
    expected[GAP] = False
    return bool((valid == expected).all())


@pytest.mark.parametrize(
    ("flag", "dtype"),
    [
        (2**32 - 1, np.uint32),
        (2**32 - 2, np.uint32),
        (65535, np.uint16),
        (65535, np.uint32),
        (2**31 - 1, np.int32),
        (255, np.uint8),
        (-1, np.int32),
        (-2, np.int16),
        (-(2**31), np.int32),
        (np.nan, np.float32),
        (np.inf, np.float64),
        (2**32 - 1, np.float32),
        (-1, np.float32),
        (-1e6, np.float64),
    ],
)
@pytest.mark.parametrize("mean", [0.3, 20, 120])
def test_values_that_mark_pixels_are_not_valid(flag, dtype, mean):
    assert only_the_gap_is_missing(valid_pixels(flagged(flag, mean, dtype=dtype)))


@pytest.mark.parametrize("flag", [2**32 - 1, 65535])
def test_mean_of_several_frames_holds_no_flags(flag):
    frames = [flagged(flag, seed=seed, dtype=np.uint32) for seed in range(3)]
    frames[1][DEAD] = flag if flag == 2**32 - 1 else 200  # marked in one frame only
    mean = mean_image(iter(frames))
    assert only_the_gap_is_missing(np.isfinite(mean))
    assert mean[np.isfinite(mean)].max() < 300
    others = [frame[DEAD] for frame in (frames if flag == 65535 else (frames[0], frames[2]))]
    assert mean[DEAD] == np.mean(others)


def test_minus_one_over_a_pedestal_is_not_valid_after_the_dark_is_subtracted():
    dark = mean_image([flagged(-1, 400, seed) for seed in (1, 2)])
    image = mean_image([flagged(-1, 400 + 50, seed) for seed in (3, 4)])
    assert only_the_gap_is_missing(np.isfinite(subtract_dark(image, dark)))


def test_dead_pixel_over_a_pedestal_is_not_valid():
    frame = counts(400, dtype=np.uint16)
    frame[DEAD] = 0
    assert list(zip(*np.nonzero(~valid_pixels(frame)), strict=True)) == [DEAD]


def test_a_pixel_that_is_marked_in_the_dark_only_is_not_valid():
    dark = mean_image([flagged(-1, 400)])
    assert only_the_gap_is_missing(np.isfinite(subtract_dark(mean_image([counts(450)]), dark)))


@pytest.mark.parametrize("level", [0.4, 0.1])
def test_saturated_pixels_are_not_valid(level):
    frame = counts(1000)
    frame[:8] = np.random.default_rng(1).poisson(60_000 * level, (8, SHAPE[1]))
    clipped = np.minimum(frame, 20_000 if level == 0.4 else 5_000)
    assert not valid_pixels(clipped)[clipped == clipped.max()].any()
    assert valid_pixels(clipped)[8:].all()


@pytest.mark.parametrize("mean", [0.02, 0.3, 2, 30, 1000])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_every_count_of_an_image_without_flags_is_valid(mean, dtype):
    """The largest count of a faint image is shared by many pixels, and most of its pixels are zero."""
    assert valid_pixels(counts(mean, dtype=dtype)).all()


@pytest.mark.parametrize("sigma", [3.0, 40.0])
@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_noise_below_zero_is_valid(sigma, dtype):
    frame = np.random.default_rng(5).normal(0, sigma, SHAPE).astype(dtype)
    assert valid_pixels(frame).all()


def test_ring_that_is_far_brighter_than_the_rest_is_valid():
    frame = counts(3)
    frame[20] = np.random.default_rng(2).poisson(50_000, SHAPE[1])
    assert valid_pixels(frame).all()


def test_uniform_image_is_valid():
    assert valid_pixels(np.full(SHAPE, 40_000, np.uint16)).all()
    assert (mean_image([np.full(SHAPE, 40_000, np.uint16)] * 2) == 40_000).all()


def test_truth_values_are_all_valid():
    assert valid_pixels(np.zeros(SHAPE, bool)).all()


def test_a_frame_of_flags_alone_does_not_count():
    frame = counts()
    lost = np.full(SHAPE, 2**32 - 1, np.uint32)
    assert (mean_image([lost, frame.astype(np.uint32)]) == frame).all()
    assert np.isnan(mean_image([lost])).all()


def test_frames_of_several_shapes_and_no_frames_are_refused():
    with pytest.raises(ShapeError, match=r"\(64, 80\) and \(2, 2\): expected the same"):
        mean_image([counts(), np.zeros((2, 2))])
    with pytest.raises(ImageError, match="there are no frames"):
        mean_image([])
    with pytest.raises(ShapeError, match=r"the dark has shape \(2, 2\) and the image \(64, 80\)"):
        subtract_dark(mean_image([counts()]), np.zeros((2, 2)))


def test_without_a_dark_the_image_is_returned():
    image = mean_image([counts()])
    assert subtract_dark(image, None) is image


def test_shadow_of_a_beam_stop_is_valid():
    frame = counts(400)
    frame[:3, :15] = np.random.default_rng(2).poisson(2, (3, 15))
    assert valid_pixels(frame).all()


def test_dark_of_few_values_is_not_saturated():
    dark = np.repeat(np.array([1300, 9000, 12500, 40], np.uint16), 20)[None].repeat(64, axis=0)
    assert not valid_pixels(dark).all()
    assert np.array_equal(mean_image([dark, dark], dark=True), dark)
