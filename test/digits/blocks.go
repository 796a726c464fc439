package main

import (
	"encoding/binary"
	"math/bits"
)

// The markers of a JPEG file that are used here.
const (
	startOfImage   = 0xffd8
	baseline       = 0xffc0
	progressive    = 0xffc2
	huffmanTable   = 0xffc4
	endOfImage     = 0xffd9
	startOfScan    = 0xffda
	quantizerTable = 0xffdb
)

// huge returns a picture of a digit, as large as a JPEG file may be, as a file of
// less than 2 % of that: every block of 8 x 8 pixels has one brightness. With
// scans it is a progressive one, which has so many after its first.
//
// image/jpeg writes none of these in the time and memory that a test has.
func (d *digit) huge(width, height, scans int) []byte {
	return d.blocks(width, height, 1, scans)
}

// hugeColoured returns such a picture with three colour components, each in scans of
// its own. It takes three times the memory to decode.
func (d *digit) hugeColoured(width, height, scans int) []byte {
	return d.blocks(width, height, 3, scans)
}

func (d *digit) blocks(width, height, components, scans int) []byte {
	side := min(width, height)
	left, top := (width-side)/2, (height-side)/2
	level := func(x, y int) uint8 {
		x, y = 8*x+4-left, 8*y+4-top
		if x < 0 || y < 0 || x >= side || y >= side {
			return 0
		}
		return d.ink[y*digitSide/side*digitSide+x*digitSide/side]
	}
	columns, rows := (width+7)/8, (height+7)/8
	w := writer{file: make([]byte, 0, columns*rows*components)}
	w.marker(startOfImage)
	w.quantizer()
	marker := uint16(baseline)
	if scans > 0 {
		marker = progressive
	}
	w.frame(marker, 8, width, height, components)
	w.huffman()
	for component := range components {
		if scans == 0 {
			w.scan(component, 0, 63)
		} else {
			w.scan(component, 0, 0)
		}
		before := 0
		for y := range rows {
			for x := range columns {
				now := 0 // no colour
				if component == 0 {
					now = int(level(x, y)) - 128
				}
				w.difference(now - before)
				if scans == 0 {
					w.bits(0, codeLength) // the end of the block
				}
				before = now
			}
		}
		w.flush()
	}
	for i := range scans {
		w.scan(i%components, 1, 63)
		for left := columns * rows; left > 0; {
			run := min(bits.Len(uint(left))-1, longestRun) // a power of two of empty blocks
			w.bits(uint(run), codeLength)
			w.bits(0, run)
			left -= 1 << run
		}
		w.flush()
	}
	w.marker(endOfImage)
	return w.file
}

const (
	codeLength = 4  // of all codes, in bits
	categories = 9  // lengths of a difference of two levels, 0 to 8 bits
	longestRun = 14 // of empty blocks, a power of two
)

// writer writes a JPEG file.
type writer struct {
	file []byte
	held uint // bits that make no byte yet
	have int  // how many
}

func (w *writer) marker(m uint16) { w.file = binary.BigEndian.AppendUint16(w.file, m) }

func (w *writer) segment(m uint16, data ...byte) {
	w.marker(m)
	w.file = binary.BigEndian.AppendUint16(w.file, uint16(len(data)+2))
	w.file = append(w.file, data...)
}

// quantizer divides what a block's mean is multiplied by, so that it is a level.
func (w *writer) quantizer() {
	table := make([]byte, 1+64)
	for i := range table[1:] {
		table[1+i] = 8
	}
	w.segment(quantizerTable, table...)
}

// huffman has one table for differences and one for the rest of a block, each with
// the codes 0000, 0001, ... in order.
func (w *writer) huffman() {
	table := func(class byte, symbols []byte) {
		data := make([]byte, 1+16, 64)
		data[0] = class << 4
		data[codeLength] = byte(len(symbols))
		w.segment(huffmanTable, append(data, symbols...)...)
	}
	lengths := make([]byte, categories)
	for i := range lengths {
		lengths[i] = byte(i)
	}
	runs := make([]byte, longestRun+1)
	for i := range runs {
		runs[i] = byte(i << 4)
	}
	table(0, lengths)
	table(1, runs)
}

// frame says what the picture is like.
func (w *writer) frame(marker uint16, bits byte, width, height, components int) {
	data := []byte{bits, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(components)}
	for i := range components {
		data = append(data, byte(i+1), 0x11, 0)
	}
	w.segment(marker, data...)
}

// scan begins a scan of one component.
func (w *writer) scan(component int, from, to byte) {
	w.segment(startOfScan, 1, byte(component+1), 0, from, to, 0)
}

// difference writes how a block's level differs from the one before.
func (w *writer) difference(d int) {
	n := bits.Len(uint(max(d, -d)))
	if d < 0 {
		d += 1<<n - 1
	}
	w.bits(uint(n), codeLength)
	w.bits(uint(d), n)
}

func (w *writer) bits(value uint, n int) {
	w.held = w.held<<n | value
	for w.have += n; w.have >= 8; {
		w.have -= 8
		b := byte(w.held >> w.have)
		w.file = append(w.file, b)
		if b == 0xff {
			w.file = append(w.file, 0) // or it would begin a marker
		}
	}
	w.held &= 1<<w.have - 1
}

// flush fills the last byte of a scan with ones.
func (w *writer) flush() {
	if w.have > 0 {
		w.bits(1<<(8-w.have)-1, 8-w.have)
	}
}
