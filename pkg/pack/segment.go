package pack

import "hash/fnv"

// How the tar is cut into segments. None of these may ever change: a package
// whose segments are to be taken from an earlier one has to be cut in the same
// places.
const (
	// bigFile is the size from which on a file has segments of its own.
	bigFile = 4 << 20
	// pieceSize is how much of such a file is in one segment.
	pieceSize = 16 << 20
	// A segment of other files ends before the name that asks for it, but not
	// before it has minSegment bytes of tar and not after it has maxSegment.
	minSegment = 1 << 20
	maxSegment = 32 << 20
	// One name in borderEvery asks for a border.
	borderEvery = 256
)

// segment is a part of the tar that is compressed by itself.
type segment struct {
	first, last int   // the records in it: records[first:last]
	from, to    int64 // where it is a piece of one big file, the part of its content; else both 0
	size        int64 // bytes of tar, padding included
	end         bool  // the archive ends with it
}

// cut cuts the archive into segments. There is at least one record.
//
// Where a border lies is said by the name that follows it, so that a file that
// was added, removed or changed moves no border but those next to it.
func cut(records []record) []segment {
	var all []segment
	open := segment{}
	flush := func(upTo int) {
		if open.last = upTo; open.last > open.first {
			all = append(all, open)
		}
		open = segment{first: upTo}
	}
	for i, r := range records {
		size := tarSize(r)
		if r.big() {
			flush(i)
			all = append(all, pieces(i, r)...)
			open.first = i + 1
			continue
		}
		if i > 0 && r.rank != records[i-1].rank ||
			open.size >= minSegment && asksForBorder(r.Name) ||
			open.size+size > maxSegment {
			flush(i)
		}
		open.size += size
	}
	flush(len(records))
	last := &all[len(all)-1]
	last.end = true
	last.size += int64(len(archiveEnd))
	return all
}

// big reports whether a record has segments of its own.
func (r record) big() bool { return r.Mode.IsRegular() && r.same == "" && r.Size > bigFile }

// pieces cuts a big file. Its header is in the first piece, its padding in the
// last.
func pieces(i int, r record) []segment {
	var all []segment
	for from := int64(0); from < r.Size; from += pieceSize {
		to := min(from+pieceSize, r.Size)
		all = append(all, segment{first: i, last: i + 1, from: from, to: to, size: to - from})
	}
	all[0].size += headerSize(r)
	all[len(all)-1].size += padding(r.Size)
	return all
}

// asksForBorder reports whether a segment may begin with a name.
func asksForBorder(name string) bool {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64()
	// FNV's low bits depend on the low bits of the bytes alone.
	return (sum^sum>>32)%borderEvery == 0
}
