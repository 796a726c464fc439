package pack

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// What a name may be. Linux allows 255 bytes a component and 4096 a path; a
// tree of more levels than maxDepth is nothing but a way to make trouble for
// whoever walks it.
const (
	maxComponent = 255
	maxPath      = 4000
	maxDepth     = 200
)

// cleanName returns an entry's name as a path below the destination, with
// slashes and without "." and empty components; "." is the destination itself.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("it has no name")
	case strings.ContainsRune(name, 0):
		return "", errors.New("its name contains a zero byte")
	case len(name) > maxPath:
		return "", fmt.Errorf("its name has %d bytes, more than %d", len(name), maxPath)
	case isAbsolute(name):
		return "", errors.New("its name is absolute")
	}
	// Where a backslash is an ordinary character, so is `..\x`; but an archive
	// with such a name was made to be harmful elsewhere.
	for c := range strings.FieldsFuncSeq(name, isSlash) {
		if c == ".." {
			return "", errors.New(`its name contains ".."`)
		}
	}
	var parts []string
	for c := range strings.SplitSeq(name, "/") {
		if c == "" || c == "." {
			continue
		}
		if len(c) > maxComponent {
			return "", fmt.Errorf("a part of its name has %d bytes, more than %d", len(c), maxComponent)
		}
		parts = append(parts, c)
	}
	if len(parts) > maxDepth {
		return "", fmt.Errorf("it lies %d directories deep, more than %d", len(parts)-1, maxDepth-1)
	}
	if len(parts) == 0 {
		return ".", nil
	}
	clean := strings.Join(parts, "/")
	if _, err := filepath.Localize(clean); err != nil {
		return "", errors.New("its name is not possible on this system")
	}
	return clean, nil
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// isAbsolute reports whether a name is absolute on any system.
func isAbsolute(name string) bool {
	if name[0] == '/' || name[0] == '\\' {
		return true
	}
	letter := name[0] | 0x20
	return len(name) >= 3 && 'a' <= letter && letter <= 'z' && name[1] == ':' && isSlash(rune(name[2]))
}

// split returns a clean path's directory and last part.
func split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}

// join is the inverse of split.
func join(dir, base string) string {
	if dir == "." {
		return base
	}
	return dir + "/" + base
}
