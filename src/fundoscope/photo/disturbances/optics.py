"""What optics, sensor and storage do to detail: defocus, motion, noise and JPEG compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fundoscope.arrays import Photo
from fundoscope.photo.disturbances.background import keep_surround

NOISE_PX = 128
"""Side of the block of noise that is drawn; larger pictures repeat it, turned, for drawing takes most of the time."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Movement of the eye or the camera during the exposure."""

    length: float
    """Of the path, as a share of the picture's shorter side."""
    degrees: float
    """Direction of the path, counter-clockwise from the rows."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a sensor: shot noise grows with the root of the light, read noise is everywhere the same."""

    shot: float
    """Standard deviation at full light, as a share of full range."""
    read: float
    """Standard deviation in the dark, as a share of full range."""
    seed: int
    """Of the noise."""


def defocus(picture: Photo, deviation: float) -> Photo:
    """Blur by a Gaussian whose standard deviation is a share of the picture's shorter side."""
    return keep_surround(picture, cv2.GaussianBlur(picture, (0, 0), deviation * min(picture.shape[:2])))


def move(picture: Photo, motion: Motion) -> Photo:
    """Average along a straight path."""
    half = motion.length * min(picture.shape[:2]) / 2
    reach = math.ceil(half) + 1
    right, down = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    cos, sin = math.cos(math.radians(motion.degrees)), math.sin(math.radians(motion.degrees))
    along = np.clip(right * cos - down * sin, -half, half)
    # Each pixel of the kernel counts by its distance from the path: 1 on it, 0 from one pixel away.
    kernel = np.maximum(0.0, 1 - np.hypot(right - along * cos, down + along * sin))
    return keep_surround(picture, cv2.filter2D(picture, -1, kernel / kernel.sum()))


def add_noise(picture: Photo, noise: Noise) -> Photo:
    """Add Gaussian noise of the variance that the light of each pixel gives; its mean stays."""
    rng = np.random.default_rng(noise.seed)
    height, width = picture.shape[:2]
    size = min(NOISE_PX, height), min(NOISE_PX, width)
    block = 255 * rng.standard_normal((*size, 3), dtype=np.float32)
    drawn = _tiled(block, height, width)
    levels = np.arange(256) / 255
    spread = np.sqrt(noise.shot**2 * levels + noise.read**2).astype(np.float32)
    scale = cv2.LUT(picture, spread.reshape(1, 256))
    return keep_surround(picture, cv2.add(picture, cv2.multiply(scale, drawn), dtype=cv2.CV_8U))


def compress(picture: Photo, quality: int) -> Photo:
    """Write as a JPEG with halved colour resolution (4:2:0), as cameras do, and read it again."""
    _, stored = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)[..., ::-1].copy()


def _tiled(block: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cover a picture with a block and its turns, so that no pattern repeats where two of them meet."""
    rows, columns = block.shape[:2]
    down, along = math.ceil(height / rows), math.ceil(width / columns)
    turns = [block, block[::-1], block[:, ::-1], block[::-1, ::-1]]
    lines = [np.hstack([turns[(row + 3 * column) % 4] for column in range(along)]) for row in range(down)]
    return np.ascontiguousarray(np.vstack(lines)[:height, :width])
