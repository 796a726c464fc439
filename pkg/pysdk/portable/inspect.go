package portable

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/elfpatch"
	"github.com/openeas/eascmd/internal/fault"
)

// inspection is what a look at the content of a file showed.
type inspection struct {
	kind  kind
	elf   *elfpatch.File
	hits  map[string]int // how often it names each of the old prefixes
	fault string         // why it cannot be read as what it is
}

// kind is what a file is.
type kind int

const (
	other   kind = iota
	program      // an ELF file
	mach         // a program or library of macOS
	windows      // a program or library of Windows
)

// inspect looks at every file once, several at the same time: it reads all of
// it, for what it is and for the old prefixes in it.
func (b *builder) inspect() error {
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, it := range b.items {
		if !it.Mode.IsRegular() {
			continue
		}
		if err := b.ctx.Err(); err != nil {
			break
		}
		group.Go(func() error {
			if err := b.ctx.Err(); err != nil {
				return nil
			}
			if err := b.inspectFile(it); err != nil {
				return fmt.Errorf("read %s: %w", origin(it), err)
			}
			return nil
		})
	}
	err := group.Wait()
	if b.ctx.Err() != nil {
		return fault.New(fault.Interrupted, "read the environment: %w", context.Cause(b.ctx))
	}
	return err
}

// origin names a file in a message.
func origin(it *item) string {
	if it.source != "" {
		return it.source
	}
	return it.Name
}

// chunk is how much of a file is read at a time, in bytes.
const chunk = 256 << 10

func (b *builder) inspectFile(it *item) error {
	if strings.HasSuffix(it.Name, ".pyc") {
		return nil // the names in it are replaced when it is loaded
	}
	if it.data != nil {
		var err error
		it.seen.hits, err = b.count(bytes.NewReader(it.data), it.Size)
		return err
	}
	f, err := os.Open(it.source)
	if err != nil {
		return err
	}
	defer f.Close()
	if it.seen.kind, err = kindOf(f, it.Size); err != nil {
		return err
	}
	if it.seen.kind == program {
		if it.seen.elf, err = elfpatch.Read(f, it.Size); err != nil {
			it.seen.kind, it.seen.fault = other, err.Error()
		}
	}
	it.seen.hits, err = b.count(f, it.Size)
	return err
}

// count returns how often a file of a size names each of the old prefixes, the longest
// where one is inside another.
func (b *builder) count(r io.Reader, size int64) (map[string]int, error) {
	if len(b.old) == 0 {
		return nil, nil
	}
	hits := map[string]int{}
	keep := len(b.old[0]) // of the longest, and the byte behind it
	buf := make([]byte, min(chunk, size+int64(keep)+1))
	have := 0
	for {
		n, err := io.ReadFull(r, buf[have:])
		have += n
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return nil, err
		}
		limit := have
		if !last {
			limit -= keep
		}
		b.countIn(buf[:have], limit, hits)
		if last {
			return hits, nil
		}
		// What may be the beginning of a prefix is looked at again.
		have = copy(buf, buf[limit:have])
	}
}

// recount counts again in a file that was edited.
func (b *builder) recount(it *item) error {
	r, err := it.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	it.seen.hits, err = b.count(r, it.Size)
	return err
}

// countIn counts the prefixes that begin before limit.
func (b *builder) countIn(text []byte, limit int, hits map[string]int) {
	for n, old := range b.old {
		dir := []byte(old)
		for at := 0; at < limit; at += len(dir) {
			next := bytes.Index(text[at:], dir)
			if next < 0 {
				break
			}
			at += next
			if at >= limit {
				break
			}
			if end := at + len(dir); end < len(text) && isNameByte(text[end]) {
				continue
			}
			longer := slices.ContainsFunc(b.old[:n], func(o string) bool { return bytes.HasPrefix(text[at:], []byte(o)) })
			if !longer {
				hits[old]++
			}
		}
	}
}

// magics are the first bytes of what runs on macOS.
var magics = [][]byte{
	{0xfe, 0xed, 0xfa, 0xce}, {0xfe, 0xed, 0xfa, 0xcf}, {0xce, 0xfa, 0xed, 0xfe}, {0xcf, 0xfa, 0xed, 0xfe},
}

// kindOf returns what a file of a size is.
func kindOf(r io.ReaderAt, size int64) (kind, error) {
	head := make([]byte, min(64, size))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return other, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return program, nil
	case len(head) == 64 && slices.ContainsFunc(magics, func(m []byte) bool { return bytes.HasPrefix(head, m) }):
		return mach, nil
	case len(head) == 64 && bytes.HasPrefix(head, []byte{0xca, 0xfe, 0xba, 0xbe}) && head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] < 30:
		return mach, nil // for several CPUs; a class of Java has its version, 45 or more, there
	case len(head) == 64 && bytes.HasPrefix(head, []byte("MZ")):
		// The header proper is where the old one says.
		at := int64(head[60]) | int64(head[61])<<8 | int64(head[62])<<16 | int64(head[63])<<24
		sign := make([]byte, 4)
		if _, err := r.ReadAt(sign, at); err == nil && string(sign) == "PE\x00\x00" {
			return windows, nil
		}
	}
	return other, nil
}
