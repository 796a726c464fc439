package store

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
)

// checksums computes the hash that the cache goes by and those that the server
// has announced for the file as a whole.
type checksums struct {
	sha256 hash.Hash

	md5     hash.Hash // nil unless announced
	wantMD5 []byte

	crc64     hash.Hash64 // nil unless announced
	wantCRC64 uint64
}

// newChecksums reads what h announces; whole says that h is about the whole
// file and not about a range of it.
func newChecksums(h http.Header, whole bool) *checksums {
	c := &checksums{sha256: sha256.New()}
	if sum, err := base64.StdEncoding.DecodeString(h.Get("Content-MD5")); err == nil && len(sum) == md5.Size && whole {
		c.md5, c.wantMD5 = md5.New(), sum
	}
	// OSS announces that of the whole object, also with a range of it.
	if sum, err := strconv.ParseUint(h.Get("x-oss-hash-crc64ecma"), 10, 64); err == nil {
		c.crc64, c.wantCRC64 = crc64.New(crc64.MakeTable(crc64.ECMA)), sum
	}
	return c
}

func (c *checksums) writer() io.Writer {
	w := []io.Writer{c.sha256}
	if c.md5 != nil {
		w = append(w, c.md5)
	}
	if c.crc64 != nil {
		w = append(w, c.crc64)
	}
	return io.MultiWriter(w...)
}

// check holds what came against what was announced.
func (c *checksums) check() error {
	if c.md5 != nil {
		if got := c.md5.Sum(nil); !bytes.Equal(got, c.wantMD5) {
			return fmt.Errorf("its MD5 is %x, the server announced %x", got, c.wantMD5)
		}
	}
	if c.crc64 != nil {
		if got := c.crc64.Sum64(); got != c.wantCRC64 {
			return fmt.Errorf("its CRC-64 is %d, the server announced %d", got, c.wantCRC64)
		}
	}
	return nil
}

func (c *checksums) sum() string { return hex.EncodeToString(c.sha256.Sum(nil)) }
