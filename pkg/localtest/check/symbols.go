package check

import (
	"debug/elf"
	"slices"
	"strings"
)

// gnuHash is the head of a DT_GNU_HASH table.
type gnuHash struct {
	buckets, first, words, shift uint32
	bloom, bucket, chain         uint64 // addresses
}

// gnuTable reads the head of the object's hash table, nil where it has none.
func (o *object) gnuTable() *gnuHash {
	if o.gnu != nil || o.gnuHash == 0 {
		return o.gnu
	}
	b := o.at(o.gnuHash, 16)
	if b == nil {
		return nil
	}
	h := &gnuHash{buckets: order.Uint32(b), first: order.Uint32(b[4:]), words: order.Uint32(b[8:]), shift: order.Uint32(b[12:])}
	if h.buckets == 0 || h.words == 0 || h.shift > 63 {
		return nil
	}
	h.bloom = o.gnuHash + 16
	h.bucket = h.bloom + uint64(h.words)*8
	h.chain = h.bucket + uint64(h.buckets)*4
	o.gnu = h
	return h
}

func hashGNU(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = h*33 + uint32(name[i])
	}
	return h
}

func hashSysV(name string) uint32 {
	h := uint32(0)
	for i := range len(name) {
		h = h<<4 + uint32(name[i])
		g := h & 0xf0000000
		h ^= g >> 24
		h &^= g
	}
	return h
}

// lookup calls found for each entry of the symbol table with the name, defined
// or not, until it returns true. It says whether it did.
func (o *object) lookup(name string, hash uint32, found func(i uint32, s symbolEntry) bool) bool {
	matches := func(i uint32) bool {
		s, ok := o.entry(i)
		return ok && o.equal(uint64(s.name), name) && found(i, s)
	}
	if h := o.gnuTable(); h != nil {
		b := o.at(h.bloom+uint64(hash/64%h.words)*8, 8)
		if b == nil {
			return false
		}
		word := order.Uint64(b)
		if word>>(hash%64)&1 == 0 || word>>(hash>>h.shift%64)&1 == 0 {
			return false
		}
		b = o.at(h.bucket+uint64(hash%h.buckets)*4, 4)
		if b == nil {
			return false
		}
		i := order.Uint32(b)
		if i < h.first {
			return false
		}
		for steps := 0; steps < maxSymbols; steps++ {
			b := o.at(h.chain+uint64(i-h.first)*4, 4)
			if b == nil {
				return false
			}
			v := order.Uint32(b)
			if v|1 == hash|1 && matches(i) {
				return true
			}
			if v&1 != 0 {
				return false
			}
			i++
		}
		return false
	}
	if o.hash == 0 {
		return false
	}
	b := o.at(o.hash, 8)
	if b == nil {
		return false
	}
	buckets, chains := order.Uint32(b), order.Uint32(b[4:])
	if buckets == 0 {
		return false
	}
	b = o.at(o.hash+8+uint64(hashSysV(name)%buckets)*4, 4)
	for steps := uint32(0); b != nil && steps < chains; steps++ {
		i := order.Uint32(b)
		if i == 0 {
			return false
		}
		if matches(i) {
			return true
		}
		b = o.at(o.hash+8+uint64(buckets)*4+uint64(i)*4, 4)
	}
	return false
}

// equal compares a string of the dynamic string table without copying it.
func (o *object) equal(off uint64, name string) bool {
	if off >= o.strsz || uint64(len(name)) >= o.strsz-off {
		return false
	}
	b := o.at(o.strtab+off, len(name)+1)
	return b != nil && b[len(name)] == 0 && string(b[:len(name)]) == name
}

// exported finds a symbol that other objects, and dlsym, can use.
func (o *object) exported(name string) (symbolEntry, bool) {
	var sym symbolEntry
	ok := o.lookup(name, hashGNU(name), func(_ uint32, s symbolEntry) bool {
		sym = s
		return s.usable()
	})
	return sym, ok
}

// usable says whether the loader binds other objects to the symbol.
func (s *symbolEntry) usable() bool {
	if s.section == elf.SHN_UNDEF {
		return false
	}
	switch s.bind() {
	case elf.STB_GLOBAL, elf.STB_WEAK, 10: // 10: STB_GNU_UNIQUE
	default:
		return false
	}
	v := elf.ST_VISIBILITY(s.other)
	return v == elf.STV_DEFAULT || v == elf.STV_PROTECTED
}

// count is the number of entries of the dynamic symbol table.
func (o *object) count() uint32 {
	if o.hash != 0 {
		if b := o.at(o.hash, 8); b != nil {
			return min(order.Uint32(b[4:]), maxSymbols)
		}
	}
	h := o.gnuTable()
	if h == nil {
		return 0
	}
	last := uint32(0)
	for i := range h.buckets {
		b := o.at(h.bucket+uint64(i)*4, 4)
		if b == nil {
			return 0
		}
		last = max(last, order.Uint32(b))
	}
	if last < h.first {
		return min(h.first, maxSymbols)
	}
	for last < maxSymbols {
		b := o.at(h.chain+uint64(last-h.first)*4, 4)
		if b == nil || order.Uint32(b)&1 != 0 {
			break
		}
		last++
	}
	return last + 1
}

// exports is the number of symbols that the object offers, roughly: it tells
// nothing from something.
func (o *object) exports() int {
	if h := o.gnuTable(); h != nil {
		return int(o.count() - min(h.first, o.count()))
	}
	return int(o.count())
}

// undefined lists the symbols that the object needs from others and cannot do
// without.
func (o *object) undefined() []undefinedSymbol {
	n := o.count()
	if h := o.gnuTable(); h != nil {
		n = min(h.first, maxSymbols) // what the hash table does not hold comes first
	}
	var out []undefinedSymbol
	for i := uint32(1); i < n; i++ {
		s, ok := o.entry(i)
		if !ok {
			break
		}
		if s.section != elf.SHN_UNDEF || s.bind() != elf.STB_GLOBAL || s.name == 0 {
			continue
		}
		name := o.string(uint64(s.name))
		if name == "" {
			continue
		}
		out = append(out, undefinedSymbol{index: i, name: name, version: o.requiredVersions()[o.versionIndex(i)&0x7fff]})
	}
	return out
}

type undefinedSymbol struct {
	index   uint32
	name    string
	version string // empty: any
}

// versionIndex is the entry of .gnu.version that belongs to symbol i.
func (o *object) versionIndex(i uint32) uint16 {
	if o.versym == 0 {
		return 1
	}
	b := o.at(o.versym+uint64(i)*2, 2)
	if b == nil {
		return 1
	}
	return order.Uint16(b)
}

// need is a version that an object requires of a library.
type need struct {
	library string
	version string
	index   uint16
	weak    bool
}

// needs reads .gnu.version_r.
func (o *object) needs() []need {
	var out []need
	at := o.verneed
	for range min(o.verneedCount, maxVersions) {
		b := o.at(at, 16)
		if b == nil {
			break
		}
		count, file, aux, next := order.Uint16(b[2:]), order.Uint32(b[4:]), order.Uint32(b[8:]), order.Uint32(b[12:])
		library := o.string(uint64(file))
		v := at + uint64(aux)
		for range count {
			a := o.at(v, 16)
			if a == nil || len(out) >= maxVersions {
				break
			}
			const weak = 2
			out = append(out, need{library: library, version: o.string(uint64(order.Uint32(a[8:]))),
				index: order.Uint16(a[6:]) & 0x7fff, weak: order.Uint16(a[4:])&weak != 0})
			step := order.Uint32(a[12:])
			if step == 0 {
				break
			}
			v += uint64(step)
		}
		if next == 0 {
			break
		}
		at += uint64(next)
	}
	return out
}

// requiredVersions maps indexes of .gnu.version to the versions of others.
func (o *object) requiredVersions() map[uint16]string {
	if o.required == nil {
		o.required = map[uint16]string{}
		for _, n := range o.needs() {
			o.required[n.index] = n.version
		}
	}
	return o.required
}

// definedVersions maps indexes of .gnu.version to the versions that the object
// defines, its own name excluded.
func (o *object) definedVersions() map[uint16]string {
	if o.defined != nil {
		return o.defined
	}
	o.defined = map[uint16]string{}
	at := o.verdef
	for range min(o.verdefCount, maxVersions) {
		b := o.at(at, 20)
		if b == nil {
			break
		}
		const base = 1
		flags, index, aux, next := order.Uint16(b[2:]), order.Uint16(b[4:]), order.Uint32(b[12:]), order.Uint32(b[16:])
		if a := o.at(at+uint64(aux), 8); a != nil && flags&base == 0 {
			o.defined[index&0x7fff] = o.string(uint64(order.Uint32(a)))
		}
		if next == 0 {
			break
		}
		at += uint64(next)
	}
	return o.defined
}

// provides says whether the object defines a symbol in a way that satisfies a
// reference to a version of it.
func (o *object) provides(name string, hash uint32, version string) bool {
	return o.lookup(name, hash, func(i uint32, s symbolEntry) bool {
		if !s.usable() {
			return false
		}
		if version == "" || o.versym == 0 || len(o.definedVersions()) == 0 {
			return true
		}
		// A definition without a version (index 1) satisfies any.
		index := o.versionIndex(i)
		return index == 1 || o.definedVersions()[index&0x7fff] == version
	})
}

// latest returns the highest version of a family, such as "GLIBC_", that the
// object defines, without the prefix.
func (o *object) latest(family string) string {
	best := ""
	for _, v := range o.definedVersions() {
		if number, ok := strings.CutPrefix(v, family); ok && isNumber(number) && (best == "" || compareVersions(number, best) > 0) {
			best = number
		}
	}
	return best
}

func isNumber(v string) bool {
	return v != "" && strings.Trim(v, "0123456789.") == ""
}

// compareVersions orders versions of the form 2.34 or 3.4.30.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}
