package ossserver

import (
	"hash/crc64"
	"testing"
)

func TestCombineCRC(t *testing.T) {
	text := []byte("one part and another, of which the CRC is that of the whole")
	whole := crc64.Checksum(text, crcTable())
	for i := range len(text) + 1 {
		a, b := crc64.Checksum(text[:i], crcTable()), crc64.Checksum(text[i:], crcTable())
		if got := combineCRC(a, b, int64(len(text)-i)); got != whole {
			t.Errorf("cut at %d: %x, want %x", i, got, whole)
		}
	}
}
