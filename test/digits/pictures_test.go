package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"path/filepath"
	"slices"
	"testing"
)

// drawn is a digit that nobody would take for another: a slanted stroke.
func drawn() *digit {
	d := &digit{label: 1}
	for y := 4; y < 24; y++ {
		for x := range 3 {
			d.ink[y*digitSide+16-y/5+x] = 255
		}
	}
	return d
}

// decode decodes a grey or coloured picture to brightness.
func decode(t *testing.T, file []byte) *image.Gray {
	t.Helper()
	decoded, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	switch p := decoded.(type) {
	case *image.Gray:
		return p
	case *image.YCbCr:
		return &image.Gray{Pix: p.Y, Stride: p.YStride, Rect: p.Rect}
	}
	t.Fatalf("a picture is a %T", decoded)
	return nil
}

func TestPlainIsTheDigit(t *testing.T) {
	d := drawn()
	p := decode(t, d.jpeg(kindPlain, 1))
	if p.Rect != image.Rect(0, 0, digitSide, digitSide) {
		t.Fatalf("it is %v large", p.Rect)
	}
	for i, want := range d.ink {
		if got := p.Pix[p.PixOffset(i%digitSide, i/digitSide)]; max(got, want)-min(got, want) > 40 {
			t.Errorf("pixel %d is %d, want %d", i, got, want)
		}
	}
}

// Every kind changes something, is the same for the same seed, and leaves a digit
// that differs from its paper.
func TestChanges(t *testing.T) {
	d := drawn()
	plain := d.jpeg(kindPlain, 1)
	for _, kind := range append(slices.Clone(changes), kindPhotographed) {
		for seed := range uint64(8) {
			file := d.jpeg(kind, seed)
			if bytes.Equal(file, plain) {
				t.Errorf("%s changes nothing", kind)
			}
			if !bytes.Equal(file, d.jpeg(kind, seed)) {
				t.Errorf("%s is not the same for the same seed", kind)
			}
			if seed > 0 && bytes.Equal(file, d.jpeg(kind, seed-1)) {
				t.Errorf("%s is the same for seeds %d and %d", kind, seed, seed-1)
			}
			p := decode(t, file)
			darkest, brightest := uint8(255), uint8(0)
			for y := range p.Rect.Dy() {
				for _, level := range p.Pix[y*p.Stride : y*p.Stride+p.Rect.Dx()] {
					darkest, brightest = min(darkest, level), max(brightest, level)
				}
			}
			if brightest-darkest < 60 {
				t.Errorf("%s, seed %d: from %d to %d there is not enough contrast", kind, seed, darkest, brightest)
			}
		}
	}
}

// The picture that is written block by block is what a decoder says it is, of one
// scan and of many, and where the last blocks stick out.
func TestHuge(t *testing.T) {
	d := drawn()
	for _, scans := range []int{0, 1, 3} {
		const width, height = 900, 601
		for _, file := range [][]byte{d.huge(width, height, scans), d.hugeColoured(width, height, scans)} {
			p := decode(t, file)
			if p.Rect.Dx() != width || p.Rect.Dy() != height {
				t.Fatalf("it is %v large", p.Rect)
			}
			for y := range digitSide {
				for x := range digitSide {
					// The middle of a pixel of the digit.
					at := p.Pix[p.PixOffset((width-height)/2+(2*x+1)*height/(2*digitSide), (2*y+1)*height/(2*digitSide))]
					if want := d.ink[y*digitSide+x]; at != want {
						t.Errorf("%d scans: pixel %d, %d is %d, want %d", scans, x, y, at, want)
					}
				}
			}
		}
	}
	if size := len(d.huge(8192, 6144, 0)); size > 1<<20 {
		t.Errorf("50 megapixels take %d bytes", size)
	}
}

func TestReadSheet(t *testing.T) {
	dir := example
	digits, err := readSheet(filepath.Join(dir, "heldout.png"), filepath.Join(dir, "heldout.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(digits) < 2000 {
		t.Errorf("there are only %d digits", len(digits))
	}
	var each [10]int
	for _, d := range digits {
		each[d.label]++
	}
	for label, n := range each {
		if n < len(digits)/20 {
			t.Errorf("only %d of %d digits are a %d", n, len(digits), label)
		}
	}
}
