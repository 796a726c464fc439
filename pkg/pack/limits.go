package pack

import (
	"fmt"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
)

// What Extract allows unless it is told otherwise.
const (
	DefaultMaxBytes   = 20 << 30
	DefaultMaxEntries = 1_000_000
	DefaultMaxRatio   = 150
)

// ratioFrom is the size from which on MaxRatio counts. Real archives stay below
// 20 to 1, but may well begin with a file of many megabytes of one byte. Zeros
// come to 229 to 1 at least, by gzip -1, and a quarter of a gigabyte of them
// does no harm.
const ratioFrom = 256 << 20

// spaceEvery is how much may be written between two looks at the disk.
const spaceEvery = 32 << 20

// limits counts what one archive makes us do.
type limits struct {
	maxBytes, maxEntries, maxRatio int64

	bytes   int64 // of file content, holes included
	entries int64 // files, directories and links, implied directories included

	dir       string // where the disk is looked at
	reserve   uint64 // bytes that stay free
	unchecked int64  // bytes written since the last look
}

func newLimits(o ExtractOptions, dir string) *limits {
	return &limits{
		maxBytes:   limit(o.MaxBytes, DefaultMaxBytes),
		maxEntries: limit(int64(o.MaxEntries), DefaultMaxEntries),
		maxRatio:   limit(int64(o.MaxRatio), DefaultMaxRatio),
		dir:        dir,
	}
}

// limit returns a limit as set, its default for 0, and the highest number for
// a negative one, which means none.
func limit(set, byDefault int64) int64 {
	switch {
	case set == 0:
		return byDefault
	case set < 0:
		return 1<<63 - 1
	}
	return set
}

const byHand = "if the archive is to be trusted, unpack it yourself and name the directory instead of the archive"

func exceeded(option string, limit int64, format string, args ...any) error {
	e := &LimitError{Option: option, Max: limit, text: fmt.Sprintf(format, args...)}
	return fault.New(fault.Failed, "%w", e).WithHint(byHand)
}

// announce refuses n more bytes that an archive says it holds, before any of
// them is written.
func (l *limits) announce(n int64) error {
	if n < 0 || n > l.maxBytes-l.bytes {
		return exceeded("MaxBytes", l.maxBytes, "more than %s unpacked, which is the limit", size(l.maxBytes))
	}
	return nil
}

// grow counts n bytes of content.
func (l *limits) grow(n int64) error {
	if err := l.announce(n); err != nil {
		return err
	}
	l.bytes += n
	return nil
}

// entry counts one more file, directory or link.
func (l *limits) entry() error {
	if l.entries >= l.maxEntries {
		return l.tooMany()
	}
	l.entries++
	return nil
}

func (l *limits) tooMany() error {
	return exceeded("MaxEntries", l.maxEntries, "more than %d files and directories, which is the limit", l.maxEntries)
}

// ratio refuses content that was compressed too well to be meant.
func (l *limits) ratio(content, compressed int64) error {
	if content > ratioFrom && content/max(compressed, 1) >= l.maxRatio {
		return exceeded("MaxRatio", l.maxRatio,
			"%s come out of %s: more than %d to 1, as in an archive made to fill disks",
			size(content), size(compressed), l.maxRatio)
	}
	return nil
}

// room looks at the disk before anything is written. A compressed archive
// does not unpack to less than itself.
func (l *limits) room(atLeast int64) error {
	s, err := diskspace.Of(l.dir)
	if err != nil {
		return nil // the writes will tell
	}
	l.reserve = min(256<<20, s.Total/20)
	if s.Free < l.reserve+uint64(max(atLeast, 0)) {
		return noRoom(l.dir, s.Free)
	}
	return nil
}

// wrote counts n bytes that went to the disk, and looks at it now and then.
func (l *limits) wrote(n int64) error {
	l.unchecked += n
	if l.unchecked < spaceEvery {
		return nil
	}
	l.unchecked = 0
	if s, err := diskspace.Of(l.dir); err == nil && s.Free < l.reserve {
		return noRoom(l.dir, s.Free)
	}
	return nil
}

func noRoom(dir string, free uint64) error {
	return fault.New(fault.Missing, "the disk of %s has too little room: %s are free", dir, size(int64(min(free, 1<<62)))).
		WithHint("make room there and try again")
}
