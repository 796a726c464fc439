"""Makes JPEG files of the data set's digits: what people send, not only 28x28."""

import io

import numpy as np
from PIL import Image, ImageFilter

import preprocess

ENLARGED = 4  # strokes are made thicker and thinner in a picture that is so much larger


def plain(tile, rng=None):
    """Returns a digit of the data set as a JPEG file, as it is: 28x28, grey, of quality 90 or any."""
    return encode(Image.fromarray(tile), quality=int(rng.uniform(40, 96)) if rng else 90)


def varied(tile, rng, largest=512):
    """Returns a digit as a JPEG file in which anything that is likely may be otherwise."""
    strokes = shape(tile, rng)

    # A picture of 28 to `largest` pixels; half of them are small. The digit takes a part of it, anywhere.
    size = 28 if rng.random() < 0.25 else int(28 * (largest / 28) ** rng.random())
    height, width = size, size
    if rng.random() < 0.3:
        if rng.random() < 0.5:
            width = int(size * rng.uniform(1, 1.8))
        else:
            height = int(size * rng.uniform(1, 1.8))
    # No smaller than 12 pixels, the data set's 20 being its size where nothing is said otherwise.
    digit = max(12, min(width, height) * (20 / 28 if rng.random() < 0.3 else rng.uniform(0.3, 0.9)))
    alpha = place(strokes, width, height, digit, rng)

    light = uneven_light(height, width, rng) if rng.random() < 0.25 else 1.0
    paper, ink = colours(rng, colour=rng.random() < 0.5)
    picture = (paper + (ink - paper) * alpha[..., None]) * np.asarray(light)[..., None]
    if rng.random() < 0.4:
        picture += rng.normal(0, rng.uniform(1, 10), (height, width, 1)).astype(np.float32)
    picture = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8).squeeze())
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.04 * digit)))
    quality = int(rng.uniform(15, 45) if rng.random() < 0.4 else rng.uniform(45, 96))
    return encode(picture, quality=quality)


def shape(tile, rng):
    """Returns the strokes of a digit, enlarged, thicker or thinner, with softer or harder edges."""
    size = 28 * ENLARGED
    strokes = Image.fromarray(tile).resize((size, size), Image.BICUBIC)
    kind = rng.random()
    if kind < 0.15:
        strokes = strokes.filter(ImageFilter.MaxFilter(3 if rng.random() < 0.5 else 5))
    elif kind < 0.30 and np.count_nonzero(tile > 128) > 70:
        strokes = strokes.filter(ImageFilter.MinFilter(3 if rng.random() < 0.5 else 5))
    if rng.random() < 0.3:
        hardness = rng.uniform(1, 6)
        strokes = strokes.point(lambda v: (v - 110) * hardness + 110)
    return strokes


def place(strokes, width, height, digit, rng):
    """Returns the strokes in a picture, 0 to 1: `digit` pixels large, turned and slanted a little, somewhere."""
    scale = digit / (20 * ENLARGED)
    angle, slant = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(-0.15, 0.15)
    narrow = rng.uniform(0.85, 1.15)
    forward = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = forward @ np.array([[narrow, slant], [0, 1 / narrow]]) * scale
    # Most of the digit stays in the picture: its middle is half a digit away from the edge.
    room_x, room_y = max(0.0, width - 1.15 * digit) / 2, max(0.0, height - 1.15 * digit) / 2
    if rng.random() < 0.3:
        room_x = room_y = 0.0
    middle = np.array([width / 2 + rng.uniform(-room_x, room_x), height / 2 + rng.uniform(-room_y, room_y)])
    back = np.linalg.inv(forward)
    offset = np.array(strokes.size) / 2 - back @ middle
    out = strokes
    if scale < 0.5:  # as large as it was, or smaller: Image.transform would skip pixels
        out = strokes.filter(ImageFilter.GaussianBlur(0.35 / scale))
    out = out.transform((width, height), Image.AFFINE, (*back[0], offset[0], *back[1], offset[1]), Image.BILINEAR)
    return np.asarray(out, np.float32) / 255


def colours(rng, colour):
    """Returns two colours, paper and ink, that differ in brightness: float32 (1,) or (3,)."""
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        if colour:
            paper, ink = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
        elif rng.random() < 0.5:
            dark, bright = rng.uniform(0, 40), rng.uniform(200, 255)
            paper, ink = (np.repeat(v, 3) for v in ((dark, bright) if rng.random() < 0.5 else (bright, dark)))
        else:
            paper, ink = (np.repeat(rng.uniform(0, 255), 3) for _ in range(2))
        if abs(luma @ paper - luma @ ink) >= 60:
            break
    if not colour:
        paper, ink = paper[:1], ink[:1]
    return paper.astype(np.float32), ink.astype(np.float32)


def uneven_light(height, width, rng):
    """Returns what brightness is multiplied by where a lamp or a window is at one side, or a lens darkens the corners."""
    x, y = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)
    slope, direction = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    light = 1 - slope * (0.5 + x[None, :] * np.cos(direction) + y[:, None] * np.sin(direction))
    if min(width, height) > preprocess.SMOOTHED and rng.random() < 0.5:
        light = light * (1 - rng.uniform(0, 0.8) * (x[None, :] ** 2 + y[:, None] ** 2))
    return light.astype(np.float32)


def encode(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()
