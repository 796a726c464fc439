package check

import (
	"bytes"
	"os"
	"slices"
	"strings"
)

// sanitizers reports an object whose sanitizer must be loaded before anything
// else, the host included.
func (r *Report) sanitizers(c *closure) {
	for _, name := range c.root.needed {
		for _, prefix := range []string{"libasan.so", "libtsan.so", "liblsan.so", "libclang_rt.asan"} {
			if !strings.HasPrefix(name, prefix) || slices.ContainsFunc(c.opts.Preload, func(p string) bool { return strings.Contains(p, prefix) }) {
				continue
			}
			r.add(Warning, "sanitizer", "build without -fsanitize, or preload the library: --env LD_PRELOAD="+name,
				"it is built with a sanitizer, whose %s ends every program that it is not loaded into first", name)
		}
	}
}

// Where EAS puts a service's files. Only some engines have these paths.
var workspaces = [...]string{"/home/admin/docker_ml/workspace", "/eas/workspace"}

// Bounds of the search for paths: bytes read, paths told.
const (
	maxSearched = 32 << 20
	maxPaths    = 5
)

// workspacePaths notes absolute paths of EAS's workspace that are written in
// the object.
func (r *Report) workspacePaths(f *os.File, o *object) {
	var found []string
	left := int64(maxSearched)
	buf := make([]byte, 256<<10)
	const overlap = 512
	for _, s := range o.segments {
		for at, end := int64(s.off), int64(s.off+s.filesz); at < end && left > 0 && len(found) < maxPaths; {
			n, _ := f.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if n == 0 {
				break
			}
			found = appendPaths(found, buf[:n])
			step := int64(n)
			if step > overlap && at+step < end {
				step -= overlap
			}
			at += step
			left -= step
		}
	}
	for _, p := range found {
		r.Problems = append(r.Problems, Problem{Severity: Note, Code: "workspace-path",
			Text: "it holds the path " + p + ", which exists on EAS and not everywhere else",
			Hint: "use ../../model, or the environment variable EAS_MODEL_DIR"})
	}
}

// appendPaths adds the strings in data that begin with a workspace's path.
func appendPaths(found []string, data []byte) []string {
	for _, w := range workspaces {
		for rest := data; len(found) < maxPaths; {
			i := bytes.Index(rest, []byte(w))
			if i < 0 {
				break
			}
			rest = rest[i:]
			end := bytes.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\'' })
			if end < 0 {
				end = len(rest)
			}
			path := string(rest[:min(end, 200)])
			if !slices.Contains(found, path) {
				found = append(found, path)
			}
			rest = rest[len(w):]
		}
	}
	return found
}
