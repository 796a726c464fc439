package backtrace

import (
	"context"
	"debug/dwarf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// place is a row of a line table.
type place struct {
	file string
	line int
}

// unitReader reads one compilation unit for a set of addresses.
type unitReader struct {
	ctx     context.Context
	info    *debugInfo
	cu      *dwarf.Entry
	compDir string
	files   []*dwarf.LineFile
	addrs   []uint64 // sorted
	chains  map[uint64][]call
	names   map[dwarf.Offset]funcName
	steps   int
}

// funcName is a function's name, and whether it is the linker's made readable:
// qualified, with parameters.
type funcName struct {
	text   string
	linker bool
}

// call is a function on the way from the outside in to an address, and where
// it was called from when it was inlined.
type call struct {
	function funcName
	from     place
}

// resolve fills in the scopes of addresses that lie in one unit.
func (d *debugInfo) resolve(ctx context.Context, unit uint64, addrs []uint64, found map[uint64]*location) error {
	if err := d.show(unit); err != nil {
		return err
	}
	u, err := d.unitAt(unit)
	if err != nil {
		return err
	}
	r := d.data.Reader()
	r.Seek(dwarf.Offset(u.die))
	cu, err := r.Next()
	if err != nil || cu == nil {
		return err
	}
	ur := &unitReader{ctx: ctx, info: d, cu: cu, addrs: slices.Sorted(slices.Values(addrs)), chains: map[uint64][]call{},
		names: map[dwarf.Offset]funcName{}}
	ur.compDir, _ = cu.Val(dwarf.AttrCompDir).(string)
	places, err := ur.lineTable()
	if err != nil {
		return err
	}
	err = ur.functions()
	for _, addr := range ur.addrs {
		at, hasPlace := places[addr]
		chain := ur.chains[addr]
		if len(chain) == 0 {
			if hasPlace {
				found[addr].scopes = []scope{{file: at.file, line: at.line}}
			}
			continue
		}
		var scopes []scope
		for _, c := range slices.Backward(chain) {
			scopes = append(scopes, scope{function: c.function.text, linker: c.function.linker, file: at.file, line: at.line})
			at = c.from
		}
		found[addr].scopes = scopes
	}
	return err
}

// step counts work and says when it is time to stop.
func (ur *unitReader) step() error {
	ur.steps++
	if ur.steps%4096 == 0 {
		return ur.ctx.Err()
	}
	return nil
}

// lineTable finds the rows of the unit's line table that cover the addresses,
// in one pass.
func (ur *unitReader) lineTable() (map[uint64]place, error) {
	places := map[uint64]place{}
	lr, err := ur.info.data.LineReader(ur.cu)
	if err != nil || lr == nil {
		return places, err
	}
	ur.files = lr.Files()
	var last, row dwarf.LineEntry
	inSequence := false
	for {
		if err := ur.step(); err != nil {
			return places, err
		}
		if err := lr.Next(&row); err != nil {
			// io.EOF, or a table that is damaged from here on.
			return places, nil
		}
		if inSequence && last.Address < row.Address {
			i, _ := slices.BinarySearch(ur.addrs, last.Address)
			for ; i < len(ur.addrs) && ur.addrs[i] < row.Address; i++ {
				places[ur.addrs[i]] = ur.place(last.File, last.Line)
			}
		}
		last, inSequence = row, !row.EndSequence
	}
}

func (ur *unitReader) place(file *dwarf.LineFile, line int) place {
	if file == nil {
		return place{}
	}
	name := path.Clean(file.Name)
	if dir := path.Clean(ur.compDir); dir != "/" && dir != "." {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			name = rest
		}
	}
	return place{file: name, line: line}
}

// functions walks the unit's tree for the functions that hold the addresses.
func (ur *unitReader) functions() error {
	r := ur.info.data.Reader()
	r.Seek(ur.cu.Offset)
	if _, err := r.Next(); err != nil || !ur.cu.Children {
		return err
	}
	// Entries are collected first and completed later: looking up a name
	// may need another unit, and with it another reader.
	var hits []hit
	if err := ur.walk(r, ur.addrs, nil, 0, &hits); err != nil {
		return err
	}
	for _, h := range hits {
		var chain []call
		for _, e := range h.chain {
			c := call{function: ur.name(e)}
			if e.Tag == dwarf.TagInlinedSubroutine {
				c.from = ur.callSite(e)
			}
			chain = append(chain, c)
		}
		for _, addr := range h.addrs {
			// A nested entry comes after the one around it.
			if len(chain) > len(ur.chains[addr]) {
				ur.chains[addr] = chain
			}
		}
	}
	return nil
}

// hit is a function and those around it, outermost first, that hold addresses.
type hit struct {
	chain []*dwarf.Entry
	addrs []uint64
}

// maxNesting bounds how deep the tree of a unit is followed.
const maxNesting = 512

// walk reads the children of the entry that r has just read.
func (ur *unitReader) walk(r *dwarf.Reader, addrs []uint64, chain []*dwarf.Entry, depth int, hits *[]hit) error {
	for {
		if err := ur.step(); err != nil {
			return err
		}
		e, err := r.Next()
		if err != nil {
			return err
		}
		if e == nil || e.Tag == 0 {
			return nil
		}
		inside, below := addrs, chain
		follow := false
		switch e.Tag {
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			inside = ur.holds(e, addrs)
			if len(inside) > 0 {
				follow = true
				if e.Tag == dwarf.TagSubprogram {
					below = []*dwarf.Entry{e}
				} else {
					below = append(slices.Clone(chain), e)
				}
				*hits = append(*hits, hit{chain: below, addrs: inside})
			}
		case dwarf.TagLexDwarfBlock, dwarf.TagTryDwarfBlock, dwarf.TagCatchDwarfBlock:
			follow = len(chain) > 0
		case dwarf.TagNamespace, dwarf.TagModule, dwarf.TagClassType, dwarf.TagStructType, dwarf.TagUnionType:
			follow = true
		}
		if !e.Children {
			continue
		}
		if follow && depth < maxNesting {
			if err := ur.walk(r, inside, below, depth+1, hits); err != nil {
				return err
			}
		} else {
			r.SkipChildren()
		}
	}
}

// holds returns those addresses that lie in an entry's ranges.
func (ur *unitReader) holds(e *dwarf.Entry, addrs []uint64) []uint64 {
	if e.AttrField(dwarf.AttrLowpc) == nil && e.AttrField(dwarf.AttrRanges) == nil {
		return nil
	}
	ranges, err := ur.info.data.Ranges(e)
	if err != nil {
		return nil
	}
	var in []uint64
	for _, a := range addrs {
		if contains(ranges, a) {
			in = append(in, a)
		}
	}
	return in
}

func (ur *unitReader) callSite(e *dwarf.Entry) place {
	index, _ := e.Val(dwarf.AttrCallFile).(int64)
	line, _ := e.Val(dwarf.AttrCallLine).(int64)
	if index < 0 || index >= int64(len(ur.files)) {
		return place{}
	}
	return ur.place(ur.files[index], int(line))
}

// name returns the readable name of a function's entry. The entry itself
// often says only where its declaration is.
func (ur *unitReader) name(e *dwarf.Entry) funcName {
	first := e.Offset
	if name, ok := ur.names[first]; ok {
		return name
	}
	var name funcName
	named := e.Offset // the entry with the name
	for range 8 {
		for _, attr := range []dwarf.Attr{dwarf.AttrLinkageName, attrMIPSLinkageName} {
			if linker, ok := e.Val(attr).(string); ok && linker != "" {
				name = funcName{demangled(linker), true}
				ur.names[first] = name
				return name
			}
		}
		if plain, ok := e.Val(dwarf.AttrName).(string); ok && name.text == "" {
			name.text, named = plain, e.Offset
		}
		off, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if off, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				break
			}
			// A definition is named where it is declared: in its class.
			name.text = ""
		}
		next, err := ur.entry(off)
		if err != nil || next == nil {
			break
		}
		e = next
	}
	if name.text != "" && ur.plusPlus() {
		if scope := ur.enclosing(named); scope != "" {
			name.text = scope + "::" + name.text
		}
	}
	name.text = shortened(name.text)
	ur.names[first] = name
	return name
}

// plusPlus says whether the unit is written in C++.
func (ur *unitReader) plusPlus() bool {
	language, _ := ur.cu.Val(dwarf.AttrLanguage).(int64)
	switch language {
	case 0x04, 0x1a, 0x21, 0x2b, 0x3a: // C++98, 11, 14, 17, 20
		return true
	}
	return false
}

// enclosing names the namespaces, classes and functions around the entry at
// an offset. Compilers leave out the linker's name of functions that are not
// visible outside of their file.
func (ur *unitReader) enclosing(off dwarf.Offset) string {
	u, ok := ur.shown(off)
	if !ok {
		return ""
	}
	r := ur.info.data.Reader()
	r.Seek(dwarf.Offset(u.die))
	var around []*dwarf.Entry
	for {
		e, err := r.Next()
		if err != nil || e == nil || ur.step() != nil || e.Offset > off || len(around) > maxNesting {
			return ""
		}
		if e.Offset == off {
			break
		}
		if e.Tag == 0 {
			if len(around) == 0 {
				return ""
			}
			around = around[:len(around)-1]
			continue
		}
		if !e.Children {
			continue
		}
		if sibling, ok := e.Val(dwarf.AttrSibling).(dwarf.Offset); ok && sibling <= off {
			r.SkipChildren()
			continue
		}
		around = append(around, e)
	}
	var names []string
	for _, e := range around {
		name, _ := e.Val(dwarf.AttrName).(string)
		switch e.Tag {
		case dwarf.TagNamespace:
			if name == "" {
				name = "(anonymous namespace)"
			}
		case dwarf.TagClassType, dwarf.TagStructType, dwarf.TagUnionType, dwarf.TagSubprogram:
		default:
			continue
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, "::")
}

const attrMIPSLinkageName dwarf.Attr = 0x2007 // what compilers wrote before DWARF 4

// entry reads the entry at an offset. With link-time optimisation it may lie
// in a unit that is not shown yet.
func (ur *unitReader) entry(off dwarf.Offset) (*dwarf.Entry, error) {
	if _, ok := ur.shown(off); !ok {
		u, err := ur.info.unitHolding(ur.ctx, uint64(off))
		if err != nil {
			return nil, err
		}
		if err := ur.info.show(append(slices.Clone(ur.info.units), u.off)...); err != nil {
			return nil, err
		}
	}
	r := ur.info.data.Reader()
	r.Seek(off)
	return r.Next()
}

// shown returns the unit that holds an offset, where it is one that is shown.
func (ur *unitReader) shown(off dwarf.Offset) (unit, bool) {
	for _, at := range ur.info.units {
		if u, err := ur.info.unitAt(at); err == nil && u.off < uint64(off) && uint64(off) < u.end {
			return u, true
		}
	}
	return unit{}, false
}

// unitHolding finds the unit that an offset of .debug_info lies in.
func (d *debugInfo) unitHolding(ctx context.Context, off uint64) (unit, error) {
	for at := uint64(0); at < uint64(len(d.sections["info"])); {
		if err := ctx.Err(); err != nil {
			return unit{}, err
		}
		u, err := d.unitAt(at)
		if err != nil {
			return unit{}, err
		}
		if off < u.end {
			return u, nil
		}
		at = u.end
	}
	return unit{}, fmt.Errorf("no unit at %#x of .debug_info", off)
}
