package pack

import (
	"encoding/binary"
	"math/bits"
)

// magicSipHash13 is the first version of compiled files whose sources are hashed
// with one round a word instead of two: the first of Python 3.11.
const magicSipHash13 = 3450

// sourceHash is the hash of a source that goes into the header of what was
// compiled from it: SipHash with the header's first four bytes for a key.
func sourceHash(header, source []byte) uint64 {
	key := uint64(binary.LittleEndian.Uint32(header))
	if binary.LittleEndian.Uint16(header) < magicSipHash13 {
		return sipHash(key, source, 2, 4)
	}
	return sipHash(key, source, 1, 3)
}

// sipHash is SipHash with a key whose second half is zero, and as many rounds
// for each word and at the end as it is told.
func sipHash(key uint64, data []byte, each, end int) uint64 {
	s := sipState{
		key ^ 0x736f6d6570736575,
		0x646f72616e646f6d,
		key ^ 0x6c7967656e657261,
		0x7465646279746573,
	}
	last := uint64(len(data)) << 56
	for ; len(data) >= 8; data = data[8:] {
		s.word(binary.LittleEndian.Uint64(data), each)
	}
	for i, b := range data {
		last |= uint64(b) << (8 * i)
	}
	s.word(last, each)
	s[2] ^= 0xff
	for range end {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

type sipState [4]uint64

func (s *sipState) word(w uint64, rounds int) {
	s[3] ^= w
	for range rounds {
		s.round()
	}
	s[0] ^= w
}

func (s *sipState) round() {
	s[0] += s[1]
	s[2] += s[3]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[1]
	s[0] += s[3]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] = bits.RotateLeft64(s[2], 32)
}
