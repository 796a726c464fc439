package check

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// object is a shared object as the dynamic loader sees it: program headers and
// what PT_DYNAMIC points to, no sections. Only 64-bit little-endian files get
// here. It is read in blocks as they are needed.
type object struct {
	path   string // absolute, not resolved: $ORIGIN is its directory
	name   string // base name, for messages
	file   io.ReaderAt
	blocks map[int64][]byte

	segments    []segment
	interpreter bool // has PT_INTERP
	stack       bool // has PT_GNU_STACK
	stackFlags  elf.ProgFlag

	needed         []string
	soname         string
	rpath, runpath string
	flags, flags1  uint64
	textRelocs     bool
	strtab, strsz  uint64
	symtab         uint64
	gnuHash, hash  uint64
	versym         uint64
	verneed        uint64
	verneedCount   uint64
	verdef         uint64
	verdefCount    uint64
	gnu            *gnuHash
	defined        map[uint16]string // version names by index; nil until asked for
	required       map[uint16]string
}

// segment is a PT_LOAD.
type segment struct {
	flags         elf.ProgFlag
	off, vaddr    uint64
	filesz, memsz uint64
}

// Bounds for what a sound file never exceeds.
const (
	maxDynamic  = 1 << 16
	maxNeeded   = 4096
	maxString   = 64 << 10
	maxSymbols  = 1 << 24
	maxVersions = 1 << 15
	blockSize   = 16 << 10
)

var order = binary.LittleEndian

// readObject reads the headers of the shared object in f.
func readObject(path string, f io.ReaderAt) (*object, error) {
	o := &object{path: path, name: filepath.Base(path), file: f, blocks: map[int64][]byte{}}
	head, err := o.readAt(0, 64)
	if err != nil {
		return nil, err
	}
	phoff, phnum := order.Uint64(head[32:]), uint64(order.Uint16(head[56:]))
	if phoff > 1<<40 {
		return nil, errors.New("the program headers lie outside the file")
	}
	var dynamic segment
	for i := range phnum {
		p, err := o.readAt(int64(phoff+i*56), 56)
		if err != nil {
			return nil, errors.New("the program headers lie outside the file")
		}
		s := segment{flags: elf.ProgFlag(order.Uint32(p[4:])), off: order.Uint64(p[8:]), vaddr: order.Uint64(p[16:]),
			filesz: order.Uint64(p[32:]), memsz: order.Uint64(p[40:])}
		switch elf.ProgType(order.Uint32(p)) {
		case elf.PT_LOAD:
			o.segments = append(o.segments, s)
		case elf.PT_DYNAMIC:
			dynamic = s
		case elf.PT_INTERP:
			o.interpreter = true
		case elf.PT_GNU_STACK:
			o.stack, o.stackFlags = true, s.flags
		}
	}
	if dynamic.filesz == 0 {
		return nil, errors.New("it has no dynamic section, so it is not a shared object (separate debug information, perhaps)")
	}
	return o, o.readDynamic(dynamic)
}

func (o *object) readDynamic(dynamic segment) error {
	var needed []uint64
	var soname, rpath, runpath uint64
	for i := range min(dynamic.filesz/16, maxDynamic) {
		b := o.at(dynamic.vaddr+i*16, 16)
		if b == nil {
			return errors.New("the dynamic section lies outside the file")
		}
		value := order.Uint64(b[8:])
		tag := elf.DynTag(order.Uint64(b))
		if tag == elf.DT_NULL {
			break
		}
		switch tag {
		case elf.DT_NEEDED:
			if len(needed) < maxNeeded {
				needed = append(needed, value)
			}
		case elf.DT_SONAME:
			soname = value
		case elf.DT_RPATH:
			rpath = value
		case elf.DT_RUNPATH:
			runpath = value
		case elf.DT_STRTAB:
			o.strtab = value
		case elf.DT_STRSZ:
			o.strsz = value
		case elf.DT_SYMTAB:
			o.symtab = value
		case elf.DT_GNU_HASH:
			o.gnuHash = value
		case elf.DT_HASH:
			o.hash = value
		case elf.DT_VERSYM:
			o.versym = value
		case elf.DT_VERNEED:
			o.verneed = value
		case elf.DT_VERNEEDNUM:
			o.verneedCount = value
		case elf.DT_VERDEF:
			o.verdef = value
		case elf.DT_VERDEFNUM:
			o.verdefCount = value
		case elf.DT_TEXTREL:
			o.textRelocs = true
		case elf.DT_FLAGS:
			o.flags = value
		case elf.DT_FLAGS_1:
			o.flags1 = value
		}
	}
	for _, off := range needed {
		if name := o.string(off); name != "" {
			o.needed = append(o.needed, name)
		}
	}
	o.soname, o.rpath, o.runpath = o.string(soname), o.string(rpath), o.string(runpath)
	return nil
}

// readAt returns n bytes of the file from off, n at most a block.
func (o *object) readAt(off int64, n int) ([]byte, error) {
	start := off / blockSize * blockSize
	b, err := o.block(start)
	if err != nil {
		return nil, err
	}
	skip := int(off - start)
	if skip+n <= len(b) {
		return b[skip : skip+n], nil
	}
	// Across a border of blocks.
	out := make([]byte, n)
	if _, err := o.file.ReadAt(out, off); err != nil {
		return nil, err
	}
	return out, nil
}

func (o *object) block(start int64) ([]byte, error) {
	if b, ok := o.blocks[start]; ok {
		return b, nil
	}
	b := make([]byte, blockSize)
	n, err := o.file.ReadAt(b, start)
	if n == 0 && err != nil {
		return nil, err
	}
	o.blocks[start] = b[:n]
	return b[:n], nil
}

// at returns n bytes at an address, or nil where the file has none.
func (o *object) at(vaddr uint64, n int) []byte {
	for _, s := range o.segments {
		if vaddr < s.vaddr || vaddr-s.vaddr >= s.filesz || uint64(n) > s.filesz-(vaddr-s.vaddr) {
			continue
		}
		off := s.off + (vaddr - s.vaddr)
		if off > 1<<62 {
			return nil
		}
		b, err := o.readAt(int64(off), n)
		if err != nil {
			return nil
		}
		return b
	}
	return nil
}

// string reads from the dynamic string table; empty where there is none.
func (o *object) string(off uint64) string {
	if off == 0 || off >= o.strsz {
		return ""
	}
	vaddr := o.strtab + off
	n := 64
	for {
		n = int(min(uint64(n), o.strsz-off))
		b := o.at(vaddr, n)
		if b == nil {
			return ""
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(b[:i])
		}
		if uint64(n) == o.strsz-off || n >= maxString {
			return ""
		}
		n *= 8
	}
}

// loadable reports what keeps the loader, today's or a stricter one, from
// loading the object itself.
func (r *Report) loadable(o *object) {
	const df1PIE, df1NoOpen = 0x08000000, 0x40
	if o.flags1&df1PIE != 0 || o.interpreter && o.flags1&df1PIE == 0 && o.soname == "" && o.exports() == 0 {
		r.add(Fatal, "not-shared", "link it with -shared, and compile with -fPIC", "it is a program, not a shared object")
	}
	if o.flags1&df1NoOpen != 0 {
		r.add(Fatal, "not-shared", "link it without -z nodlopen", "it forbids being loaded at run time (-z nodlopen)")
	}
	if o.textRelocs || elf.DynFlag(o.flags)&elf.DF_TEXTREL != 0 {
		r.add(Warning, "text-relocations", "compile all of it with -fPIC, static libraries that it is linked with included",
			"parts of it are not position-independent: it cannot be loaded where memory that is writable and executable is forbidden")
	}
}

// executableStack reports an object that makes every stack of the process
// executable. glibc from 2.41 on refuses that to what is loaded at run time.
func (r *Report) executableStack(c *closure) {
	o := c.root
	// Without the header the stack is executable, on amd64.
	if o.stack && o.stackFlags&elf.PF_X == 0 || !o.stack && c.opts.Machine != elf.EM_X86_64 {
		return
	}
	const hint = "link it with -Wl,-z,noexecstack; the cause is an assembler file without a .note.GNU-stack section, or a nested function"
	if libc, ok := c.byName["libc.so.6"]; ok && compareVersions(libc.latest("GLIBC_"), "2.41") >= 0 {
		r.add(Fatal, "executable-stack", hint, "it asks for an executable stack, which glibc %s refuses", libc.latest("GLIBC_"))
		return
	}
	r.add(Warning, "executable-stack", hint, "it asks for an executable stack, which glibc from 2.41 on refuses")
}

// symbolEntry is an entry of the dynamic symbol table.
type symbolEntry struct {
	name        uint32
	info, other byte
	section     elf.SectionIndex
}

func (s *symbolEntry) bind() elf.SymBind { return elf.ST_BIND(s.info) }
func (s *symbolEntry) typ() elf.SymType  { return elf.ST_TYPE(s.info) }

// entry reads symbol i of the dynamic symbol table.
func (o *object) entry(i uint32) (symbolEntry, bool) {
	b := o.at(o.symtab+uint64(i)*24, 24)
	if b == nil {
		return symbolEntry{}, false
	}
	return symbolEntry{name: order.Uint32(b), info: b[4], other: b[5], section: elf.SectionIndex(order.Uint16(b[6:]))}, true
}

// open opens a library. The caller closes the file when it is done with both.
func open(path string) (*object, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	o, err := readObject(path, f)
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return o, f, nil
}
