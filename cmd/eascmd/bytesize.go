package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes as a flag: 67108864, 64MiB, 64M, 1.5GiB or
// 64MB (a million bytes to the megabyte). Zero is no size.
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(text string) error {
	number := strings.TrimRight(text, "kKmMgGtTiIbB \t")
	unit, ok := byteUnit(strings.ToLower(strings.TrimSpace(text[len(number):])))
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || math.IsNaN(value) {
		return fmt.Errorf("a size is a number with an optional unit, such as 64MiB")
	}
	if size := value * unit; size < 1 || size > math.MaxInt64/2 {
		return fmt.Errorf("a size is at least one byte and at most %d", int64(math.MaxInt64/2))
	}
	*b = byteSize(value * unit)
	return nil
}

func (b *byteSize) Type() string { return "size" }

func byteUnit(name string) (bytes float64, ok bool) {
	if name == "" || name == "b" {
		return 1, true
	}
	power := strings.IndexByte("kmgt", name[0]) + 1
	switch name[1:] {
	case "", "ib":
		return math.Pow(1024, float64(power)), power > 0
	case "b":
		return math.Pow(1000, float64(power)), power > 0
	}
	return 0, false
}
