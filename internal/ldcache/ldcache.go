// Package ldcache reads /etc/ld.so.cache, the table of shared libraries that
// ldconfig writes and the loader of glibc looks names up in.
package ldcache

import (
	"bytes"
	"encoding/binary"
)

// Parse returns the paths of the libraries in a cache by their names: the
// first of a name, as the loader takes it. Entries for special CPUs are left
// out, those for all come in any case. What is no cache has none.
func Parse(data []byte) map[string]string {
	names := map[string]string{}
	const magic, header, entry = "glibc-ld.so.cache1.1", 48, 24
	start := bytes.Index(data, []byte(magic)) // an older table may come before
	if start < 0 || len(data)-start < header {
		return names
	}
	data = data[start:]
	order := binary.LittleEndian
	count := int(order.Uint32(data[20:]))
	text := func(off uint32) string {
		if int64(off) >= int64(len(data)) {
			return ""
		}
		s, _, ok := bytes.Cut(data[off:], []byte{0})
		if !ok {
			return ""
		}
		return string(s)
	}
	for i := 0; i < count && header+(i+1)*entry <= len(data); i++ {
		e := data[header+i*entry:]
		const elfLibc6, typeMask = 3, 0xff
		if order.Uint32(e)&typeMask != elfLibc6 || order.Uint64(e[16:]) != 0 {
			continue
		}
		key := text(order.Uint32(e[4:]))
		if _, ok := names[key]; !ok && key != "" {
			names[key] = text(order.Uint32(e[8:]))
		}
	}
	return names
}
