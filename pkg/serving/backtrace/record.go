// Package backtrace explains a native crash. A worker's signal handler leaves
// a crash record: raw addresses and the load map (docs/worker-protocol.md).
// This package reads such a record, finds the functions and, where there is
// debug information, the source lines that the addresses belong to, and says
// in words what happened.
//
// It promises to give the best explanation that record and files allow:
// a record that breaks off, a library that was replaced, stripped or damaged,
// and debug information too large for the time that is left make the answer
// shorter, never an error and never a panic.
package backtrace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of a record. A host writes far less; what is beyond them is ignored.
const (
	maxRecord   = 4 << 20 // bytes
	maxMappings = 65536
	maxFrames   = 4096
	maxOthers   = 4096
)

// header is the first line of every record.
const header = "eascmd-crash 1"

// ErrNoRecord is returned for what is not a crash record, an empty file
// included.
var ErrNoRecord = errors.New("not a crash record")

// Record is what a host wrote about a fatal signal. A field whose line is
// missing in the record is zero.
type Record struct {
	Signal  int    // number of the signal
	Code    int    // its si_code
	Address uint64 // the fault address; only SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP have one

	ThreadID   int // the kernel's
	ThreadName string

	Request    uint64   // id of the request that the thread worked on
	HasRequest bool     // whether it worked on one
	Others     []uint64 // ids of the requests in flight on other threads

	PC, SP              uint64
	StackLow, StackHigh uint64 // of the thread; both 0 where unknown

	Maps       []Mapping
	Frames     []uint64 // PC first, then return addresses, innermost first
	FramesMore int      // frames that the host left out
	Outer      []uint64 // the outermost ones, beyond those left out

	Complete bool // whether the record has its last line
}

// Mapping is one line of /proc/<pid>/maps.
type Mapping struct {
	Low, High uint64 // addresses, High excluded
	Perms     string // "r-xp"
	Offset    uint64 // of Low in the file
	Device    string // "fd:01", hexadecimal
	Inode     uint64 // 0 for memory without a file
	Path      string // "[stack]" and the like for special memory; empty for anonymous memory
	Deleted   bool   // the file was gone, or another one was at its path
}

func (m *Mapping) executable() bool { return len(m.Perms) > 2 && m.Perms[2] == 'x' }

// file says whether the mapping is a file's, rather than anonymous or special
// memory. Shared memory shows up as a path that no longer exists.
func (m *Mapping) file() bool { return strings.HasPrefix(m.Path, "/") }

// ParseRecord reads a crash record. A record that breaks off is used as far as
// it goes, and lines that make no sense are skipped; only what does not begin
// like a record is refused, with ErrNoRecord. At most 4 MiB are read.
func ParseRecord(r io.Reader) (*Record, error) {
	in := bufio.NewReader(io.LimitReader(r, maxRecord))
	first, err := readLine(in)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if err == io.EOF || first != header {
		return nil, ErrNoRecord
	}
	rec := &Record{}
	inMaps := false
	for {
		line, err := readLine(in)
		if err != nil {
			// What was read before a failing disk is still worth using,
			// and a line without its end may hold half a number.
			return rec, nil
		}
		switch {
		case line == "maps":
			inMaps = true
		case line == "end-maps":
			inMaps = false
		case inMaps:
			if m, ok := parseMapping(line); ok && len(rec.Maps) < maxMappings {
				rec.Maps = append(rec.Maps, m)
			}
		case line == "end":
			rec.Complete = true
			return rec, nil
		default:
			rec.parseLine(line)
		}
	}
}

// readLine returns the next line without its end. A last line without a line
// feed is reported as io.EOF.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return "", err
		}
		return string(bytes.TrimSuffix(line, []byte("\n"))), nil
	}
}

// parseLine takes in one line outside of the maps. A number that cannot be
// read leaves its field alone.
func (rec *Record) parseLine(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "signal":
		signal, code, _ := strings.Cut(rest, " ")
		setInt(&rec.Signal, signal)
		setInt(&rec.Code, code)
	case "address":
		setHex(&rec.Address, rest)
	case "thread":
		id, name, _ := strings.Cut(rest, " ")
		setInt(&rec.ThreadID, id)
		rec.ThreadName = name
	case "request":
		if id, err := strconv.ParseUint(rest, 10, 64); err == nil {
			rec.Request, rec.HasRequest = id, true
		}
	case "other":
		if id, err := strconv.ParseUint(rest, 10, 64); err == nil && len(rec.Others) < maxOthers {
			rec.Others = append(rec.Others, id)
		}
	case "pc":
		setHex(&rec.PC, rest)
	case "sp":
		setHex(&rec.SP, rest)
	case "stack":
		low, high, _ := strings.Cut(rest, " ")
		var l, h uint64
		if setHex(&l, low) && setHex(&h, high) && l < h {
			rec.StackLow, rec.StackHigh = l, h
		}
	case "frame":
		var pc uint64
		if !setHex(&pc, rest) || len(rec.Frames)+len(rec.Outer) >= maxFrames {
			break
		}
		if rec.FramesMore > 0 {
			rec.Outer = append(rec.Outer, pc)
		} else {
			rec.Frames = append(rec.Frames, pc)
		}
	case "frames-more":
		var n int
		if setInt(&n, rest); n > 0 {
			rec.FramesMore = n
		}
	}
}

func setInt(dst *int, s string) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		*dst = int(n)
	}
}

func setHex(dst *uint64, s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return false
	}
	*dst = n
	return true
}

// parseMapping reads one line of /proc/<pid>/maps:
//
//	7f12a000-7f12b000 r-xp 00001000 fd:01 1234   /usr/lib/libc.so.6 (deleted)
func parseMapping(line string) (Mapping, bool) {
	field := func() string {
		line = strings.TrimLeft(line, " ")
		f, rest, _ := strings.Cut(line, " ")
		line = rest
		return f
	}
	low, high, ok := strings.Cut(field(), "-")
	if !ok {
		return Mapping{}, false
	}
	var m Mapping
	var err [4]error
	m.Low, err[0] = strconv.ParseUint(low, 16, 64)
	m.High, err[1] = strconv.ParseUint(high, 16, 64)
	m.Perms = field()
	m.Offset, err[2] = strconv.ParseUint(field(), 16, 64)
	m.Device = field()
	m.Inode, err[3] = strconv.ParseUint(field(), 10, 64)
	if errors.Join(err[:]...) != nil || m.Low >= m.High || len(m.Perms) != 4 {
		return Mapping{}, false
	}
	m.Path = strings.TrimLeft(line, " ")
	m.Path, m.Deleted = strings.CutSuffix(m.Path, " (deleted)")
	// The kernel writes a line feed in a name as \012.
	m.Path = strings.ReplaceAll(m.Path, `\012`, "\n")
	return m, true
}

// deviceName spells a device's numbers as /proc/<pid>/maps does.
func deviceName(major, minor uint64) string { return fmt.Sprintf("%02x:%02x", major, minor) }

// mapping returns the mapping that holds addr, or nil.
func (rec *Record) mapping(addr uint64) *Mapping {
	for i := range rec.Maps {
		if m := &rec.Maps[i]; m.Low <= addr && addr < m.High {
			return m
		}
	}
	return nil
}
