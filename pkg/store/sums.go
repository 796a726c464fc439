package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"strconv"
	"sync"
)

// hashes computes SHA-256 and what else a store tells of its objects.
type hashes struct {
	sha256 hash.Hash
	crc64  hash.Hash64 // nil unless wanted
	crc32c hash.Hash32 // nil unless wanted
}

func newHashes(with ...Algorithm) *hashes {
	h := &hashes{sha256: sha256.New()}
	for _, a := range with {
		switch a {
		case CRC64:
			h.crc64 = crc64.New(crc64.MakeTable(crc64.ECMA))
		case CRC32C:
			h.crc32c = crc32.New(castagnoli)
		}
	}
	return h
}

// Write never fails. The checksums are computed at the same time.
func (h *hashes) Write(p []byte) (int, error) {
	var others sync.WaitGroup
	if h.crc64 != nil {
		others.Go(func() { h.crc64.Write(p) })
	}
	if h.crc32c != nil {
		h.crc32c.Write(p)
	}
	h.sha256.Write(p)
	others.Wait()
	return len(p), nil
}

func (h *hashes) sums() Sums {
	s := Sums{SHA256: hex.EncodeToString(h.sha256.Sum(nil))}
	if h.crc64 != nil {
		s.CRC64 = strconv.FormatUint(h.crc64.Sum64(), 10)
	}
	if h.crc32c != nil {
		s.CRC32C = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, h.crc32c.Sum32()))
	}
	return s
}

// likeness is what a comparison of sums comes to.
type likeness int

const (
	unknown likeness = iota
	same
	different
)

// compare holds sums against others. by is the algorithm that decided.
func (s Sums) compare(other Sums) (verdict likeness, by Algorithm) {
	for _, pair := range []struct {
		by   Algorithm
		a, b string
	}{{SHA256, s.SHA256, other.SHA256}, {CRC64, s.CRC64, other.CRC64}, {CRC32C, s.CRC32C, other.CRC32C}} {
		switch {
		case pair.a == "" || pair.b == "":
		case pair.a != pair.b:
			return different, pair.by
		case verdict == unknown:
			verdict, by = same, pair.by
		}
	}
	return verdict, by
}

// holds says whether an object is what has this size and these sums. by is the
// algorithm by which the store itself says so; it is empty where only the
// object's metadata does.
func (s Sums) holds(size int64, o *Object) (verdict likeness, by Algorithm) {
	if o.Size != size {
		return different, ""
	}
	verdict, by = s.compare(o.Sums)
	if claimed := o.Metadata[MetadataSHA256]; claimed != "" && verdict != different {
		if claimed != s.SHA256 {
			return different, ""
		}
		verdict = same
	}
	return verdict, by
}

// content is what a file holds when it is read the first time.
type content struct {
	size int64
	sums Sums
	crcs []uint32 // CRC-32C of each part
}

// readContent reads a file for its checksums. done is called with how much has
// been read.
func readContent(ctx context.Context, file io.ReaderAt, parts layout, with Algorithm, done func(int64)) (*content, error) {
	c := &content{size: parts.Size, crcs: make([]uint32, parts.count())}
	h := newHashes(with)
	buf := make([]byte, 1<<20)
	for i := range c.crcs {
		at, left := parts.section(i + 1)
		for left > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			piece := buf[:min(int64(len(buf)), left)]
			if n, err := file.ReadAt(piece, at); n < len(piece) {
				if err == io.EOF {
					return nil, fmt.Errorf("%w: it is shorter than it was", errFileChanged)
				}
				return nil, err
			}
			c.crcs[i] = crc32.Update(c.crcs[i], castagnoli, piece)
			h.Write(piece)
			at += int64(len(piece))
			left -= int64(len(piece))
			done(at)
		}
	}
	c.sums = h.sums()
	return c, nil
}
