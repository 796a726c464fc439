package check

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"unicode/utf8"
)

// kind says what file it is where that is not a shared object for the CPU,
// and whether to go on.
func (r *Report) kind(f *os.File, size int64, opts Options) bool {
	head := make([]byte, 4096)
	n, err := f.ReadAt(head, 0)
	head = head[:n]
	if err != nil && err != io.EOF {
		r.add(Fatal, "damaged", "", "it cannot be read: %v", err)
		return false
	}
	if n == 0 {
		r.add(Fatal, "not-elf", "build or copy it again: the step that wrote it did not finish", "the file is empty")
		return false
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		what, hint := identify(head)
		r.add(Fatal, "not-elf", hint, "it is not an ELF shared object but %s", what)
		return false
	}
	if n < 64 {
		r.add(Fatal, "truncated", "copy or build it again", "the file is cut off within the ELF header: it has %d bytes", n)
		return false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	machine := elf.Machine(order.Uint16(head[18:]))
	class := elf.Class(head[elf.EI_CLASS])
	x32 := machine == elf.EM_X86_64 && class == elf.ELFCLASS32
	if machine != opts.Machine || class != elf.ELFCLASS64 || order != binary.LittleEndian {
		is := cpu(machine)
		switch {
		case x32:
			is = "x86-64 in its 32-bit form (x32)"
		case order == binary.BigEndian:
			is += " (big-endian)"
		}
		hint := "build it for " + cpu(opts.Machine) + ", on such a machine, with a cross-compiler, or in a container of that platform"
		if machine == elf.EM_386 || x32 {
			hint = "build it without -m32 or -mx32"
		}
		r.add(Fatal, "cpu", hint, "it is built for %s, and %s has %s", is, opts.Place, cpu(opts.Machine))
		return false
	}
	const shared = "link it with -shared, and compile with -fPIC"
	switch typ := elf.Type(order.Uint16(head[16:])); typ {
	case elf.ET_DYN:
	case elf.ET_REL:
		r.add(Fatal, "not-shared", shared, "it is an object file (.o) that was not linked")
		return false
	case elf.ET_EXEC:
		r.add(Fatal, "not-shared", shared, "it is a program, not a shared object")
		return false
	case elf.ET_CORE:
		r.add(Fatal, "not-shared", "", "it is the core dump of a crashed program")
		return false
	default:
		r.add(Fatal, "damaged", "copy or build it again", "it is an ELF file of unknown type %d", typ)
		return false
	}
	return r.whole(head, size, order)
}

// whole checks that no part that the headers tell of lies beyond the end of
// the file, as after a download that broke off.
func (r *Report) whole(head []byte, size int64, order binary.ByteOrder) bool {
	phoff, phnum, phentsize := order.Uint64(head[32:]), uint64(order.Uint16(head[56:])), uint64(order.Uint16(head[54:]))
	if phentsize != 56 || phnum == 0 || phoff > 1<<62 {
		r.add(Fatal, "damaged", "build or copy it again", "it has no program headers, so the loader cannot use it")
		return false
	}
	end := phoff + phnum*phentsize
	// Linkers put the program headers right behind the header. Where they
	// are elsewhere it is left to the parser to find out.
	if end <= uint64(len(head)) {
		for p := head[phoff:end]; len(p) > 0; p = p[phentsize:] {
			off, filesz := order.Uint64(p[8:]), order.Uint64(p[32:])
			if elf.ProgType(order.Uint32(p)) == elf.PT_LOAD && off < 1<<62 && filesz < 1<<62 {
				end = max(end, off+filesz)
			}
		}
	}
	if end > uint64(size) {
		r.add(Fatal, "truncated", "copy or build it again", "the file is cut off: it has %d bytes and needs at least %d", size, end)
		return false
	}
	shoff, shnum := order.Uint64(head[40:]), uint64(order.Uint16(head[60:]))
	if shoff < 1<<62 && shnum > 0 && shoff+shnum*64 > uint64(size) {
		r.add(Warning, "truncated", "copy or build it again", "the file is cut off: it has %d bytes and its section headers end at %d", size, shoff+shnum*64)
	}
	return true
}

// identify names what kind of file begins with head, and what to do when it
// stands where a shared object should.
func identify(head []byte) (what, hint string) {
	const rebuild = "build it on Linux, or in a container; EAS loads ELF files only"
	starts := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	begins := func(word string) bool { return bytes.HasPrefix(text, []byte(word)) }
	has := func(word string) bool { return bytes.Contains(head, []byte(word)) }
	switch {
	case starts("\xcf\xfa\xed\xfe"), starts("\xce\xfa\xed\xfe"), starts("\xfe\xed\xfa\xcf"), starts("\xfe\xed\xfa\xce"):
		return "Mach-O, built on macOS", rebuild
	case starts("\xca\xfe\xba\xbe") && len(head) > 8 && binary.BigEndian.Uint32(head[4:]) < 40:
		return "Mach-O for several CPUs, built on macOS", rebuild
	case starts("\xca\xfe\xba\xbe"):
		return "a Java class", `a Java processor has processor_type "java" and processor_mainclass`
	case starts("MZ"):
		return "a Windows program or DLL", rebuild
	case starts("!<arch>\n"), starts("!<thin>\n"):
		return "a static library or package archive (ar)", "link its objects with -shared: g++ -shared -o libprocessor.so -Wl,--whole-archive lib.a -Wl,--no-whole-archive"
	case starts("\x1f\x8b"), starts("BZh"), starts("\xfd7zXZ\x00"), starts("\x28\xb5\x2f\xfd"):
		return "a compressed file", "name the archive in processor_path and the .so inside it in processor_entry"
	case starts("PK\x03\x04"), len(head) > 262 && string(head[257:262]) == "ustar":
		return "an archive", "name the archive in processor_path and the .so inside it in processor_entry"
	case starts("version https://git-lfs"):
		return "a Git LFS pointer, which stands for the real file", "fetch the file with: git lfs pull"
	case starts("BC\xc0\xde"):
		return "LLVM bitcode", "link it without -flto's bitcode: g++ -shared"
	case starts("\x00asm"):
		return "a WebAssembly module", rebuild
	case begins("<!doctype html"), begins("<html"):
		return "an HTML page", "what was downloaded is a page and not the file: a login or an error page, perhaps"
	case begins("<?xml"), begins("<error>"):
		return "an XML document", "what was downloaded is perhaps the error message of an object store"
	case starts("#!"):
		return "a script", ""
	case has("GNU ld script"), (has("INPUT") || has("GROUP")) && has("(") && utf8.Valid(head):
		return "a linker script, which stands for the real library", "name the library that the script names"
	case begins("{"), begins("["):
		if printable(head) {
			return "a JSON text", ""
		}
	}
	if printable(head) {
		return "a text file", ""
	}
	return "data of unknown kind", "build or copy it again"
}

// printable says whether data looks like text. Its last character may be cut.
func printable(data []byte) bool {
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		if c == utf8.RuneError && n == 1 && len(data) >= utf8.UTFMax || c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b {
			return false
		}
		data = data[n:]
	}
	return true
}
