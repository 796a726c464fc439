package backtrace

import (
	"strings"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"
)

// Lengths in characters above which a demangled name loses its parameters,
// then its template arguments, and is then cut.
const (
	longName    = 90
	longestName = 160
	maxMangled  = 16 << 10
)

// demangled turns a linker's name into a readable one. Names of C functions
// come back as they are.
func demangled(name string) string {
	if len(name) > maxMangled {
		return shortened(name)
	}
	// Versions ("memcpy@@GLIBC_2.14") are the linker's business.
	if i := strings.IndexByte(name, '@'); i > 0 {
		name = name[:i]
	}
	// GCC's clones of C functions: process.cold, process.constprop.0.
	if !strings.HasPrefix(name, "_Z") && !strings.HasPrefix(name, "_R") {
		// glibc calls itself by aliases.
		return shortened(withoutClone(strings.TrimPrefix(name, "__GI_")))
	}
	full := demangle.Filter(name, demangle.NoClones, demangle.NoRust, demangle.MaxLength(16))
	if utf8.RuneCountInString(full) <= longName {
		return full
	}
	short := demangle.Filter(name, demangle.NoClones, demangle.NoParams, demangle.NoRust, demangle.MaxLength(16))
	if utf8.RuneCountInString(short) <= longName {
		return short
	}
	return shortened(demangle.Filter(name, demangle.NoClones, demangle.NoParams, demangle.NoTemplateParams,
		demangle.NoRust, demangle.MaxLength(16)))
}

// withoutClone removes the suffixes that GCC and Clang give to parts and
// copies of a function.
func withoutClone(name string) string {
	for _, mark := range []string{".cold", ".constprop.", ".isra.", ".part.", ".lto_priv.", ".llvm.", "._omp_fn."} {
		if i := strings.Index(name, mark); i > 0 {
			name = name[:i]
		}
	}
	return name
}

func shortened(name string) string {
	if utf8.RuneCountInString(name) <= longestName {
		return name
	}
	return string([]rune(name)[:longestName-1]) + "…"
}
