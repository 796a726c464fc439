package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/diskspace"
)

const groupDisk = "Disk and memory"

// Below these there is a warning: a model and a processor are unpacked among
// the temporary files and kept in the cache, sockets need next to nothing.
const (
	littleRoom    = 1 << 30
	littleSockets = 1 << 20
	littleMemory  = 512 << 20
)

// diskProbes look at the room for what a run writes, and at the memory.
func diskProbes(m *machine) []probe {
	all := []probe{
		{group: groupDisk, name: "temporary files", fix: "set TMPDIR to a directory on another file system", run: func(context.Context) []finding {
			return []finding{m.room("temporary files", "TMPDIR", os.TempDir(), littleRoom, true)}
		}},
		{group: groupDisk, name: "cache", fix: "set XDG_CACHE_HOME to a directory on another file system", run: func(context.Context) []finding {
			dir, err := os.UserCacheDir()
			if err != nil {
				return []finding{warning("cache", "set HOME or XDG_CACHE_HOME", "no place for it: %v", err)}
			}
			return []finding{m.room("cache", "XDG_CACHE_HOME", dir, littleRoom, true)}
		}},
	}
	if dir := m.env["XDG_RUNTIME_DIR"]; dir != "" && m.goos != "windows" {
		all = append(all, probe{group: groupDisk, name: "sockets", fix: "unset XDG_RUNTIME_DIR", run: func(context.Context) []finding {
			if _, err := os.Stat(dir); err != nil {
				return nil // then it is not used
			}
			return []finding{m.room("sockets", "XDG_RUNTIME_DIR", dir, littleSockets, false)}
		}})
	}
	return append(all, probe{group: groupDisk, name: "memory", run: func(context.Context) []finding { return m.memory() }})
}

// room says what is left where a variable leads to, and whether programs can be
// run from there if that matters.
func (m *machine) room(name, variable, dir string, enough uint64, programs bool) finding {
	place := existing(dir)
	space, err := diskspace.Of(place)
	if err != nil {
		return warning(name, "set "+variable+" to a directory that you may write to", "%s: %v", dir, bare(err))
	}
	if err := writable(place); err != nil {
		return warning(name, "make it writable, or set "+variable+" to a directory that you may write to", "%s: %v", m.tilde(place), err)
	}
	text := m.tilde(dir) + ": " + size(space.Free) + " free of " + size(space.Total)
	fix := "set " + variable + " to a directory on another file system"
	switch {
	case programs && diskspace.NoExec(place):
		return warning(name, fix, "%s, but mounted noexec: no processor and no host can be loaded from there", text)
	case space.Free < enough:
		return warning(name, "make room, or "+fix, "%s, which is little", text)
	}
	return ok(name, "%s", text)
}

// existing returns the nearest directory above path that exists, or path itself.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// memory says how much there is. A machine that does not tell is left out.
func (m *machine) memory() []finding {
	const name = "memory"
	total, available := m.memorySizes()
	switch {
	case total == 0:
		return nil
	case available == 0:
		return []finding{ok(name, "%s", size(total))}
	case available < littleMemory:
		return []finding{warning(name, "end what needs much of it, or add swap", "%s free of %s, which is little", size(available), size(total))}
	}
	return []finding{ok(name, "%s free of %s", size(available), size(total))}
}

// meminfo reads sizes in bytes out of the text of /proc/meminfo.
func meminfo(text string) (total, available uint64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "MemTotal":
			total = kibibytes(value)
		case "MemAvailable":
			available = kibibytes(value)
		}
	}
	return total, available
}

// kibibytes reads a value such as " 16384 kB", in bytes.
func kibibytes(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// bare takes the operation and the path off an error about a file, for a
// sentence that names them itself.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
