package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/gif"
	"image/png"
	"slices"
)

// insert returns a JPEG file with a segment behind its first marker.
func insert(file []byte, marker uint16, data []byte) []byte {
	var w writer
	w.segment(marker, data...)
	return slices.Concat(file[:2], w.file, file[2:])
}

// The markers of segments that say something about a picture.
const (
	application1 = 0xffe1
	comment      = 0xfffe
)

// oriented returns a picture of a digit that is stored turned or mirrored, and says
// so in Exif. The orientation is 1 to 8.
func (d *digit) oriented(orientation int, order binary.AppendByteOrder) []byte {
	stored := digit{label: d.label}
	const last = digitSide - 1
	for row := range digitSide {
		for column := range digitSide {
			// Where a stored row and column are looked at, by the standard's words.
			var x, y int
			switch orientation {
			case 1: // the first row is at the top, the first column at the left
				x, y = column, row
			case 2: // top, right
				x, y = last-column, row
			case 3: // bottom, right
				x, y = last-column, last-row
			case 4: // bottom, left
				x, y = column, last-row
			case 5: // left, top
				x, y = row, column
			case 6: // right, top
				x, y = last-row, column
			case 7: // right, bottom
				x, y = last-row, last-column
			case 8: // left, bottom
				x, y = row, last-column
			}
			stored.ink[row*digitSide+column] = d.ink[y*digitSide+x]
		}
	}
	exif := []byte("Exif\x00\x00")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		exif = append(exif, "II"...)
	} else {
		exif = append(exif, "MM"...)
	}
	exif = order.AppendUint16(exif, 42)
	exif = order.AppendUint32(exif, 8) // the directory is behind this header
	exif = order.AppendUint16(exif, 1) // and has one entry:
	exif = order.AppendUint16(exif, 0x0112)
	exif = order.AppendUint16(exif, 3) // a number of 16 bits
	exif = order.AppendUint32(exif, 1)
	exif = order.AppendUint16(exif, uint16(orientation))
	exif = order.AppendUint16(exif, 0)
	exif = order.AppendUint32(exif, 0) // there is no other directory
	return insert(stored.jpeg(kindPlain, 0), application1, exif)
}

// frame describes a JPEG file without anything in it, for those that are refused by
// what they say of themselves.
type frame struct {
	marker        uint16
	bits          byte
	width, height int
	components    int
	scans         int
}

func (f frame) file() []byte {
	var w writer
	w.marker(startOfImage)
	w.quantizer()
	w.frame(f.marker, f.bits, f.width, f.height, f.components)
	w.huffman()
	for range f.scans {
		data := []byte{byte(f.components)}
		for i := range f.components {
			data = append(data, byte(i+1), 0)
		}
		w.segment(startOfScan, append(data, 0, 63, 0)...)
	}
	w.marker(endOfImage)
	return w.file
}

// picture is a digit for the encoders of other formats.
func (d *digit) picture() *image.Gray {
	return &image.Gray{Pix: d.ink[:], Stride: digitSide, Rect: image.Rect(0, 0, digitSide, digitSide)}
}

func (d *digit) png() []byte {
	var file bytes.Buffer
	if err := png.Encode(&file, d.picture()); err != nil {
		panic(err) // as in take
	}
	return file.Bytes()
}

func (d *digit) gif() []byte {
	var file bytes.Buffer
	if err := gif.Encode(&file, d.picture(), nil); err != nil {
		panic(err) // as in take
	}
	return file.Bytes()
}

// empty is a digit that nobody wrote.
func empty(level uint8) *digit {
	var d digit
	for i := range d.ink {
		d.ink[i] = level
	}
	return &d
}
