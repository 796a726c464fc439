package service

import (
	"math"
	"strconv"
	"strings"
)

// unitOf says in what a field counts, by the unit of its tag.
func unitOf(tag string) (name string, size float64, of func(string) float64) {
	switch tag {
	case "ms":
		return "milliseconds", 1e-3, seconds
	case "s":
		return "seconds", 1, seconds
	case "MB":
		return "megabytes", 1e6, bytesOf
	case "GB":
		return "gigabytes", 1e9, bytesOf
	}
	return "", 0, nil
}

// seconds returns the length of a unit of time, 0 for what is none.
func seconds(unit string) float64 {
	switch strings.ToLower(unit) {
	case "ns":
		return 1e-9
	case "us", "µs", "μs":
		return 1e-6
	case "ms", "msec", "milliseconds", "millisecond":
		return 1e-3
	case "s", "sec", "secs", "second", "seconds":
		return 1
	case "m", "min", "mins", "minute", "minutes":
		return 60
	case "h", "hr", "hour", "hours":
		return 3600
	}
	return 0
}

// bytesOf returns the size of a unit of memory, 0 for what is none. Gi and GB
// are the same: the megabytes of a description are 1/1000 of its gigabytes.
func bytesOf(unit string) float64 {
	switch strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(unit), "b"), "i") {
	case "k":
		return 1e3
	case "m":
		return 1e6
	case "g":
		return 1e9
	case "t":
		return 1e12
	}
	return 0
}

// splitUnit takes a number and its unit apart: "5s", "1.5 GB", "200ms".
func splitUnit(s string) (number float64, unit string, ok bool) {
	digits := strings.TrimRightFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	number, err := strconv.ParseFloat(digits, 64)
	unit = strings.TrimSpace(s[len(digits):])
	return number, unit, err == nil && unit != "" && number >= 0 && number < math.MaxInt32
}

// notNumber reports text where a number should be. A unit is the usual reason;
// the fix is the value in the field's own unit, as far as it can be told.
func (p *parser) notNumber(n *node, s string, off int, tag, path string) {
	number, unit, ok := splitUnit(s)
	if !ok {
		p.add(Error, off, path, "write a whole number", "is %s, not a number", brief(n))
		return
	}
	name, size, of := unitOf(tag)
	fix := "write a whole number"
	if name != "" {
		fix = "write a whole number of " + name
		if own := math.Round(number*of(unit)/size*1e6) / 1e6; own >= 1 && own == math.Trunc(own) && own <= math.MaxInt32 {
			fix = "write the " + name + ", " + strconv.FormatFloat(own, 'f', 0, 64)
		}
	} else if number == math.Trunc(number) && len(unit) != 1 { // 500m, 2k: not the number itself
		fix = "write " + strconv.FormatFloat(number, 'f', 0, 64)
	}
	p.add(Error, off, path, fix, "is %s; the number goes without a unit", brief(n))
}
