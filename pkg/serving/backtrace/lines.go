package backtrace

import (
	"compress/zlib"
	"context"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxInflated bounds the memory that compressed debug sections of one object
// may take when they are unpacked, in bytes.
const maxInflated = 512 << 20

// debugInfo is the debug information of one object. Only the compilation
// units that hold wanted addresses are ever parsed: debug/dwarf reads the
// abbreviations of every unit that it sees, which takes seconds and hundreds
// of megabytes for a large library. So it is shown a .debug_info in which
// everything between the wanted units looks like one large unit.
type debugInfo struct {
	order    binary.ByteOrder
	sections map[string][]byte // by name without ".debug_"

	data  *dwarf.Data
	units []uint64 // offsets of the units that data shows truly, sorted
}

// lines fills in the scopes of addresses that the debug information knows.
func (o *object) lines(ctx context.Context, addrs []uint64, found map[uint64]*location) error {
	return guard(func() error {
		info, err := o.debugInfo(ctx)
		if err != nil {
			return err
		}
		units, err := info.unitsOf(ctx, addrs)
		if err != nil && len(units) == 0 {
			return err
		}
		for _, unit := range sortedKeys(units) {
			if err := guard(func() error { return info.resolve(ctx, unit, units[unit], found) }); err != nil {
				return err
			}
		}
		return err
	})
}

func sortedKeys(m map[uint64][]uint64) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// debugInfo loads the debug sections.
func (o *object) debugInfo(ctx context.Context) (*debugInfo, error) {
	d := &debugInfo{order: o.elf.ByteOrder, sections: map[string][]byte{}}
	budget := int64(maxInflated)
	for _, s := range o.elf.Sections {
		name, ok := strings.CutPrefix(s.Name, ".debug_")
		zipped := false
		if !ok {
			if name, zipped = strings.CutPrefix(s.Name, ".zdebug_"); !zipped {
				continue
			}
		}
		switch name {
		case "info", "abbrev", "line", "str", "ranges", "aranges", "addr", "line_str", "str_offsets", "rnglists":
		default:
			continue
		}
		if s.Type == elf.SHT_NOBITS || d.sections[name] != nil {
			continue
		}
		var data []byte
		var err error
		switch {
		case zipped:
			data, err = unzip(ctx, s, &budget)
		case s.Flags&elf.SHF_COMPRESSED != 0:
			data, err = inflate(ctx, s.Open(), int64(s.Size), &budget)
		default:
			data, err = o.image.bytes(int64(s.Offset), int64(s.FileSize))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		d.sections[name] = data
	}
	if len(d.sections["info"]) == 0 {
		return nil, errors.New("no debug information")
	}
	return d, nil
}

// unit is the extent of a unit in .debug_info.
type unit struct {
	off, end uint64
	wide     bool // 64-bit DWARF
	full     bool // describes code: not a type unit or a partial one
	die      uint64
}

// unitAt reads the header of the unit that starts at off.
func (d *debugInfo) unitAt(off uint64) (unit, error) {
	bad := func() (unit, error) { return unit{}, fmt.Errorf("bad unit at %#x of .debug_info", off) }
	info := d.sections["info"]
	if off > uint64(len(info)) || len(info[off:]) < 24 {
		return bad()
	}
	b := info[off:]
	u := unit{off: off}
	length, head := uint64(d.order.Uint32(b)), uint64(4)
	if length == 0xffffffff {
		length, head, u.wide = d.order.Uint64(b[4:]), 12, true
	} else if length >= 0xfffffff0 {
		return bad()
	}
	if length < 8 || length > uint64(len(info))-off-head {
		return bad()
	}
	u.end = off + head + length
	width := uint64(4)
	if u.wide {
		width = 8
	}
	version := d.order.Uint16(b[head:])
	u.die, u.full = off+head+2+width+1, true
	if version >= 5 {
		kind := b[head+2]
		u.die++
		switch kind {
		case 1: // compile
		case 4, 5: // skeleton, split compile
			u.die += 8
		default: // type, partial
			u.full = false
		}
	}
	return u, nil
}

// unitsOf finds the units that addresses belong to: offset of the unit ->
// addresses. It gives what it found when ctx ends.
func (d *debugInfo) unitsOf(ctx context.Context, addrs []uint64) (map[uint64][]uint64, error) {
	found := map[uint64][]uint64{}
	left := d.addressRanges(addrs, found)
	// Not every compiler writes .debug_aranges (Clang does not), and linkers
	// merge files that have it with files that do not.
	for off := uint64(0); len(left) > 0 && off < uint64(len(d.sections["info"])); {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		u, err := d.unitAt(off)
		if err != nil {
			return found, err
		}
		if u.full {
			left, err = d.inUnit(u, left, found)
			if err != nil {
				return found, err
			}
		}
		off = u.end
	}
	return found, nil
}

// inUnit looks whether a unit's ranges hold addresses, and returns those that
// they do not. The unit is parsed alone and forgotten again.
func (d *debugInfo) inUnit(u unit, addrs []uint64, found map[uint64][]uint64) ([]uint64, error) {
	data, err := d.parse(d.sections["info"][u.off:u.end])
	if err != nil {
		return addrs, err
	}
	cu, err := data.Reader().Next()
	if err != nil || cu == nil {
		return addrs, err
	}
	ranges, err := data.Ranges(cu)
	if err != nil {
		return addrs, err
	}
	left := addrs[:0:0]
	for _, a := range addrs {
		if contains(ranges, a) {
			found[u.off] = append(found[u.off], a)
		} else {
			left = append(left, a)
		}
	}
	return left, nil
}

func contains(ranges [][2]uint64, addr uint64) bool {
	for _, r := range ranges {
		if r[0] <= addr && addr < r[1] {
			return true
		}
	}
	return false
}

// addressRanges looks addresses up in .debug_aranges and returns those that
// are not there. A table that makes no sense is used up to that point.
func (d *debugInfo) addressRanges(addrs []uint64, found map[uint64][]uint64) []uint64 {
	left := slices.Clone(addrs)
	b := d.sections["aranges"]
	for len(b) >= 16 && len(left) > 0 {
		length, head, width := uint64(d.order.Uint32(b)), uint64(4), uint64(4)
		if length == 0xffffffff {
			length, head, width = d.order.Uint64(b[4:]), 12, 8
		}
		if length < width+4 || length > uint64(len(b))-head {
			return left
		}
		set := b[:head+length]
		b = b[head+length:]
		if d.order.Uint16(set[head:]) != 2 {
			continue
		}
		var off uint64
		if width == 8 {
			off = d.order.Uint64(set[head+2:])
		} else {
			off = uint64(d.order.Uint32(set[head+2:]))
		}
		if size, segment := set[head+2+width], set[head+3+width]; size != 8 || segment != 0 {
			continue
		}
		// Pairs begin at a multiple of their size.
		start := (head + 4 + width + 15) / 16 * 16
		for p := start; p+16 <= uint64(len(set)); p += 16 {
			low, n := d.order.Uint64(set[p:]), d.order.Uint64(set[p+8:])
			if low == 0 && n == 0 {
				break
			}
			i, _ := slices.BinarySearch(left, low)
			j := i
			for j < len(left) && left[j]-low < n {
				j++
			}
			if j > i {
				found[off] = append(found[off], left[i:j]...)
				left = slices.Delete(left, i, j)
			}
		}
	}
	return left
}

// parse makes debug/dwarf's reader of a .debug_info.
func (d *debugInfo) parse(info []byte) (*dwarf.Data, error) {
	data, err := dwarf.New(d.sections["abbrev"], nil, nil, info, d.sections["line"], nil, d.sections["ranges"], d.sections["str"])
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists"} {
		if b := d.sections[name]; b != nil {
			if err := data.AddSection(".debug_"+name, b); err != nil {
				return nil, err
			}
		}
	}
	return data, nil
}

// show makes d.data show the units at the offsets truly, and the rest as
// large units of no meaning.
func (d *debugInfo) show(units ...uint64) error {
	info := d.sections["info"]
	slices.Sort(units)
	units = slices.Compact(units)

	// Lengths are written over others, and put back once debug/dwarf has
	// read them.
	var undo []func()
	defer func() {
		for _, f := range undo {
			f()
		}
	}()
	hide := func(from, to uint64) error {
		if from == to {
			return nil
		}
		u, err := d.unitAt(from)
		if err != nil {
			return err
		}
		if u.end > to || !u.wide && to-from-4 >= 0xfffffff0 {
			return errors.New("units of .debug_info overlap or are too large")
		}
		at := info[from : from+12]
		old := slices.Clone(at)
		undo = append(undo, func() { copy(at, old) })
		if u.wide {
			d.order.PutUint64(at[4:], to-from-12)
		} else {
			d.order.PutUint32(at, uint32(to-from-4))
		}
		return nil
	}
	last := uint64(0)
	for _, off := range units {
		if off < last {
			return errors.New("units of .debug_info overlap")
		}
		u, err := d.unitAt(off)
		if err != nil {
			return err
		}
		if err := hide(last, off); err != nil {
			return err
		}
		last = u.end
	}
	if err := hide(last, uint64(len(info))); err != nil {
		return err
	}
	data, err := d.parse(info)
	if err != nil {
		return err
	}
	d.data, d.units = data, units
	return nil
}

// unzip unpacks a section in the old GNU form: "ZLIB", the size, the stream.
func unzip(ctx context.Context, s *elf.Section, budget *int64) ([]byte, error) {
	head := make([]byte, 12)
	if _, err := s.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if string(head[:4]) != "ZLIB" {
		return nil, errors.New("unknown compression")
	}
	z, err := zlib.NewReader(io.NewSectionReader(s, 12, int64(s.FileSize)-12))
	if err != nil {
		return nil, err
	}
	return inflate(ctx, z, int64(binary.BigEndian.Uint64(head[4:])), budget)
}

// inflate reads size bytes, growing as they come: the size is only what the
// file claims.
func inflate(ctx context.Context, r io.Reader, size int64, budget *int64) ([]byte, error) {
	if size < 0 || size > *budget {
		return nil, errors.New("too large to unpack")
	}
	*budget -= size
	limited := io.LimitReader(r, size)
	data, err := io.ReadAll(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return limited.Read(p)
	}))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != size {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}
