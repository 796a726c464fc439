// Package elfpatch reads what the loader reads in an ELF file (what it needs,
// where it looks for it, which versions of symbols it asks for) and gives an
// executable or a shared library another search path in place.
//
// It goes by the program headers, as the loader does, so that files without
// sections are read too. Only 64-bit little-endian files are read further than
// their header: x86-64, AArch64 and their kin. A damaged file gives an error,
// never a panic, and no more than a few MiB are ever held in memory.
package elfpatch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// ErrNotELF is the error of [Read] for what is no ELF file.
var ErrNotELF = errors.New("no ELF file")

// Sizes in a 64-bit file, in bytes.
const (
	headerSize  = 64
	progSize    = 56
	sectionSize = 64
	dynSize     = 16
	symbolSize  = 24
)

// Bounds on what is read of a file, far above what real ones have.
const (
	maxDynamic = 1 << 20 // bytes of the dynamic section
	maxString  = 1 << 16 // bytes of one string
	maxNeeds   = 1 << 16 // records of needed versions
)

// Version is a version of symbols that a file needs of a library.
type Version struct {
	Library string // such as libc.so.6
	Name    string // such as GLIBC_2.34
	Weak    bool   // the loader goes on without it
}

// File is what the loader sees of an ELF file.
type File struct {
	Class   elf.Class
	Order   binary.ByteOrder
	Type    elf.Type
	Machine elf.Machine

	// What follows is only read in 64-bit little-endian files.

	Interp   string // the loader that an executable asks for
	Dynamic  bool   // it is linked dynamically
	Needed   []string
	Soname   string
	RPath    string
	RunPath  string
	Versions []Version

	r       io.ReaderAt
	size    int64
	header  []byte
	progs   []elf.Prog64
	dyn     []entry // without the terminator
	dynRoom int     // how many entries fit, the terminator included
	dynOff  int64
}

// entry is an entry of the dynamic section.
type entry struct {
	tag elf.DynTag
	val uint64
}

// Read reads a file of a size in bytes. The error is [ErrNotELF] where the
// file is none, and says what is damaged otherwise.
func Read(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	ident := make([]byte, 20)
	if size < int64(len(ident)) {
		return nil, ErrNotELF
	}
	if err := f.readAt(ident, 0); err != nil {
		return nil, err
	}
	if string(ident[:4]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	f.Class = elf.Class(ident[elf.EI_CLASS])
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.Order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.Order = binary.BigEndian
	default:
		return nil, fmt.Errorf("damaged ELF file: byte order %d", ident[elf.EI_DATA])
	}
	f.Type = elf.Type(f.Order.Uint16(ident[16:]))
	f.Machine = elf.Machine(f.Order.Uint16(ident[18:]))
	if !f.readable() {
		return f, nil
	}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	return f, nil
}

func (f *File) readable() bool {
	return f.Class == elf.ELFCLASS64 && f.Order == binary.LittleEndian && (f.Type == elf.ET_EXEC || f.Type == elf.ET_DYN)
}

var le = binary.LittleEndian

func (f *File) read() error {
	f.header = make([]byte, headerSize)
	if err := f.readAt(f.header, 0); err != nil {
		return err
	}
	if err := f.readProgs(); err != nil {
		return err
	}
	for _, p := range f.progs {
		switch elf.ProgType(p.Type) {
		case elf.PT_INTERP:
			s, err := f.text(p.Off)
			if err != nil {
				return err
			}
			f.Interp = s
		case elf.PT_DYNAMIC:
			if err := f.readDynamic(p); err != nil {
				return err
			}
		}
	}
	return f.readStrings()
}

// table reads records of one size that the header names by offset and count.
func (f *File) table(what string, off uint64, entsize, count, want uint16) ([]byte, error) {
	if count == 0 {
		return nil, nil
	}
	if entsize != want {
		return nil, fmt.Errorf("%s of %d bytes, want %d", what, entsize, want)
	}
	if off > uint64(f.size) {
		return nil, fmt.Errorf("%s at offset %d of %d", what, off, f.size)
	}
	b := make([]byte, int(count)*int(want))
	return b, f.readAt(b, int64(off))
}

func (f *File) readProgs() error {
	h := f.header
	b, err := f.table("program headers", le.Uint64(h[32:]), le.Uint16(h[54:]), le.Uint16(h[56:]), progSize)
	if err != nil {
		return err
	}
	f.progs = make([]elf.Prog64, len(b)/progSize)
	if err := binary.Read(bytes.NewReader(b), le, f.progs); err != nil {
		return err
	}
	for _, p := range f.progs {
		if p.Off > math.MaxInt64 || p.Filesz > math.MaxInt64-p.Off || p.Memsz > math.MaxUint64-p.Vaddr {
			return fmt.Errorf("a segment at offset %#x of %#x bytes", p.Off, p.Filesz)
		}
	}
	return nil
}

// sections reads the section headers; many files have none.
func (f *File) sections() ([]elf.Section64, error) {
	h := f.header
	b, err := f.table("section headers", le.Uint64(h[40:]), le.Uint16(h[58:]), le.Uint16(h[60:]), sectionSize)
	if err != nil {
		return nil, err
	}
	s := make([]elf.Section64, len(b)/sectionSize)
	return s, binary.Read(bytes.NewReader(b), le, s)
}

func (f *File) readDynamic(p elf.Prog64) error {
	if f.Dynamic {
		return errors.New("two dynamic sections")
	}
	if p.Filesz > maxDynamic {
		return fmt.Errorf("a dynamic section of %d bytes", p.Filesz)
	}
	b := make([]byte, p.Filesz/dynSize*dynSize)
	if err := f.readAt(b, int64(p.Off)); err != nil {
		return err
	}
	f.Dynamic, f.dynOff, f.dynRoom = true, int64(p.Off), len(b)/dynSize
	for e := range slices.Chunk(b, dynSize) {
		tag := elf.DynTag(int64(le.Uint64(e)))
		if tag == elf.DT_NULL {
			return nil
		}
		f.dyn = append(f.dyn, entry{tag, le.Uint64(e[8:])})
	}
	return errors.New("a dynamic section without an end")
}

func (f *File) readStrings() error {
	for _, e := range f.dyn {
		var s string
		var err error
		switch e.tag {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
			if s, err = f.name(e.val); err != nil {
				return fmt.Errorf("%v: %w", e.tag, err)
			}
		}
		switch e.tag {
		case elf.DT_NEEDED:
			f.Needed = append(f.Needed, s)
		case elf.DT_SONAME:
			f.Soname = s
		case elf.DT_RPATH:
			f.RPath = s
		case elf.DT_RUNPATH:
			f.RunPath = s
		}
	}
	return f.readVersions()
}

// readVersions walks the two chains of the needed versions: libraries, and the
// versions of each.
func (f *File) readVersions() error {
	addr, ok := f.value(elf.DT_VERNEED)
	if !ok {
		return nil
	}
	libraries, _ := f.value(elf.DT_VERNEEDNUM)
	left := maxNeeds
	for range libraries {
		var need [16]byte // version, count, library, first, next
		if err := f.readAddr(need[:], addr); err != nil {
			return fmt.Errorf("needed versions: %w", err)
		}
		library, err := f.name(uint64(le.Uint32(need[4:])))
		if err != nil {
			return fmt.Errorf("needed versions: %w", err)
		}
		at := addr + uint64(le.Uint32(need[8:]))
		for range le.Uint16(need[2:]) {
			if left--; left < 0 {
				return errors.New("too many needed versions")
			}
			var aux [16]byte // hash, flags, other, name, next
			if err := f.readAddr(aux[:], at); err != nil {
				return fmt.Errorf("needed versions of %s: %w", library, err)
			}
			name, err := f.name(uint64(le.Uint32(aux[8:])))
			if err != nil {
				return fmt.Errorf("needed versions of %s: %w", library, err)
			}
			const weak = 2
			f.Versions = append(f.Versions, Version{library, name, le.Uint16(aux[4:])&weak != 0})
			next := le.Uint32(aux[12:])
			if next == 0 {
				break
			}
			at += uint64(next)
		}
		next := le.Uint32(need[12:])
		if next == 0 {
			break
		}
		addr += uint64(next)
		if left--; left < 0 {
			return errors.New("too many needed versions")
		}
	}
	return nil
}

// value returns the value of the first entry of a tag.
func (f *File) value(tag elf.DynTag) (uint64, bool) {
	for _, e := range f.dyn {
		if e.tag == tag {
			return e.val, true
		}
	}
	return 0, false
}

// name returns a string of the dynamic string table.
func (f *File) name(off uint64) (string, error) {
	start, ok := f.value(elf.DT_STRTAB)
	if !ok {
		return "", errors.New("no string table")
	}
	if size, ok := f.value(elf.DT_STRSZ); ok && off >= size {
		return "", fmt.Errorf("a string at %d of %d", off, size)
	}
	at, err := f.offset(start + off)
	if err != nil {
		return "", err
	}
	return f.text(at)
}

// text returns the string at an offset of the file.
func (f *File) text(off uint64) (string, error) {
	var s []byte
	buf := make([]byte, 256)
	for len(s) < maxString {
		if off >= uint64(f.size) {
			return "", io.ErrUnexpectedEOF
		}
		b := buf[:min(int64(len(buf)), f.size-int64(off))]
		if err := f.readAt(b, int64(off)); err != nil {
			return "", err
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return string(append(s, b[:end]...)), nil
		}
		s = append(s, b...)
		off += uint64(len(b))
	}
	return "", errors.New("a string without an end")
}

// segment returns the index of the loaded segment whose bytes of the file
// hold an address.
func (f *File) segment(addr uint64) (int, bool) {
	for i, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			return i, true
		}
	}
	return 0, false
}

// offset returns where in the file an address is loaded from.
func (f *File) offset(addr uint64) (uint64, error) {
	i, ok := f.segment(addr)
	if !ok {
		return 0, fmt.Errorf("address %#x is not loaded", addr)
	}
	return f.progs[i].Off + addr - f.progs[i].Vaddr, nil
}

func (f *File) readAddr(b []byte, addr uint64) error {
	off, err := f.offset(addr)
	if err != nil {
		return err
	}
	return f.readAt(b, int64(off))
}

// readAt reads all of b, or fails.
func (f *File) readAt(b []byte, off int64) error {
	if off < 0 || off > f.size || int64(len(b)) > f.size-off {
		return io.ErrUnexpectedEOF
	}
	if _, err := f.r.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
