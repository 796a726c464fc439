package ossserver

import (
	"hash/crc64"
	"sync"
)

var crcTable = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(crc64.ECMA) })

// combineCRC returns the CRC-64 of a followed by b, of which n is the length in
// bytes: that of a, multiplied by x^8n modulo the polynomial, plus that of b.
func combineCRC(a, b uint64, n int64) uint64 {
	power, square := uint64(1)<<63, uint64(1)<<55 // x^0 and x^8, the lowest power in the highest bit
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return multiply(a, power) ^ b
}

// multiply multiplies two polynomials modulo that of the CRC.
func multiply(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << 63; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc64.ECMA
		} else {
			b >>= 1
		}
	}
	return product
}
