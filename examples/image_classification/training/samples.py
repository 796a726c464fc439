"""Makes the JPEG files in ../digits, and ../request.jpg, of digits in ../heldout.png."""

import os
import shutil

import numpy as np
from PIL import Image

ABOVE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

# digit, what it is, then: size of the picture, size of the digit, its middle, paper, ink, quality, grey
SAMPLES = [
    (0, "plain", (28, 28), 20, (0.5, 0.5), BLACK, WHITE, 90, True),
    (1, "plain", (28, 28), 20, (0.5, 0.5), BLACK, WHITE, 90, True),
    (2, "black-on-white", (256, 256), 170, (0.5, 0.5), WHITE, BLACK, 85, True),
    (3, "colour", (128, 128), 90, (0.5, 0.5), (250, 230, 150), (20, 60, 160), 85, False),
    (4, "colour-on-dark", (200, 160), 110, (0.5, 0.5), (30, 40, 70), (255, 140, 60), 85, False),
    (5, "off-centre", (320, 200), 80, (0.75, 0.65), WHITE, BLACK, 85, True),
    (6, "small-in-large", (640, 480), 90, (0.2, 0.3), (225, 222, 215), (50, 50, 60), 80, False),
    (7, "strongly-compressed", (28, 28), 20, (0.5, 0.5), BLACK, WHITE, 20, True),
    (8, "strongly-compressed", (160, 160), 110, (0.5, 0.5), WHITE, BLACK, 10, True),
    (9, "plain", (28, 28), 20, (0.5, 0.5), BLACK, WHITE, 90, True),
    (9, "large", (2048, 1536), 1100, (0.5, 0.5), (240, 240, 235), (40, 40, 110), 60, False),
    (7, "black-on-white", (56, 56), 40, (0.5, 0.5), WHITE, BLACK, 85, True),
]


def tiles():
    """Returns the digits of ../heldout.png and what they are."""
    picture = np.asarray(Image.open(os.path.join(ABOVE, "heldout.png")))
    with open(os.path.join(ABOVE, "heldout.txt")) as file:
        labels = [int(label) for label in file.read() if label.isdigit()]
    rows, columns = picture.shape[0] // 28, picture.shape[1] // 28
    return picture.reshape(rows, 28, columns, 28).transpose(0, 2, 1, 3).reshape(-1, 28, 28), labels


def main():
    pictures, labels = tiles()
    directory = os.path.join(ABOVE, "digits")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    following = {digit: iter([p for p, label in zip(pictures, labels) if label == digit]) for digit in range(10)}
    for digit, what, size, large, middle, paper, ink, quality, grey in SAMPLES:
        # The data set's digits are 20 pixels large.
        side = round(28 * large / 20)
        mask = Image.fromarray(next(following[digit])).resize((side, side), Image.BICUBIC)
        picture = Image.new("RGB", size, paper)
        corner = tuple(round(length * part - side / 2) for length, part in zip(size, middle))
        picture.paste(Image.new("RGB", (side, side), ink), corner, mask)
        picture = picture.convert("L") if grey else picture
        picture.save(os.path.join(directory, "%d-%s.jpg" % (digit, what)), quality=quality)
    shutil.copyfile(os.path.join(directory, "9-plain.jpg"), os.path.join(ABOVE, "request.jpg"))


if __name__ == "__main__":
    main()
