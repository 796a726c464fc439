package main

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"strings"
)

// digitSide is the length of a side of a digit, in pixels.
const digitSide = 28

// perRow is how many digits one row of a sheet has.
const perRow = 50

// digit is a handwritten digit.
type digit struct {
	label int
	ink   [digitSide * digitSide]uint8 // row by row; 0: paper, 255: ink
}

// readSheet reads digits from a picture, in which each has digitSide x digitSide pixels and a
// row has 50 of them, white on black, and from a text file with a line of labels
// for each of its rows.
func readSheet(picture, labels string) ([]digit, error) {
	f, err := os.Open(picture)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoded, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", picture, err)
	}
	sheet, ok := decoded.(*image.Gray)
	if !ok {
		return nil, fmt.Errorf("%s: it is not a grey picture of 8 bits", picture)
	}
	size := sheet.Rect.Size()
	text, err := os.ReadFile(labels)
	if err != nil {
		return nil, err
	}
	var digits []digit
	for row, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		line = strings.TrimSpace(line)
		if len(line) > perRow {
			return nil, fmt.Errorf("%s:%d: more than %d labels", labels, row+1, perRow)
		}
		for column, label := range line {
			if label < '0' || label > '9' {
				return nil, fmt.Errorf("%s:%d: %q is no digit", labels, row+1, label)
			}
			if (column+1)*digitSide > size.X || (row+1)*digitSide > size.Y {
				return nil, fmt.Errorf("%s: there is no picture of digit %d of row %d", picture, column+1, row+1)
			}
			d := digit{label: int(label - '0')}
			for y := range digitSide {
				from := sheet.PixOffset(column*digitSide, row*digitSide+y)
				copy(d.ink[y*digitSide:], sheet.Pix[from:from+digitSide])
			}
			digits = append(digits, d)
		}
	}
	return digits, nil
}
