package backtrace

import (
	"fmt"
	"path/filepath"
	"strings"
)

// runtimeLibrary says whether a path is one of the libraries that every C or
// C++ program stands on: their frames are never where the fault is.
func runtimeLibrary(path string) bool {
	if path == "[vdso]" {
		return true
	}
	name := filepath.Base(path)
	for _, prefix := range []string{"libc.so", "libc-2.", "libpthread", "ld-linux", "ld-2.", "ld-musl", "libc.musl",
		"libstdc++.so", "libgcc_s", "libm.so", "libm-2.", "libc++.so", "libc++abi.so", "libasan.so", "libtsan.so", "libubsan.so"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// withoutHost leaves out the frames at the outer end that are the same in
// every backtrace: the host, and the start of a thread in the libraries.
// Where nothing else is in it the host itself is at fault, and all are kept.
func withoutHost(frames []Frame, host string) []Frame {
	end := len(frames)
	for end > 0 {
		f := frames[end-1]
		started := runtimeLibrary(f.Object) && (f.Function == "" || threadStart(f.Function))
		if f.Object == "" || f.Object != host && !started {
			break
		}
		end--
	}
	if end == 0 {
		return frames
	}
	return frames[:end]
}

// threadStart says whether a function of the runtime libraries is one that
// threads and programs begin in.
func threadStart(function string) bool {
	switch function {
	case "start_thread", "clone", "clone3", "__clone", "__clone3", "thread_start", "__libc_start_main",
		"__libc_start_call_main", "__libc_start_main_impl", "_start", "execute_native_thread_routine",
		"start", "libc_start_main_stage2":
		return true
	}
	return strings.HasPrefix(function, "std::execute_native_thread_routine") || strings.HasPrefix(function, "__libc_start_main")
}

// ownFrame returns the innermost frame outside of the runtime libraries.
func ownFrame(frames []Frame) *Frame {
	for i := range frames {
		f := &frames[i]
		// A function of the standard library that was inlined, or
		// instantiated from a template, is in the user's object.
		if f.Object != "" && !runtimeLibrary(f.Object) && !strings.HasPrefix(f.Function, "std::") &&
			!strings.HasPrefix(f.Function, "__gnu_cxx::") {
			return f
		}
	}
	for i := range frames {
		if f := &frames[i]; f.Object != "" && !runtimeLibrary(f.Object) {
			return f
		}
	}
	return nil
}

// raised says what the functions of the runtime libraries that raised an abort
// are known for. The outermost of them says it best.
func raised(frames []Frame) string {
	why := ""
	for _, f := range frames {
		if !runtimeLibrary(f.Object) {
			break
		}
		name, _, _ := strings.Cut(f.Function, "(")
		switch name {
		case "__assert_fail", "__assert_fail_base", "__assert":
			why = "an assertion failed"
		case "__stack_chk_fail":
			why = "a function wrote beyond the end of a local array"
		case "__fortify_fail", "__chk_fail":
			why = "a checked function of the C library found that a buffer is too small"
		case "free", "cfree", "realloc", "malloc", "calloc", "memalign", "malloc_printerr", "_int_free", "_int_malloc":
			why = "the heap is damaged, or memory was freed twice"
		case "__cxa_pure_virtual":
			why = "a pure virtual function was called"
		case "__cxa_throw", "__cxa_rethrow":
			why = "a C++ exception that nothing caught"
		case "std::terminate", "__cxxabiv1::__terminate":
			why = "std::terminate was called: an exception left a noexcept function or a destructor, or a thread was not joined"
		default:
			if thrown, ok := strings.CutPrefix(name, "std::__throw_"); ok {
				why = "a C++ exception that nothing caught, std::" + strings.TrimSuffix(thrown, "_fmt")
			}
		}
	}
	return why
}

// where names the frame in a few words.
func (f *Frame) where() string {
	s := f.Function
	if s == "" {
		s = "??"
	}
	switch {
	case f.File != "" && f.Line > 0:
		return fmt.Sprintf("%s at %s:%d", s, f.File, f.Line)
	case f.File != "":
		return fmt.Sprintf("%s at %s", s, f.File)
	case f.Object != "" && f.Address != 0 && !(runtimeLibrary(f.Object) && f.Function != ""):
		return fmt.Sprintf("%s in %s (%#x)", s, filepath.Base(f.Object), f.Address)
	case f.Object != "":
		return fmt.Sprintf("%s in %s", s, filepath.Base(f.Object))
	}
	return s
}

// String is the frame as one line, without its number.
func (f *Frame) String() string {
	switch {
	case f.Inlined:
		return f.where() + " (inlined)"
	case f.Unmapped:
		return fmt.Sprintf("?? (%#x is not an address of code)", f.PC)
	case f.Object == "":
		return fmt.Sprintf("?? (%#x)", f.PC)
	case f.File != "":
		return f.where() + " in " + filepath.Base(f.Object)
	}
	return f.where()
}

// String is the whole explanation, several lines without a line feed at the
// end.
func (e *Explanation) String() string {
	var b strings.Builder
	if e.Signal > 0 {
		fmt.Fprintf(&b, "signal %d (%s)", e.Signal, e.Name)
	} else {
		b.WriteString("a fatal signal")
	}
	if e.Cause != "" {
		b.WriteString(", " + e.Cause)
	}
	if e.Thread != "" {
		b.WriteString("\n" + e.Thread)
	}
	e.writeFrames(&b)
	for _, note := range e.Notes {
		b.WriteString("\nnote: " + note)
	}
	return b.String()
}

// writeFrames writes the backtrace. Recursion is written once, with how often
// it comes; where the record's gap lies in it, the gap counts too.
func (e *Explanation) writeFrames(b *strings.Builder) {
	number, outer, more := 0, e.Outer, e.More
	write := func(frames []Frame, gapFollows bool) {
		for i := 0; i < len(frames); {
			period, times := repetition(frames[i:])
			for _, f := range frames[i : i+period] {
				fmt.Fprintf(b, "\n  #%d %s", number, f.String())
				number++
			}
			part := frames[i : i+period]
			i += period * times
			number += period * (times - 1)
			if times == 1 {
				continue
			}
			about := ""
			if gapFollows && len(frames)-i < period && continues(part, frames[i:]) {
				// The recursion reaches the gap: take it, and what goes on
				// in the same way behind it, as more of the same.
				calls := more + physical(frames[i:])
				i = len(frames)
				n := 0
				for n < len(outer) && anyAlike(&outer[n], part) {
					n++
				}
				calls += physical(outer[:n])
				outer, more = outer[n:], 0
				times += calls / max(physical(part), 1)
				number += period * (calls / max(physical(part), 1))
				if period > 1 {
					about = "about "
				}
			}
			what := "this frame"
			if period > 1 {
				what = fmt.Sprintf("these %d frames", period)
			}
			fmt.Fprintf(b, "\n     … %s repeated %s%d times", what, about, times)
		}
	}
	write(e.Frames, e.More > 0 && len(outer) > 0)
	if more > 0 {
		fmt.Fprintf(b, "\n     … %d more frames", more)
		number += more
	}
	write(outer, false)
}

// physical counts the calls that have a place on the stack: an inlined one has
// none of its own.
func physical(frames []Frame) int {
	n := 0
	for i := range frames {
		if !frames[i].Inlined {
			n++
		}
	}
	return n
}

// continues says whether rest begins as part does.
func continues(part, rest []Frame) bool {
	for i := range rest {
		if !alike(&rest[i], &part[i]) {
			return false
		}
	}
	return true
}

func anyAlike(f *Frame, frames []Frame) bool {
	for i := range frames {
		if alike(f, &frames[i]) {
			return true
		}
	}
	return false
}

// maxPeriod is the longest chain of functions calling each other that is
// recognised as recursion.
const maxPeriod = 16

// repetition looks whether frames begin with a part that comes at least three
// times in a row, and returns its length and how often it comes. Where
// nothing is repeated that is 1, 1.
func repetition(frames []Frame) (period, times int) {
	for p := 1; p <= maxPeriod && 3*p <= len(frames); p++ {
		n := p
		for n < len(frames) && alike(&frames[n], &frames[n-p]) {
			n++
		}
		if n/p >= 3 {
			return p, n / p
		}
	}
	return 1, 1
}

// alike says whether two frames look the same to a reader.
func alike(a, b *Frame) bool {
	return a.Function == b.Function && a.Object == b.Object && a.File == b.File && a.Line == b.Line && a.Inlined == b.Inlined &&
		(a.File != "" || a.Address == b.Address) && a.Unmapped == b.Unmapped && (a.Object != "" || a.PC == b.PC)
}
