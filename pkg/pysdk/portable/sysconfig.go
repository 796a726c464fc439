package portable

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// mark stands for the prefix in what is rewritten; it is in no real file.
const mark = "@eascmd:prefix@"

// sysconfigData is the end of a rewritten file of sysconfig's data: the prefix
// is where the interpreter is.
const sysconfigData = `

def _placed():
    import sys
    mark, prefix = "` + mark + `", sys.base_prefix
    for name, value in build_time_vars.items():
        if isinstance(value, str) and mark in value:
            build_time_vars[name] = value.replace(mark, prefix)


_placed()
del _placed
`

// editSysconfigData makes the data that sysconfig reads independent of where
// the interpreter was installed.
func (b *builder) editSysconfigData() error {
	for name, it := range b.items {
		base := path.Base(name)
		if path.Dir(name) != b.stdlib || !strings.HasPrefix(base, "_sysconfigdata_") || !strings.HasSuffix(base, ".py") || it.source == "" {
			continue
		}
		text, err := it.content()
		if err != nil {
			return err
		}
		placed := b.markPrefixes(text)
		if bytes.Equal(placed, text) {
			continue
		}
		it.setData(append(bytes.TrimRight(placed, "\n"), sysconfigData...))
	}
	return nil
}

// directories are the variables of sysconfig that are directories below the
// prefix.
const directories = `prefix|exec_prefix|base|platbase|installed_base|installed_platbase|host_prefix|host_exec_prefix|` +
	`BINDIR|BINLIBDEST|CONFINCLUDEDIR|CONFINCLUDEPY|DESTDIRS|DESTLIB|DESTSHARED|DATAROOTDIR|datarootdir|INCLDIRSTOMAKE|INCLUDEDIR|INCLUDEPY|` +
	`LIBDEST|LIBDIR|LIBPC|LIBPL|MACHDESTLIB|MANDIR|SCRIPTDIR|TZPATH`

// markPrefixes puts the mark in the place of the prefix. That of a system, which
// is also in paths that have nothing to do with Python, is only replaced in the
// variables that are directories.
func (b *builder) markPrefixes(text []byte) []byte {
	for _, old := range b.old {
		text = replacePath(text, old, mark)
	}
	for _, system := range []string{b.python.BasePrefix, b.python.BaseExecPrefix} {
		if slices.Contains(b.old, system) || system == "/" {
			continue
		}
		variable := regexp.MustCompile(`(?m)^([ {]*'(?:` + directories + `)': ')` + regexp.QuoteMeta(system) + `(['/])`)
		text = variable.ReplaceAll(text, []byte("${1}"+mark+"${2}"))
	}
	return text
}

// replacePath replaces a directory in a text, not the beginning of the name of
// another one.
func replacePath(text []byte, dir, with string) []byte {
	var out []byte
	for {
		before, after, ok := bytes.Cut(text, []byte(dir))
		if !ok {
			return append(out, text...)
		}
		out = append(out, before...)
		if len(after) > 0 && isNameByte(after[0]) {
			out = append(out, dir...)
		} else {
			out = append(out, with...)
		}
		text = after
	}
}

// isNameByte reports whether a byte goes on with the name of a file.
func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c >= 0x80
}

// The ends of files of a distribution's Python, which would otherwise install
// into directories that belong to the distribution.
const (
	sysconfigSchemes = `

# What is installed goes where an upstream Python puts it. Functions above have
# the name of a scheme of the distribution's as a default.
for _name in ("posix_local", "deb_system"):
    _INSTALL_SCHEMES[_name] = _INSTALL_SCHEMES["posix_prefix"]
del _name


def _get_default_scheme():
    return "posix_prefix" if os.name == "posix" else os.name


def _get_preferred_schemes():
    return {"prefix": "posix_prefix", "home": "posix_home", "user": "posix_user"}

`
	distutilsInstall = `

# What is installed goes where an upstream Python puts it.
for _name in ("unix_local", "deb_system"):
    INSTALL_SCHEMES[_name] = INSTALL_SCHEMES["unix_prefix"]
del _name
`
	distutilsSysconfig = `

_directory_of_packages = get_python_lib


def get_python_lib(plat_specific=0, standard_lib=0, prefix=None):
    # With a prefix it is upstream's directory.
    if prefix is None:
        prefix = EXEC_PREFIX if plat_specific else PREFIX
    return _directory_of_packages(plat_specific, standard_lib, prefix)
`
)

// restoreSchemes gives a distribution's Python upstream's directories for
// packages. Debian's site module, which is frozen into the interpreter from
// 3.11 on, looks for packages in dist-packages only: a link leads from there to
// site-packages.
func (b *builder) restoreSchemes() error {
	name := b.stdlib + "/sysconfig.py"
	if b.items[name] == nil {
		name = b.stdlib + "/sysconfig/__init__.py"
	}
	it, err := b.require(name)
	if err != nil {
		return err
	}
	text, err := it.content()
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte("dist-packages")) {
		return nil
	}
	it.setData(beforeMain(text, sysconfigSchemes))
	for name, end := range map[string]string{"command/install.py": distutilsInstall, "sysconfig.py": distutilsSysconfig} {
		it := b.items[b.stdlib+"/distutils/"+name]
		if it == nil {
			continue // gone since 3.12
		}
		text, err := it.content()
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("dist-packages")) {
			it.setData(append(bytes.TrimRight(text, "\n"), end...))
		}
	}
	b.link(b.stdlib+"/dist-packages", "site-packages")
	return nil
}

// beforeMain puts lines before the part of a module that runs it as a program.
func beforeMain(text []byte, lines string) []byte {
	const main = "\nif __name__ == '__main__':"
	before, after, ok := bytes.Cut(text, []byte(main))
	if !ok {
		return append(bytes.TrimRight(text, "\n"), lines...)
	}
	return fmt.Appendf(nil, "%s%s%s%s", bytes.TrimRight(before, "\n"), lines, main, after)
}
