package store

// endParts is how many large parts' worth goes in small ones at the end of a file.
const endParts = 8

// layout is how a file is cut into parts. They have the same size, but for the
// end of the file, where they are smaller: connections get unequal shares of a
// line, and the slowest one should not have much to do when the others are done.
type layout struct {
	Size     int64 `json:"size"` // of the file
	PartSize int64 `json:"partSize"`
	EndSize  int64 `json:"endSize"` // of the parts at the end; the last one is what is left
}

// possible reports whether it is one.
func (l layout) possible() bool {
	return l.Size > 0 && 0 < l.EndSize && l.EndSize <= l.PartSize
}

// large returns how many parts are of PartSize.
func (l layout) large() int64 { return max(0, l.Size/l.PartSize-endParts) }

// count returns how many parts there are: one at least.
func (l layout) count() int {
	n := l.large()
	return int(n + max(0, l.Size-n*l.PartSize-1)/l.EndSize + 1)
}

// section returns where a part begins and how large it is. Numbers begin with 1.
func (l layout) section(number int) (offset, size int64) {
	n, large := int64(number-1), l.large()
	if n < large {
		return n * l.PartSize, l.PartSize
	}
	offset = large*l.PartSize + (n-large)*l.EndSize
	return offset, min(l.EndSize, l.Size-offset)
}
