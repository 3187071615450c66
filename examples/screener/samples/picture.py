"""A computed photograph: mountains in the evening, with the grain of film."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 2200, 1650
SKY = ((38, 44, 92), (244, 152, 84))


def landscape_jpeg() -> bytes:
    """Return the picture as JPEG; its grain makes it larger than five megabytes, like a scanned photo."""
    random = np.random.default_rng(24)
    height = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    picture = np.repeat((1 - height) * np.array(SKY[0]) + height * np.array(SKY[1]), WIDTH, axis=1)
    for distance in range(4):
        _paint_ridge(picture, distance, random)
    picture += random.normal(0.0, 26.0, picture.shape)
    written = io.BytesIO()
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(written, "JPEG", quality=95, subsampling=0)
    return written.getvalue()


def _paint_ridge(picture: NDArray[np.float64], distance: int, random: np.random.Generator) -> None:
    """Draw a range of mountains, darker when nearer, as a sum of waves."""
    across = np.linspace(0.0, 1.0, WIDTH)
    waves = np.zeros(WIDTH)
    for octave in (1, 2, 4, 9, 17):
        waves += np.sin(across * random.uniform(4, 9) * octave + random.uniform(0, 6)) / octave
    top = HEIGHT * (0.45 + 0.13 * distance) + 60 * waves
    below = np.arange(HEIGHT)[:, None] > top[None, :]
    picture[below] = np.array((96, 74, 98)) * (1 - 0.22 * distance)
