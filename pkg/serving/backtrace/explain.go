package backtrace

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Options say what else is known about a crash.
type Options struct {
	// Signal is the one that ended the process according to its exit
	// status. It counts where the record does not name one.
	Signal int

	// Host is the path of the host's executable. Its frames, and those of
	// the C library below it, are left out at the end of the backtrace.
	// Empty: the process's own executable, where the record tells.
	Host string
}

// Explanation says what happened in a crash.
type Explanation struct {
	Signal int
	Name   string // "SIGSEGV"

	// Cause says in words what the signal's code and address mean:
	// "access at 0x8, close to zero: a null pointer".
	Cause string

	// Where is the innermost frame of the user's own code, "lookup(Table
	// const&, int) at table.cc:41"; empty where there is none.
	Where string

	// Thread is "thread 1234 "eas-worker-3", request 17"; empty where unknown.
	Thread string

	Frames []Frame // innermost first, the host's own at the end left out
	More   int     // frames that the record does not hold
	Outer  []Frame // the outermost ones, beyond those

	Notes []string // what the user should know, such as what to compile with
}

// Frame is one call. An inlined call is a frame of its own with the same PC
// as the one that it was inlined into.
type Frame struct {
	PC       uint64
	Function string // empty where unknown
	Offset   uint64 // from the start of Function; only where File is empty
	File     string // as the compiler recorded it, relative to its directory where below that
	Line     int    // 0 where unknown
	Inlined  bool   // into the next frame
	Object   string // path of the library or program, or "[vdso]"; empty for memory without a file
	Address  uint64 // within Object, as objdump and addr2line take it
	Unmapped bool   // PC is no address of the process at all
}

// Explain finds the names that the record's addresses belong to and says in
// words what happened. It always gives an explanation: when ctx ends, or files
// are missing or damaged, one with fewer names and a note.
func (rec *Record) Explain(ctx context.Context, opts Options) *Explanation {
	// Files are mapped, and one that shrinks meanwhile would end us. With
	// this it is a panic, which guard turns into a note.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	e := &Explanation{Signal: rec.Signal, More: rec.FramesMore}
	if e.Signal == 0 {
		e.Signal = opts.Signal
	}
	e.Name = SignalName(e.Signal)
	e.Cause = rec.cause(e.Signal)
	e.Thread = rec.thread()

	frames, outer, notes, trap := rec.resolve(ctx)
	host := opts.Host
	if host == "" {
		host = rec.executable()
	}
	e.Frames = frames
	if len(outer) > 0 {
		e.Outer = withoutHost(outer, host)
	} else if e.Frames = withoutHost(frames, host); len(e.Frames) < len(frames) {
		e.More = 0
	}
	if f := ownFrame(slices.Concat(e.Frames, e.Outer)); f != nil {
		e.Where = f.where()
		if f.File == "" && f.Object != "" && notes[f.Object] == "" {
			notes[f.Object] = "no debug information: compile with -g to see files and lines"
		}
	}
	if e.Signal == sigABRT {
		if why := raised(e.Frames); why != "" {
			e.Cause = join(e.Cause, why)
		}
	}
	if e.Signal == sigILL && trap {
		e.Cause = "a place that is never to be reached: __builtin_trap, or a function without a return statement"
	}
	seen := map[string]bool{}
	for _, f := range slices.Concat(e.Frames, e.Outer) {
		if note := notes[f.Object]; note != "" && !seen[f.Object] {
			seen[f.Object] = true
			e.Notes = append(e.Notes, filepath.Base(f.Object)+": "+note)
		}
	}
	if !rec.Complete {
		e.Notes = append(e.Notes, "the crash record breaks off: the memory it is written from may be damaged")
	}
	return e
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ": " + b
}

// thread names the thread and the request that it worked on.
func (rec *Record) thread() string {
	if rec.ThreadID == 0 {
		return ""
	}
	s := fmt.Sprintf("thread %d", rec.ThreadID)
	if rec.ThreadName != "" {
		s += fmt.Sprintf(" %q", rec.ThreadName)
	}
	if rec.HasRequest {
		s += fmt.Sprintf(", request %d", rec.Request)
	}
	return s
}

// Distances in bytes for telling what an address was meant to be.
const (
	nearNull  = 64 << 10 // a member or an element of an object at address 0
	nearStack = 64 << 10 // a frame of common size below the stack
)

// cause says what the signal's code and the fault address mean.
func (rec *Record) cause(signal int) string {
	if rec.Signal == 0 {
		return ""
	}
	c := cause(signal, rec.Code)
	if !hasAddress(signal, rec.Code) {
		return c
	}
	if rec.stackOverflow() {
		return fmt.Sprintf("stack overflow: access at %#x, beyond the end of the thread's stack%s", rec.Address, rec.stackSize())
	}
	c = join(c, fmt.Sprintf("access at %#x", rec.Address))
	m := rec.mapping(rec.Address)
	switch {
	case rec.Address == rec.PC && rec.Address < nearNull && signal == sigSEGV:
		c = fmt.Sprintf("a call through a null function pointer, to %#x", rec.Address)
	case rec.Address == rec.PC && m == nil && signal == sigSEGV:
		c = fmt.Sprintf("a call to %#x, where there is no code", rec.Address)
	case rec.Address == rec.PC && !m.executable() && signal == sigSEGV:
		c = fmt.Sprintf("a call to %#x, which is data and not code", rec.Address)
	case rec.Address < nearNull:
		c += ", close to zero: a null pointer"
	case int64(rec.Address) < 0 && -rec.Address < nearNull:
		c += ", just below zero: a null pointer with a negative offset"
	case m != nil && signal == sigSEGV && strings.HasPrefix(m.Perms, "r-") && m.Path != "":
		c += fmt.Sprintf(", in read-only memory of %s", filepath.Base(m.Path))
	}
	return c
}

// stackOverflow says whether the fault is one of a stack that has no room
// left. The stack pointer may be far below the stack when a function has
// large local variables.
func (rec *Record) stackOverflow() bool {
	if rec.SP == 0 || rec.Address == rec.PC {
		return false
	}
	nearSP := rec.Address+nearStack >= rec.SP && rec.Address <= rec.SP+nearStack
	if rec.StackLow != 0 {
		const page = 4096
		switch {
		case rec.Address >= rec.StackLow+page:
			return false
		case rec.SP < rec.StackLow:
			return true
		default:
			return nearSP
		}
	}
	// The stack's place is unknown: its guard is memory without any right,
	// or none, below the memory that the stack pointer is at or above.
	if !nearSP {
		return false
	}
	m := rec.mapping(rec.Address)
	if m != nil && m.Perms != "---p" {
		return false
	}
	end := rec.Address + 1
	if m != nil {
		end = m.High
	}
	for i := range rec.Maps {
		s := &rec.Maps[i]
		if s.Low >= end && s.Low-end <= nearStack && strings.HasPrefix(s.Perms, "rw") && (s.Path == "" || strings.HasPrefix(s.Path, "[")) {
			return true
		}
	}
	return false
}

func (rec *Record) stackSize() string {
	size := rec.StackHigh - rec.StackLow
	switch {
	case size == 0 || size > 1<<40:
		return ""
	case size >= 1<<20:
		return fmt.Sprintf(" of %d MiB", size>>20)
	default:
		return fmt.Sprintf(" of %d KiB", size>>10)
	}
}

// executable is the path of the process's program: the file that is mapped
// first, except where the kernel puts programs above libraries.
func (rec *Record) executable() string {
	for _, m := range rec.Maps {
		if m.file() {
			return m.Path
		}
	}
	return ""
}

// want is an address to look up in an object.
type want struct {
	frame  int    // index of the record's frame
	vaddr  uint64 // of the frame's PC in the object
	lookup uint64 // what to look up: the call, for a return address
}

// resolve turns the record's addresses into frames, with a note about each
// object, by path, that has something to be said about. trap says whether the
// code at the innermost is an instruction that compilers end impossible paths
// with.
func (rec *Record) resolve(ctx context.Context) (frames, outer []Frame, notes map[string]string, trap bool) {
	inner := rec.Frames
	if len(inner) == 0 && rec.PC != 0 {
		inner = []uint64{rec.PC}
	}
	pcs := slices.Concat(inner, rec.Outer)
	objects := map[string]*object{}
	notes = map[string]string{}
	defer func() {
		for _, o := range objects {
			if o != nil {
				o.close()
			}
		}
	}()

	wants := map[string][]want{}
	raw := make([]Frame, len(pcs))
	interrupted := true // the first frame, and those below a signal handler
	for i, pc := range pcs {
		raw[i] = Frame{PC: pc}
		exact := interrupted
		interrupted = false
		m := rec.mapping(pc)
		switch {
		case m == nil:
			raw[i].Unmapped = len(rec.Maps) > 0
			continue
		case !m.file():
			raw[i].Object = m.Path
			// Only the kernel's way back from a signal handler is
			// ever on the stack there.
			interrupted = m.Path == "[vdso]"
			continue
		}
		raw[i].Object = m.Path
		o, opened := objects[m.Path]
		if !opened {
			err := guard(func() (err error) { o, err = openObject(m); return err })
			if err != nil {
				notes[m.Path] = reason(err)
			}
			objects[m.Path] = o
		}
		if o == nil {
			continue
		}
		vaddr, ok := o.vaddr(m, pc)
		if !ok {
			notes[m.Path] = "the file is not the one that the worker had loaded"
			continue
		}
		raw[i].Address = vaddr
		w := want{frame: i, vaddr: vaddr, lookup: vaddr}
		if i == 0 {
			trap = o.machineCode(vaddr, []byte{0x0f, 0x0b}) && o.elf.Machine == elf.EM_X86_64 // ud2
		}
		if o.trampoline(vaddr) {
			interrupted = true
		} else if !exact && vaddr > 0 {
			w.lookup--
		}
		wants[m.Path] = append(wants[m.Path], w)
	}

	found := make([]*location, len(pcs))
	lookups := make([]uint64, len(pcs))
	done := map[string]bool{}
	for _, f := range raw {
		if done[f.Object] || len(wants[f.Object]) == 0 {
			continue
		}
		done[f.Object] = true
		o := objects[f.Object]
		var addrs []uint64
		for _, w := range wants[f.Object] {
			addrs = append(addrs, w.lookup)
		}
		located, err := o.locate(ctx, addrs)
		if err != nil {
			notes[f.Object] = reason(err)
		}
		for _, w := range wants[f.Object] {
			found[w.frame], lookups[w.frame] = located[w.lookup], w.lookup
		}
	}

	for i, f := range raw {
		calls := []Frame{f}
		if found[i] != nil {
			calls = expand(f, found[i], lookups[i])
		}
		if i < len(inner) {
			frames = append(frames, calls...)
		} else {
			outer = append(outer, calls...)
		}
	}
	return frames, outer, notes, trap
}

// expand makes the frames of one address, one for each function inlined there.
func expand(f Frame, loc *location, lookup uint64) []Frame {
	if len(loc.scopes) == 0 {
		f.Function = loc.function
		if f.Function != "" {
			f.Offset = lookup - loc.start
		}
		return []Frame{f}
	}
	var frames []Frame
	for i, s := range loc.scopes {
		g := f
		g.Function, g.File, g.Line = s.function, s.file, s.line
		g.Inlined = i < len(loc.scopes)-1
		// The name in the symbol table has parameters and all; GCC leaves
		// them out for static functions.
		if !s.linker && !g.Inlined && loc.function != "" {
			g.Function = loc.function
		}
		frames = append(frames, g)
	}
	return frames
}

// reason says for a note why an object could not be read.
func reason(err error) string {
	var notELF *elf.FormatError
	var noPath *os.PathError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "reading its debug information took too long"
	case errors.As(err, &notELF), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "not a sound ELF file"
	case errors.As(err, &noPath):
		return noPath.Err.Error()
	}
	return err.Error()
}
