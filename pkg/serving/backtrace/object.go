package backtrace

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// location is what is known of one address in an object.
type location struct {
	function string // from the symbol table; empty where no symbol covers the address
	start    uint64 // the symbol's address, where function is set
	scopes   []scope
}

// scope is a function that an address lies in, according to the debug
// information. An address has several where functions were inlined: the
// innermost first, the function that exists as such last.
type scope struct {
	function string
	linker   bool // function is the linker's name made readable
	file     string
	line     int
}

// object is one ELF file of the crashed process.
type object struct {
	path  string
	image *image
	elf   *elf.File
	debug *object // separate debug file, where there is one; owned
}

var errReplaced = errors.New("the file was replaced after the worker had loaded it")

// openObject opens the file behind a mapping.
func openObject(m *Mapping) (*object, error) {
	if m.Deleted {
		if _, err := os.Stat(m.Path); err == nil {
			return nil, errReplaced
		}
		return nil, errors.New("the file was deleted after the worker had loaded it")
	}
	info, err := os.Stat(m.Path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if !sameFile(info, m) {
		return nil, errReplaced
	}
	return openELF(m.Path)
}

func openELF(path string) (*object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ef, err := elf.NewFile(f)
	if err == nil && ef.Class != elf.ELFCLASS64 {
		err = errors.New("not a 64-bit ELF file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &object{path: path, image: &image{file: f}, elf: ef}, nil
}

func (o *object) close() {
	if o.debug != nil {
		o.debug.close()
	}
	o.image.close()
}

// vaddr turns an address of the process into one of the object, by way of
// the offset in the file: mappings follow the program headers.
func (o *object) vaddr(m *Mapping, addr uint64) (uint64, bool) {
	off := addr - m.Low + m.Offset
	var found uint64
	ok := false
	for _, p := range o.elf.Progs {
		if p.Type != elf.PT_LOAD || off < p.Off || off-p.Off >= p.Filesz {
			continue
		}
		// Segments may share a page of the file, not its bytes; only a
		// file built to confuse has two that hold the same offset.
		exec := p.Flags&elf.PF_X != 0
		if !ok || exec == m.executable() {
			found, ok = off-p.Off+p.Vaddr, true
		}
	}
	return found, ok
}

// trampoline says whether the code at vaddr is what a signal handler returns
// to. The frame after it was interrupted, it did not make a call.
func (o *object) trampoline(vaddr uint64) bool {
	var code []byte
	switch o.elf.Machine {
	case elf.EM_X86_64:
		code = []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05} // mov $15,%rax; syscall
	case elf.EM_AARCH64:
		code = []byte{0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4} // mov x8,#139; svc #0
	default:
		return false
	}
	return o.machineCode(vaddr, code)
}

// machineCode says whether an instruction is what stands at vaddr.
func (o *object) machineCode(vaddr uint64, code []byte) bool {
	for _, p := range o.elf.Progs {
		if p.Type != elf.PT_LOAD || vaddr < p.Vaddr || vaddr-p.Vaddr >= p.Filesz {
			continue
		}
		got := make([]byte, len(code))
		_, err := p.ReadAt(got, int64(vaddr-p.Vaddr))
		return err == nil && slices.Equal(got, code)
	}
	return false
}

// locate finds what is known of addresses in the object. It gives what it has
// when ctx ends.
func (o *object) locate(ctx context.Context, addrs []uint64) (map[uint64]*location, error) {
	addrs = slices.Clone(addrs)
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	found := make(map[uint64]*location, len(addrs))
	for _, a := range addrs {
		found[a] = &location{}
	}
	o.debug = o.separateDebugFile(ctx)

	files := []*object{o}
	if o.debug != nil {
		files = []*object{o.debug, o}
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, f.symbols(ctx, addrs, found))
	}
	// Lines of the C library's sources help nobody, and take time.
	if runtimeLibrary(o.path) {
		return found, errors.Join(errs...)
	}
	for _, f := range files {
		if f.elf.Section(".debug_info") == nil && f.elf.Section(".zdebug_info") == nil {
			continue
		}
		errs = append(errs, f.lines(ctx, addrs, found))
		break
	}
	return found, errors.Join(errs...)
}

// guard runs f and turns a panic into an error: debug/elf and debug/dwarf are
// not written for damaged files, and a mapped file that shrinks faults.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged file: %v", p)
		}
	}()
	return f()
}

// symbol is the best candidate so far for an address.
type symbol struct {
	value, size uint64
	name        uint32 // offset in the string table
	rank        int    // among symbols for the same place
}

// symbols fills in the functions that the symbol tables know. It reads them in
// pieces and keeps nothing but the best candidate of each address: large
// libraries have millions of symbols.
func (o *object) symbols(ctx context.Context, addrs []uint64, found map[uint64]*location) error {
	for _, typ := range []elf.SectionType{elf.SHT_SYMTAB, elf.SHT_DYNSYM} {
		var missing []uint64
		for _, a := range addrs {
			if found[a].function == "" {
				missing = append(missing, a)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if err := guard(func() error { return o.symbolTable(ctx, typ, missing, found) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *object) symbolTable(ctx context.Context, typ elf.SectionType, addrs []uint64, found map[uint64]*location) error {
	table := o.elf.SectionByType(typ)
	if table == nil || table.Link == 0 || int(table.Link) >= len(o.elf.Sections) {
		return nil
	}
	c := candidates{object: o, addrs: addrs, best: make(map[uint64]symbol, len(addrs)), floor: make([]uint64, len(addrs))}
	const entry = 24
	buf := make([]byte, 4096*entry)
	for off := int64(0); off < int64(table.Size); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := table.ReadAt(buf, off)
		n -= n % entry
		if n == 0 {
			if err != nil && err != io.EOF {
				return err
			}
			break
		}
		for b := buf[:n]; len(b) > 0; b = b[entry:] {
			c.consider(b[:entry])
		}
		off += int64(n)
	}
	names := o.elf.Sections[table.Link]
	floor := uint64(0)
	for i, addr := range addrs {
		floor = max(floor, c.floor[i])
		s, ok := c.best[addr]
		// A label without a size does not reach beyond the next function.
		if !ok || s.size == 0 && floor > s.value {
			continue
		}
		if name := cString(names, int64(s.name)); name != "" {
			found[addr].function = demangled(name)
			found[addr].start = s.value
		}
	}
	return nil
}

// candidates collects the symbols that cover addresses.
type candidates struct {
	*object
	addrs []uint64 // sorted
	best  map[uint64]symbol
	floor []uint64 // by index of addrs: start of the last sized symbol that ends at or below it and above the one before
}

// consider offers one symbol to the addresses that it may cover.
func (c *candidates) consider(b []byte) {
	o, addrs, best := c.object, c.addrs, c.best
	bo := o.elf.ByteOrder
	s := symbol{name: bo.Uint32(b), value: bo.Uint64(b[8:]), size: bo.Uint64(b[16:])}
	typ, bind := elf.ST_TYPE(b[4]), elf.ST_BIND(b[4])
	index := elf.SectionIndex(bo.Uint16(b[6:]))
	if index == elf.SHN_UNDEF || index >= elf.SHN_LORESERVE || int(index) >= len(o.elf.Sections) || s.name == 0 {
		return
	}
	switch typ {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
		s.rank = 4
	case elf.STT_NOTYPE:
		// arm64 marks pieces of code and data with local "$x" and "$d".
		if bind == elf.STB_LOCAL && o.elf.Machine == elf.EM_AARCH64 {
			return
		}
	default:
		return
	}
	section := o.elf.Sections[index]
	if section.Flags&elf.SHF_EXECINSTR == 0 {
		return
	}
	end := s.value + s.size
	if s.size == 0 {
		// Nearest below in its section, but any sized symbol that covers
		// the address is better.
		end = section.Addr + section.Size
	} else if i, _ := slices.BinarySearch(addrs, end); i < len(addrs) {
		c.floor[i] = max(c.floor[i], s.value)
	}
	switch bind {
	case elf.STB_GLOBAL:
		s.rank += 2
	case elf.STB_WEAK:
		s.rank++
	}
	first, _ := slices.BinarySearch(addrs, s.value)
	for _, addr := range addrs[first:] {
		if addr >= end {
			break
		}
		old, ok := best[addr]
		sized, oldSized := s.size > 0, old.size > 0
		better := !ok
		switch {
		case better:
		case sized != oldSized:
			better = sized
		case s.value != old.value:
			better = s.value > old.value
		default:
			better = s.rank > old.rank
		}
		if better {
			best[addr] = s
		}
	}
}

// cString reads a string that a zero byte ends; empty where there is none.
func cString(s *elf.Section, off int64) string {
	var out []byte
	buf := make([]byte, 256)
	for len(out) <= maxMangled {
		n, err := s.ReadAt(buf, off)
		if i := slices.Index(buf[:n], 0); i >= 0 {
			return string(append(out, buf[:i]...))
		}
		if err != nil {
			return ""
		}
		out = append(out, buf[:n]...)
		off += int64(n)
	}
	return string(out)
}
