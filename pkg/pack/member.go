package pack

import (
	"encoding/binary"
	"hash/crc32"
)

// memberHeader begins a gzip member: deflate, no name, no time, system unknown.
var memberHeader = [...]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// memberTrailer ends a gzip member of size bytes.
func memberTrailer(crc uint32, size int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, crc)
	return binary.LittleEndian.AppendUint32(b, uint32(size)) // modulo 2^32, as the format says
}

// joinCRC returns the CRC-32 of two pieces of data in a row, of which each has
// its own; the second has size bytes.
//
// A CRC is a remainder of polynomials over two elements. What follows a piece
// multiplies it by a power of x, and then the two are added.
func joinCRC(first, second uint32, size int64) uint32 {
	power := uint32(1 << 31) // x to the 0; the bits are reversed
	for square, n := uint32(1<<30), 8*uint64(size); n > 0; n >>= 1 {
		if n&1 != 0 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return multiply(first, power) ^ second
}

// multiply multiplies two polynomials modulo the one of CRC-32.
func multiply(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(1 << 31); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc32.IEEE
		} else {
			b >>= 1
		}
	}
	return product
}
