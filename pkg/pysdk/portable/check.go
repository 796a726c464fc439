package portable

import (
	"debug/elf"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/elfpatch"
)

// checkFiles tells what of the tree will not run elsewhere.
func (b *builder) checkFiles() {
	native := map[string]bool{} // packages with programs or libraries for the interpreter's CPU
	for name, it := range b.items {
		if f := it.seen.elf; f != nil && f.Machine == b.machine && f.Class == elf.ELFCLASS64 {
			native[b.packageOf(name)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		it := b.items[name]
		// Some packages bring the same library for every system.
		severity := Error
		if native[b.packageOf(name)] {
			severity = Note
		}
		switch s := it.seen; {
		case s.kind == mach:
			b.find(severity, name, "install the environment's packages on Linux", "a program or library of macOS")
		case s.kind == windows && !strings.HasSuffix(name, ".exe"):
			b.find(severity, name, "install the environment's packages on Linux", "a program or library of Windows")
		case s.fault != "":
			b.find(Warning, name, "", "%s", s.fault)
		case s.elf != nil && s.elf.Machine != b.machine && isLoaded(s.elf):
			b.find(severity, name, "install the package for "+cpu(b.machine), "built for %s, the interpreter for %s", cpu(s.elf.Machine), cpu(b.machine))
		case s.elf != nil:
			b.checkVersions(it)
		}
		b.checkPrefix(it)
	}
}

// packageOf returns the package that a file is of: the first directory, or the
// file itself, in site-packages.
func (b *builder) packageOf(name string) string {
	rest, ok := strings.CutPrefix(name, b.packages()+"/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// isLoaded reports whether an ELF file is one for a CPU, and not, for example,
// code for a GPU or a kernel.
func isLoaded(f *elfpatch.File) bool {
	switch f.Machine {
	case elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_ARM, elf.EM_PPC64, elf.EM_S390, elf.EM_RISCV:
		return f.Type == elf.ET_EXEC || f.Type == elf.ET_DYN
	}
	return false
}

// checkPrefix tells how often a file names the old place. What is compiled into
// the interpreter is told apart.
func (b *builder) checkPrefix(it *item) {
	hits := it.seen.hits
	for _, old := range b.old {
		n := hits[old]
		switch {
		case n == 0:
		case it.Name == b.program || strings.HasPrefix(path.Base(it.Name), "libpython"):
			b.built = append(b.built, Built{it.Name, old, n})
		case it.seen.kind == program:
			b.find(Note, it.Name, "", "names %s, which is not there elsewhere (%s)", old, times(n))
		default:
			b.find(Warning, it.Name, "", "names %s, which is not there elsewhere (%s)", old, times(n))
		}
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

func cpu(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_AARCH64:
		return "aarch64"
	case elf.EM_386:
		return "32-bit x86"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// checkVersions compares the versions of symbols that a file needs with those
// that there are where the tree is to run.
func (b *builder) checkVersions(it *item) {
	if b.opts.GLIBC != "" {
		need := newest(it.seen.elf, "GLIBC_")
		if need != "" && compareVersions(need, b.opts.GLIBC) > 0 {
			b.find(Error, it.Name, "use an image with a newer Linux, or build the environment on an older one",
				"needs glibc %s, and the image has %s", need, b.opts.GLIBC)
		}
	}
}

// newest returns the newest version of a kind that a file needs.
func newest(f *elfpatch.File, prefix string) string {
	best := ""
	for _, v := range f.Versions {
		if text, ok := strings.CutPrefix(v.Name, prefix); ok && !v.Weak && isVersion(text) && (best == "" || compareVersions(text, best) > 0) {
			best = text
		}
	}
	return best
}

func isVersion(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.") == ""
}

// compareVersions compares two versions of numbers with dots between them.
func compareVersions(a, c string) int {
	return slices.Compare(numbers(a), numbers(c))
}

func numbers(version string) []int {
	var list []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return list
		}
		list = append(list, n)
	}
	return list
}
