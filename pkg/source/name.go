package source

import (
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/pkg/pack"
)

// digits is how much of its SHA-256 is in an object's name.
const digits = 16

// packageExt is the extension of packages.
const packageExt = ".tar.gz"

// splitName parts a file's name from its extension, which for a compressed tar
// is a double one, and for a shared object all that follows the first ".so".
func splitName(name string) (stem, ext string) {
	lower := strings.ToLower(name)
	for _, double := range [...]string{".tar.gz", ".tar.bz2"} {
		if strings.HasSuffix(lower, double) && len(name) > len(double) {
			return name[:len(name)-len(double)], name[len(name)-len(double):]
		}
	}
	if i := strings.Index(lower, ".so."); i > 0 {
		return name[:i], name[i:]
	}
	ext = filepath.Ext(name)
	if ext == name {
		return name, ""
	}
	return strings.TrimSuffix(name, ext), ext
}

// extensionOf is the extension of archives of a format, "" for what is none.
func extensionOf(f pack.Format) string {
	switch f {
	case pack.TarGzip:
		return packageExt
	case pack.TarBzip2:
		return ".tar.bz2"
	case pack.Tar:
		return ".tar"
	case pack.Zip:
		return ".zip"
	}
	return ""
}

// isArchive reports whether a file of this name is taken for an archive of the
// format.
func isArchive(name string, f pack.Format) bool {
	name = strings.ToLower(name)
	usual := []string{extensionOf(f)}
	switch f {
	case pack.TarGzip:
		usual = append(usual, ".tgz")
	case pack.TarBzip2:
		usual = append(usual, ".tbz2", ".tbz")
	}
	for _, ext := range usual {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

// isNamedArchive reports whether a file of this name is taken for an archive.
func isNamedArchive(name string) bool {
	for _, f := range [...]pack.Format{pack.Tar, pack.TarGzip, pack.TarBzip2, pack.Zip} {
		if isArchive(name, f) {
			return true
		}
	}
	return false
}

// stemOf makes of a name one that is the same in keys, addresses and on disks.
func stemOf(name string) string {
	const most = 100
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name)
	clean = strings.TrimLeft(clean, ".")
	if len(clean) > most {
		clean = clean[:most]
	}
	if clean == "" {
		return "files"
	}
	return clean
}
