package elfpatch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCopied bounds the string table that is copied where one has to be moved.
const maxCopied = 8 << 20

// minPage is the smallest page there is.
const minPage = 4 << 10

// SetRPath returns the change that gives a file the search path rpath, in the
// old-style entry DT_RPATH, and takes every other search path of its own away.
// Libraries that the file loads inherit such a path, and it is looked at
// before LD_LIBRARY_PATH. An empty rpath only takes away. The patch is nil
// where the file is so already.
//
// The string overwrites the old one where nothing else uses those bytes, lies
// in the padding behind the segment that holds the string table where there is
// some, and otherwise comes, with a copy of the string table, in a new segment
// at the end of the file.
func (f *File) SetRPath(rpath string) (*Patch, error) {
	if !f.Dynamic {
		return nil, errors.New("it is not linked dynamically")
	}
	if len(rpath) >= maxString || strings.ContainsRune(rpath, 0) {
		return nil, fmt.Errorf("no search path: %d bytes", len(rpath))
	}
	if f.RunPath == "" && f.RPath == rpath && f.count(elf.DT_RUNPATH) == 0 && f.count(elf.DT_RPATH) == min(1, len(rpath)) {
		return nil, nil
	}
	p := &Patch{Size: f.size, from: f.size}
	old, place := f.searchPaths()
	if rpath == "" {
		f.blank(p, old)
		return p, f.putDynamic(p, nil, -1, nil)
	}
	for _, o := range old {
		// As it is: only the kind of entry changes.
		if o.text == rpath {
			return p, f.putDynamic(p, &entry{elf.DT_RPATH, o.val}, place, nil)
		}
	}
	for i, o := range old {
		if len(o.text) >= len(rpath) && !f.shared(o.val, len(o.text)) {
			off, err := f.nameOffset(o.val)
			if err != nil {
				return nil, err
			}
			p.put(off, append([]byte(rpath), make([]byte, len(o.text)-len(rpath))...))
			f.blank(p, slices.Delete(old, i, i+1))
			return p, f.putDynamic(p, &entry{elf.DT_RPATH, o.val}, place, nil)
		}
	}
	if err := f.usePadding(p, rpath, place); err == nil {
		f.blank(p, old)
		return p, nil
	} else if !errors.Is(err, errNoPadding) {
		return nil, err
	}
	p = &Patch{Size: f.size, from: f.size}
	f.blank(p, old)
	return p, f.useSegment(p, rpath, place, old)
}

// searchPath is a search path that a file has.
type searchPath struct {
	val  uint64 // its offset in the string table
	text string
}

// searchPaths returns the search paths of a file, and the index of the first
// entry of one.
func (f *File) searchPaths() (paths []searchPath, place int) {
	place = -1
	for i, e := range f.dyn {
		if e.tag != elf.DT_RPATH && e.tag != elf.DT_RUNPATH {
			continue
		}
		if place < 0 {
			place = i
		}
		text, err := f.name(e.val)
		if err == nil && !slices.ContainsFunc(paths, func(s searchPath) bool { return s.val == e.val }) {
			paths = append(paths, searchPath{e.val, text})
		}
	}
	return paths, place
}

// blank overwrites search paths that nothing uses any more, so that the file
// does not go on naming their directories.
func (f *File) blank(p *Patch, paths []searchPath) {
	for _, s := range paths {
		off, err := f.nameOffset(s.val)
		if err == nil && s.text != "" && !f.shared(s.val, len(s.text)) {
			p.put(off, make([]byte, len(s.text)))
		}
	}
}

func (f *File) nameOffset(val uint64) (int64, error) {
	start, _ := f.value(elf.DT_STRTAB)
	off, err := f.offset(start + val)
	return int64(off), err
}

func (f *File) count(tag elf.DynTag) int {
	n := 0
	for _, e := range f.dyn {
		if e.tag == tag {
			n++
		}
	}
	return n
}

// shared reports whether anything but a search path uses one of the n bytes of
// the string table from val on: linkers store a string only once where it is
// the end of another.
func (f *File) shared(val uint64, n int) bool {
	in := func(at uint64) bool { return at >= val && at-val <= uint64(n) }
	if val > 0 {
		// It may itself be the end of another string.
		off, err := f.nameOffset(val - 1)
		before := make([]byte, 1)
		if err != nil || f.readAt(before, off) != nil || before[0] != 0 {
			return true
		}
	}
	for _, e := range f.dyn {
		switch e.tag {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_AUXILIARY, elf.DT_FILTER, elf.DT_CONFIG, elf.DT_DEPAUDIT, elf.DT_AUDIT:
			if in(e.val) {
				return true
			}
		case elf.DT_RPATH, elf.DT_RUNPATH:
			if e.val != val && in(e.val) {
				return true
			}
		}
	}
	return f.inVersions(elf.DT_VERNEED, elf.DT_VERNEEDNUM, in) || f.inVersions(elf.DT_VERDEF, elf.DT_VERDEFNUM, in) || f.inSymbols(in)
}

// inVersions reports whether a string offset of the versions that a file needs
// or defines satisfies in. What cannot be read satisfies it.
func (f *File) inVersions(first, number elf.DynTag, in func(uint64) bool) bool {
	addr, ok := f.value(first)
	if !ok {
		return false
	}
	// Where the fields are in the two kinds of records, in bytes.
	type layout struct{ size, count, name, aux, next, auxSize, auxName, auxNext int }
	l := layout{16, 2, 4, 8, 12, 16, 8, 12}
	if first == elf.DT_VERDEF {
		l = layout{20, 6, -1, 12, 16, 8, 0, 4}
	}
	records, _ := f.value(number)
	left := maxNeeds
	for range records {
		b := make([]byte, l.size)
		if f.readAddr(b, addr) != nil {
			return true
		}
		if l.name >= 0 && in(uint64(le.Uint32(b[l.name:]))) {
			return true
		}
		at := addr + uint64(le.Uint32(b[l.aux:]))
		for range le.Uint16(b[l.count:]) {
			if left--; left < 0 {
				return true
			}
			a := make([]byte, l.auxSize)
			if f.readAddr(a, at) != nil || in(uint64(le.Uint32(a[l.auxName:]))) {
				return true
			}
			next := le.Uint32(a[l.auxNext:])
			if next == 0 {
				break
			}
			at += uint64(next)
		}
		next := le.Uint32(b[l.next:])
		if left--; next == 0 {
			break
		}
		if left < 0 {
			return true
		}
		addr += uint64(next)
	}
	return false
}

// inSymbols reports whether the name of a symbol satisfies in. How many symbols
// there are is written nowhere; linkers put the strings behind the symbols, and
// what else lies between them only makes the answer more careful.
func (f *File) inSymbols(in func(uint64) bool) bool {
	symbols, ok := f.value(elf.DT_SYMTAB)
	if !ok {
		return false
	}
	names, _ := f.value(elf.DT_STRTAB)
	i, ok := f.segment(symbols)
	if !ok || names <= symbols {
		return true
	}
	end := f.progs[i].Vaddr + f.progs[i].Filesz
	if names > end {
		return true
	}
	buf := make([]byte, symbolSize*4096)
	for at := symbols; at+symbolSize <= names; {
		b := buf[:min(uint64(len(buf)), (names-at)/symbolSize*symbolSize)]
		if f.readAddr(b, at) != nil {
			return true
		}
		for s := range slices.Chunk(b, symbolSize) {
			if in(uint64(le.Uint32(s))) {
				return true
			}
		}
		at += uint64(len(b))
	}
	return false
}

// putDynamic writes the dynamic section anew: without search paths, with rpath
// at a place where one is given, and with other values for some entries.
func (f *File) putDynamic(p *Patch, rpath *entry, place int, values map[elf.DynTag]uint64) error {
	var out []entry
	for i, e := range f.dyn {
		if rpath != nil && i == place {
			out = append(out, *rpath)
		}
		if e.tag == elf.DT_RPATH || e.tag == elf.DT_RUNPATH {
			continue
		}
		if v, ok := values[e.tag]; ok {
			e.val = v
		}
		out = append(out, e)
	}
	if rpath != nil && place < 0 {
		out = append(out, *rpath)
	}
	// Neither of these two is needed to run: the one is for debuggers, the other
	// makes relocating a little faster.
	for _, tag := range []elf.DynTag{elf.DT_DEBUG, dtRelaCount} {
		if len(out)+1 > f.dynRoom {
			out = slices.DeleteFunc(out, func(e entry) bool { return e.tag == tag })
		}
	}
	if len(out)+1 > f.dynRoom {
		return errors.New("its dynamic section has no room for one more entry")
	}
	b := make([]byte, f.dynRoom*dynSize)
	for i, e := range out {
		le.PutUint64(b[i*dynSize:], uint64(e.tag))
		le.PutUint64(b[i*dynSize+8:], e.val)
	}
	p.put(f.dynOff, b)
	return nil
}

const dtRelaCount = elf.DynTag(0x6ffffff9)

var errNoPadding = errors.New("no padding")

// usePadding puts the string behind the segment of the string table, which
// then reaches to there, over what else is in the segment.
func (f *File) usePadding(p *Patch, rpath string, place int) error {
	names, _ := f.value(elf.DT_STRTAB)
	i, ok := f.segment(names)
	if !ok {
		return errors.New("its string table is not loaded")
	}
	load := f.progs[i]
	if _, ok := f.value(elf.DT_STRSZ); !ok || load.Filesz != load.Memsz {
		return errNoPadding
	}
	n := uint64(len(rpath) + 1)
	start, addr := load.Off+load.Filesz, load.Vaddr+load.Filesz
	if start+n > uint64(f.size) || !f.unused(start, n) || !f.unmapped(i, addr+n) {
		return errNoPadding
	}
	b := make([]byte, n)
	if err := f.readAt(b, int64(start)); err != nil {
		return err
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return errNoPadding
	}
	copy(b, rpath)
	p.put(int64(start), b)
	load.Filesz += n
	load.Memsz += n
	at := int64(le.Uint64(f.header[32:])) + int64(i)*progSize
	p.put(at, encode(load))
	table, err := f.offset(names)
	if err != nil {
		return err
	}
	if err := f.moveSection(p, names, table, names, addr+n-names); err != nil {
		return err
	}
	return f.putDynamic(p, &entry{elf.DT_RPATH, addr - names}, place, map[elf.DynTag]uint64{elf.DT_STRSZ: addr + n - names})
}

// unused reports whether no part of the file that anything names lies in the n
// bytes from an offset on.
func (f *File) unused(start, n uint64) bool {
	end := start + n
	overlaps := func(off, size uint64) bool { return size > 0 && off < end && off+size > start }
	h := f.header
	if overlaps(le.Uint64(h[32:]), progSize*uint64(le.Uint16(h[56:]))) || overlaps(le.Uint64(h[40:]), sectionSize*uint64(le.Uint16(h[60:]))) {
		return false
	}
	for _, p := range f.progs {
		if overlaps(p.Off, p.Filesz) {
			return false
		}
	}
	sections, err := f.sections()
	if err != nil {
		return false
	}
	for _, s := range sections {
		if elf.SectionType(s.Type) != elf.SHT_NOBITS && overlaps(s.Off, s.Size) {
			return false
		}
	}
	return true
}

// unmapped reports whether the segment of an index may reach to an address
// without touching a page of another one.
func (f *File) unmapped(index int, end uint64) bool {
	for i, p := range f.progs {
		if i == index || elf.ProgType(p.Type) != elf.PT_LOAD || p.Vaddr < f.progs[index].Vaddr {
			continue
		}
		if page := max(p.Align, minPage); p.Vaddr-p.Vaddr%page < end {
			return false
		}
	}
	return true
}

// useSegment adds a segment with the program headers, which have to grow, a
// copy of the string table and the string.
//
// It lies as far from the first segment in the file as in memory: Linux before
// 5.18 tells a program where its program headers are by that rule.
func (f *File) useSegment(p *Patch, rpath string, place int, old []searchPath) error {
	names, _ := f.value(elf.DT_STRTAB)
	size, _ := f.value(elf.DT_STRSZ)
	if size > maxCopied {
		return fmt.Errorf("its string table of %d bytes is too large to be moved", size)
	}
	if len(f.progs) >= 0xfffe {
		return errors.New("it has no room for one more segment")
	}
	table := make([]byte, size)
	if err := f.readAddr(table, names); err != nil {
		return fmt.Errorf("read its string table: %w", err)
	}
	for _, s := range old {
		if !f.shared(s.val, len(s.text)) && s.val+uint64(len(s.text)) <= size {
			clear(table[s.val:][:len(s.text)])
		}
	}
	first, last := -1, -1
	align, top := uint64(minPage), uint64(0)
	for i, s := range f.progs {
		if elf.ProgType(s.Type) != elf.PT_LOAD {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		align, top = max(align, s.Align), max(top, s.Vaddr+s.Memsz)
	}
	if first < 0 || f.progs[first].Vaddr < f.progs[first].Off {
		return errors.New("its first segment is at an odd place")
	}
	// Bounds what a damaged alignment or address makes of the file.
	if align > 16<<20 || align&(align-1) != 0 {
		return fmt.Errorf("a segment is aligned to %d", align)
	}
	bias := f.progs[first].Vaddr - f.progs[first].Off
	if bias%align != 0 || top < bias {
		return errors.New("its first segment is at an odd place")
	}
	off := max(uint64(f.size), top-bias)
	off = (off + align - 1) / align * align
	if grown := off - uint64(f.size); grown > 256<<20 {
		return fmt.Errorf("its segments reach %d bytes past its end", grown)
	}
	progs := slices.Clone(f.progs)
	headers := uint64(len(progs)+1) * progSize
	length := headers + size + uint64(len(rpath)) + 1
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Off: off, Vaddr: bias + off, Paddr: bias + off,
		Filesz: length, Memsz: length, Align: align,
	}
	for i := range progs {
		if elf.ProgType(progs[i].Type) == elf.PT_PHDR {
			progs[i].Off, progs[i].Vaddr, progs[i].Paddr = off, bias+off, bias+off
			progs[i].Filesz, progs[i].Memsz = headers, headers
		}
	}
	progs = slices.Insert(progs, last+1, segment)
	var b []byte
	for _, s := range progs {
		b = append(b, encode(s)...)
	}
	moved := off + headers
	b = append(b, table...)
	b = append(append(b, rpath...), 0)
	p.put(int64(off), b)

	header := slices.Clone(f.header)
	le.PutUint64(header[32:], off)
	le.PutUint16(header[56:], uint16(len(progs)))
	p.put(0, header)
	if err := f.moveSection(p, names, moved, bias+moved, length-headers); err != nil {
		return err
	}
	return f.putDynamic(p, &entry{elf.DT_RPATH, size}, place, map[elf.DynTag]uint64{
		elf.DT_STRTAB: bias + moved, elf.DT_STRSZ: length - headers,
	})
}

// moveSection makes the section header at an address say where the section is
// now. The loader does not read it, other tools do.
func (f *File) moveSection(p *Patch, addr, off, newAddr, size uint64) error {
	sections, err := f.sections()
	if err != nil {
		return err
	}
	for i, s := range sections {
		if elf.SectionType(s.Type) == elf.SHT_STRTAB && s.Addr == addr {
			s.Off, s.Addr, s.Size = off, newAddr, size
			p.put(int64(le.Uint64(f.header[40:]))+int64(i)*sectionSize, encode(s))
		}
	}
	return nil
}

// encode returns a header as it is in the file.
func encode(header any) []byte {
	b, err := binary.Append(nil, le, header)
	if err != nil {
		panic(err) // only for types without a fixed size
	}
	return b
}
