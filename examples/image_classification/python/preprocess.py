"""From a JPEG file to what the network takes: 28x28, a white digit on black.

The same steps are in ../header.cc, ../decode.cc and ../digit.cc, in the same order
and with the same numbers, so that one model answers the same from both;
training/train.py feeds the network with what comes from here. Whoever changes one
changes the other, and trains again.

    read_header   what the file says of itself, and whether it is taken
    decode        its brightness, the longer side at most 256 pixels
    find_digit    what is no background, as large and where the network wants it
"""

import io
import re
import struct

import numpy as np
from PIL import Image, JpegImagePlugin

# A baseline JPEG is decoded row by row, whatever its size: this bounds the time.
MAX_PIXELS = 100_000_000
# Several scans over the picture: all coefficients are in memory, up to 6 bytes a pixel.
MAX_PIXELS_IN_SCANS = 16_000_000
# Encoders write about 10. Each one goes over the whole picture and may cost a few bytes only.
MAX_SCANS = 100

WORKING_SIZE = 256  # the longer side of the picture in which the digit is looked for
DIGIT_SIZE = 20  # the longer side of the digit in what the network gets
SIZE = 28

MIN_CONTRAST = 24  # grey levels between digit and background
SMOOTHED = 64  # a picture with a longer side is smoothed, and rid of shadows, to look for strokes
# Of the contrast: a stroke is what is above LOW, where some of it is above HIGH.
LOW, HIGH = 0.2, 0.5
# In a noisy picture LOW is this many times the median of the edge, up to MAX_LOW.
NOISE, MAX_LOW = 4, 0.4
REACH = 13  # of SMOOTHED pixels: what is wider than twice that is no stroke but light and shadow
SIDE = 0.7  # of one of the picture's sides: what takes more of it is a table's edge or a frame
SPECK = 0.1  # of the largest stroke's weight: what is less is no part of the digit


class Refused(Exception):
    """The request is not answered with a digit; str() says why."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


def image(data):
    """Returns the digit of a JPEG file as float32 (28, 28), 0 to 1, white on black."""
    return find_digit(decode(data))


# ---------------------------------------------------------------- the file

# What a body is that is no JPEG: its beginning, and a name.
KINDS = [
    (b"\x89PNG", "a PNG"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"/9j/", "a JPEG in base64"),
    (b"data:", "a data URL"),
    (b"--", "a form of several parts"),
]


def kind(data):
    """Returns what the bytes are, as far as their beginning tells, or ''."""
    for beginning, name in KINDS:
        if data.startswith(beginning):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP"
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or MP4"
    # Bytes below the space, other than tab, line feed and carriage return, are in no text.
    if all(byte >= 32 or byte in b"\t\n\r" for byte in data[:64]):
        return "text"
    return ""


class Header:
    """What a JPEG file says of itself."""

    def __init__(self):
        self.width = self.height = self.components = 0
        self.progressive = False
        self.scans = 0
        self.in_scans = False  # the picture is spread over several scans
        self.orientation = 1  # Exif's: 1 as it is, 3 upside down, 6 and 8 turned, others mirrored


# The next marker behind the coded data of a scan: 0xFF, and neither a stuffed 0,
# a restart marker nor another 0xFF behind it.
AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)

EARLY = "the JPEG ends too early"
NO_DIGIT = "no digit in the picture: it is all of one brightness"


def read_header(data):
    """Walks over all of a file's markers, decoding nothing. Raises Refused."""
    if not data:
        raise Refused(400, "empty: send a JPEG file")
    if data[:2] != b"\xff\xd8"[: len(data)]:
        what = kind(data)
        raise Refused(400, "this is %s: send a JPEG file" % (what + ", no JPEG" if what else "no JPEG"))
    header = Header()
    at = 2
    while True:
        # A marker is 0xFF and its kind; more of 0xFF may stand before it.
        if at < len(data) and data[at] != 0xFF:
            raise Refused(400, "the JPEG is broken: no marker at byte %d" % at)
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at >= len(data):
            raise Refused(400, EARLY)
        marker = data[at]
        at += 1
        if marker == 0xD9:  # EOI
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # TEM, RSTn: without a length
            continue
        if marker < 0xC0 or marker == 0xD8:
            raise Refused(400, "the JPEG is broken: marker 0x%02x at byte %d" % (marker, at - 2))
        if at + 2 > len(data):
            raise Refused(400, EARLY)
        length = data[at] << 8 | data[at + 1]
        if length < 2:
            raise Refused(400, "the JPEG is broken: marker 0x%02x at byte %d has no length" % (marker, at - 2))
        if at + length > len(data):
            raise Refused(400, EARLY)
        segment = data[at + 2 : at + length]
        at += length

        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # SOFn; not DHT, JPG, DAC
            if header.components:
                raise Refused(400, "the JPEG is broken: two frames")
            read_frame(header, marker, segment)
        elif marker == 0xE1 and header.orientation == 1:  # APP1
            header.orientation = orientation(segment)
        elif marker == 0xDA:  # SOS
            if not header.components or not segment:
                raise Refused(400, "the JPEG is broken: a scan without a frame")
            header.scans += 1
            if header.scans == 1:
                header.in_scans = header.progressive or segment[0] < header.components
                check_size(header)
            if header.scans > MAX_SCANS:
                raise Refused(413, "too large: more than %d scans" % MAX_SCANS)
            found = AFTER_SCAN.search(data, at)
            if not found:
                raise Refused(400, EARLY)
            at = found.start()
    if not header.scans:
        raise Refused(400, "the JPEG is broken: it holds no picture")
    return header


def read_frame(header, marker, segment):
    """Reads a frame header, SOFn. Raises Refused."""
    if len(segment) < 6:
        raise Refused(400, "the JPEG is broken: its frame header is too short")
    precision, header.height, header.width, header.components = struct.unpack(">BHHB", segment[:6])
    if marker > 0xC2:
        raise Refused(400, "a lossless or arithmetic coded JPEG is not taken: send a baseline or progressive one")
    if precision != 8:
        raise Refused(400, "a JPEG of %d bits is not taken: send one of 8 bits" % precision)
    if header.components not in (1, 3):
        raise Refused(400, "a JPEG of %d colour components is not taken: send a grey or RGB one" % header.components)
    if not header.width or not header.height:
        raise Refused(400, "the JPEG is broken: %dx%d pixels" % (header.width, header.height))
    header.progressive = marker == 0xC2


def check_size(header):
    """Raises Refused where a picture would take too much time or memory."""
    pixels = header.width * header.height
    if pixels > (MAX_PIXELS_IN_SCANS if header.in_scans else MAX_PIXELS):
        raise Refused(413, "too large: %dx%d pixels; at most %d megapixels, progressive %d" % (
            header.width, header.height, MAX_PIXELS // 1_000_000, MAX_PIXELS_IN_SCANS // 1_000_000))


def orientation(segment):
    """Returns the orientation that an APP1 segment of Exif says, or 1."""
    if segment[:6] != b"Exif\0\0" or segment[6:8] not in (b"II", b"MM"):
        return 1
    tiff = segment[6:]
    order = "<" if tiff[:2] == b"II" else ">"
    if len(tiff) < 8:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    if directory + 2 > len(tiff):
        return 1
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for i in range(entries):
        entry = directory + 2 + 12 * i
        if entry + 12 > len(tiff):
            return 1
        tag, form = struct.unpack_from(order + "HH", tiff, entry)
        if tag == 0x0112 and form == 3:
            (value,) = struct.unpack_from(order + "H", tiff, entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def decode(data):
    """Returns the brightness of a JPEG file's picture, uint8, as it is to be looked at."""
    header = read_header(data)
    # The decoder itself makes it smaller, at a part of the cost, as long as it stays large enough.
    longer, shorter = max(header.width, header.height), min(header.width, header.height)
    factor = 1
    while factor < 8 and longer >= 2 * factor * WORKING_SIZE and shorter >= 2 * factor:
        factor *= 2
    # Whatever Pillow raises here it raises for what is in the file.
    try:
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        # Pillow takes a size, and makes a factor of it: the largest that leaves as much.
        picture.draft("L", (header.width // factor, header.height // factor))
        picture.load()
    except Exception as error:
        raise Refused(400, "the JPEG is broken: %s" % error) from error
    grey = np.asarray(picture)
    height, width = grey.shape
    if max(width, height) > WORKING_SIZE:
        scale = WORKING_SIZE / max(width, height)
        grey = resize(grey, max(1, round_half_up(width * scale)), max(1, round_half_up(height * scale)))
        grey = np.floor(grey + 0.5).astype(np.uint8)
    return turn(grey, header.orientation)


def turn(grey, orientation):
    """Returns a picture upright that Exif says is turned or mirrored."""
    if orientation >= 5:
        grey = grey.T  # 5: mirrored at the diagonal
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1, :]
    return grey


# ---------------------------------------------------------------- the digit


def find_digit(grey):
    """Returns the digit of a grey picture as float32 (28, 28), 0 to 1, white on black."""
    height, width = grey.shape
    ink, smooth = find_ink(grey.astype(np.float64))
    contrast = smooth.max()
    if contrast < MIN_CONTRAST:
        raise Refused(400, NO_DIGIT)

    low = min(max(LOW * contrast, NOISE * middle(edge(smooth))), MAX_LOW * contrast)
    strokes = [s for s in connected(smooth, smooth > low) if s.peak > HIGH * contrast]
    # What is along a whole side of the picture is a table's or a frame's, unless there is nothing else.
    strokes = [s for s in strokes if not along_side(s, width, height)] or strokes
    largest = max(s.weight for s in strokes)
    strokes = [s for s in strokes if s.weight >= SPECK * largest]

    left, right = min(s.left for s in strokes), max(s.right for s in strokes)
    top, bottom = min(s.top for s in strokes), max(s.bottom for s in strokes)
    digit = np.zeros((bottom - top, right - left))
    for stroke in strokes:
        for y, start, end in stroke.runs:
            digit[y - top, start - left : end - left] = ink[y, start:end]

    scale = DIGIT_SIZE / max(right - left, bottom - top)
    digit = resize(digit, max(1, round_half_up((right - left) * scale)), max(1, round_half_up((bottom - top) * scale)))
    # Thin strokes become faint where a large picture is made small.
    if digit.max() <= 0:
        raise Refused(400, NO_DIGIT)
    digit = digit / digit.max()

    # The centre of mass goes to the middle, the pixel at (14, 14), as far as there is room.
    height, width = digit.shape
    total = digit.sum()
    x = round_half_up(SIZE / 2 - (digit.sum(axis=0) @ np.arange(width)) / total)
    y = round_half_up(SIZE / 2 - (digit.sum(axis=1) @ np.arange(height)) / total)
    x, y = min(max(x, 0), SIZE - width), min(max(y, 0), SIZE - height)
    out = np.zeros((SIZE, SIZE), np.float32)
    out[y : y + height, x : x + width] = digit
    return out


def find_ink(grey):
    """Returns how much each pixel differs from what the digit is on, as it is and smoothed.

    Strokes are looked for in the smoothed one, which is without noise. A small
    picture would lose its strokes as well, and is not smoothed.
    """
    height, width = grey.shape
    paper = background(grey)
    if max(width, height) <= SMOOTHED:
        ink = np.abs(grey - paper)
        return ink, ink
    rough, smooth = grey - paper, blur(grey) - paper
    # Ink is darker than paper or brighter: as what differs most from the paper is.
    if -smooth.min() > smooth.max():
        rough, smooth = -rough, -smooth
    shade = light(smooth)
    rough, smooth = rough - shade, smooth - shade
    # Noise makes the paper's shade too low, by as much as half of the picture is above it.
    level = middle(smooth.ravel())
    return np.maximum(0, rough - level), np.maximum(0, smooth - level)


def light(ink):
    """Returns a picture without anything as narrow as a stroke: what is left is shadows and the like."""
    height, width = ink.shape
    scale = SMOOTHED / max(width, height)
    small = resize(ink, max(1, round_half_up(width * scale)), max(1, round_half_up(height * scale)))
    # Each pixel becomes the least of those around it, which leaves no stroke, then the
    # greatest, which gives back their size to all others.
    small = around(around(small, np.min, 0), np.min, 1)
    small = around(around(small, np.max, 0), np.max, 1)
    return resize(small, width, height)


def around(picture, extreme, axis):
    """Returns the extreme of up to REACH pixels before and behind each one in its column (0) or row (1)."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (REACH, REACH)
    padded = np.pad(picture, pad, mode="edge")  # what is repeated is there already
    return extreme(np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1, axis), axis=-1)


def along_side(stroke, width, height):
    """Tells whether a stroke takes most of one of the picture's sides."""
    top = sum(end - start for y, start, end in stroke.runs if y == 0)
    bottom = sum(end - start for y, start, end in stroke.runs if y == height - 1)
    left = sum(1 for _, start, _ in stroke.runs if start == 0)
    right = sum(1 for _, _, end in stroke.runs if end == width)
    return max(top, bottom) > SIDE * width or max(left, right) > SIDE * height


def background(grey):
    """Returns the brightness, everywhere, of what the digit is on, as the picture's edge tells it.

    It is even: the median of the edge. Or, where that fits the edge better, it rises
    evenly from side to side, as under a lamp or beside a window.
    """
    height, width = grey.shape
    x = (np.arange(width) - (width - 1) / 2)[None, :]
    y = (np.arange(height) - (height - 1) / 2)[:, None]
    slope = (middle(grey[:, -1]) - middle(grey[:, 0])) / max(1, width - 1) * x
    slope = slope + (middle(grey[-1]) - middle(grey[0])) / max(1, height - 1) * y

    even = np.full(grey.shape, middle(edge(grey)))
    rising = slope + middle(edge(grey - slope))
    if middle(np.abs(edge(grey - rising))) < middle(np.abs(edge(grey - even))):
        return rising
    return even


def edge(picture):
    """Returns the pixels at a picture's edge: the outermost rows and columns."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def middle(values):
    """Returns the median; of an even number of values the upper one of the two in the middle."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def blur(picture):
    """Returns the mean of 3x3 pixels for each one; the edge is repeated."""
    padded = np.pad(picture, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9


class Stroke:
    """Pixels that hang together; right and bottom are behind the last ones."""

    def __init__(self):
        self.runs = []  # (y, start, end)
        self.left = self.top = 1 << 30
        self.right = self.bottom = 0
        self.weight = self.peak = 0.0


def connected(ink, mask):
    """Returns the strokes of a mask: pixels that touch, at corners too, are of one stroke."""
    # Where a row of the mask begins to be set, and where it ends: its runs.
    changes = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = np.nonzero(changes == 1)
    ends = np.nonzero(changes == -1)[1]
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist()))

    parent = list(range(len(runs)))  # a run that is its own parent stands for its stroke

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above = 0  # the first run of the row above that may still touch
    for i, (y, start, end) in enumerate(runs):
        while runs[above][0] < y - 1 or (runs[above][0] == y - 1 and runs[above][2] < start):
            above += 1
        other = above
        while runs[other][0] == y - 1 and runs[other][1] <= end:
            parent[root(other)] = root(i)
            other += 1

    strokes = {}
    for i, (y, start, end) in enumerate(runs):
        stroke = strokes.setdefault(root(i), Stroke())
        stroke.runs.append((y, start, end))
        stroke.left, stroke.right = min(stroke.left, start), max(stroke.right, end)
        stroke.top, stroke.bottom = min(stroke.top, y), max(stroke.bottom, y + 1)
        stroke.weight += ink[y, start:end].sum()
        stroke.peak = max(stroke.peak, ink[y, start:end].max())
    return list(strokes.values())


def resize(picture, width, height):
    """Returns a picture in another size: bilinear, over all pixels that go into one.

    Along a side of `before` pixels that become `after`, with scale = before / after,
    pixel i has in the new pixel j the weight
        max(0, 1 - |i + 0.5 - (j + 0.5) * scale| / max(scale, 1))
    divided by the sum of these weights. First along rows, then along columns.
    """
    before = Image.fromarray(picture.astype(np.float32))
    return np.asarray(before.resize((width, height), Image.BILINEAR))


def round_half_up(x):
    return int(np.floor(x + 0.5))
