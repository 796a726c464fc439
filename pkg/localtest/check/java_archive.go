package check

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// javaElement is a part of the class path: a jar or a directory of classes.
type javaElement struct {
	path string
	name string      // as messages call it
	jar  *zip.Reader // nil for a directory
	file *os.File
}

// openElement opens a part of the class path. Where it is none, it says what the
// file is, and what to do.
func openElement(path string) (e *javaElement, what, hint string) {
	const again = "build or copy it again"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("a file that cannot be read: %v", err), again
	case info.IsDir():
		return &javaElement{path: path}, "", ""
	case !info.Mode().IsRegular():
		return nil, "no regular file", again
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Sprintf("a file that cannot be read: %v", err), again
	}
	z, err := zip.NewReader(f, info.Size())
	if err == nil || errors.Is(err, zip.ErrInsecurePath) {
		return &javaElement{path: path, jar: z, file: f}, "", ""
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	switch what, hint = identify(head); {
	case n == 0:
		return nil, "an empty file", "build or copy it again: the step that wrote it did not finish"
	case bytes.HasPrefix(head, []byte("PK")):
		if errors.Is(err, zip.ErrFormat) {
			return nil, "the beginning of one: its table of contents, which is at the end, is missing or damaged", again
		}
		return nil, fmt.Sprintf("a damaged one: %v", err), again
	case bytes.HasPrefix(head, []byte("\xca\xfe\xba\xbe")):
		return nil, what, "a jar is made of classes with: jar --create --file processor.jar -C DIRECTORY ."
	case strings.Contains(what, "Git LFS"), strings.HasSuffix(what, "HTML page"), strings.HasSuffix(what, "XML document"):
		return nil, what, hint
	}
	return nil, what, again
}

func (e *javaElement) close() {
	if e.file != nil {
		e.file.Close()
	}
}

// javaEntry is a file of a part of the class path.
type javaEntry struct {
	element *javaElement
	name    string // with slashes, from the root of the element
	zipped  *zip.File
	path    string // in a directory
}

// find returns the entry with a name.
func (e *javaElement) find(name string) (javaEntry, bool) {
	if e.jar == nil {
		local := filepath.FromSlash(name)
		path := filepath.Join(e.path, local)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !filepath.IsLocal(local) {
			return javaEntry{}, false
		}
		return javaEntry{element: e, name: name, path: path}, true
	}
	for _, f := range e.jar.File {
		if f.Name == name {
			return javaEntry{element: e, name: name, zipped: f}, true
		}
	}
	return javaEntry{}, false
}

// entries yields the files of an element, those of a directory in the order of
// their names.
func (e *javaElement) entries() iter.Seq[javaEntry] {
	return func(yield func(javaEntry) bool) {
		if e.jar != nil {
			for _, f := range e.jar.File {
				if !yield(javaEntry{element: e, name: f.Name, zipped: f}) {
					return
				}
			}
			return
		}
		tops, err := os.ReadDir(e.path)
		if err != nil {
			return // what cannot be read is not there
		}
		count, more := 0, true
		for _, top := range tops {
			// In a workspace each of them is a link.
			path, err := filepath.EvalSymlinks(filepath.Join(e.path, top.Name()))
			if err != nil || strings.HasPrefix(top.Name(), ".") {
				continue
			}
			_ = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return nil
				case d.IsDir() && file != path && strings.HasPrefix(d.Name(), "."):
					return fs.SkipDir
				case d.IsDir():
					return nil
				}
				rel, err := filepath.Rel(path, file)
				name := filepath.ToSlash(filepath.Join(top.Name(), rel))
				if count++; err != nil || count > maxJavaFiles || !yield(javaEntry{element: e, name: name, path: filepath.Join(e.path, filepath.FromSlash(name))}) {
					more = false
					return fs.SkipAll
				}
				return nil
			})
			if !more {
				return
			}
		}
	}
}

// isClass reports whether an entry is the file of a class that programs name: not
// a description of a module or package, nor one for newer Javas alone.
func (f javaEntry) isClass() bool {
	name, ok := strings.CutSuffix(f.name, ".class")
	if !ok || strings.HasPrefix(name, "META-INF/") {
		return false
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	return name != "module-info" && name != "package-info"
}

// read returns what an entry holds.
func (f javaEntry) read() ([]byte, error) {
	var r io.ReadCloser
	var err error
	if f.zipped != nil {
		r, err = f.zipped.Open()
	} else {
		r, err = os.Open(f.path)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxClassFile+1))
	if err == nil && len(data) > maxClassFile {
		err = fmt.Errorf("it has more than %d MB", maxClassFile>>20)
	}
	return data, err
}

func (f javaEntry) parse() (*classfile.Class, error) {
	data, err := f.read()
	if err != nil {
		return nil, err
	}
	return classfile.Parse(data)
}

// sum stands for what an entry holds.
func (f javaEntry) sum() (crc uint32, size uint64) {
	if f.zipped != nil {
		return f.zipped.CRC32, f.zipped.UncompressedSize64
	}
	data, err := f.read()
	if err != nil {
		return 0, 0
	}
	return crc32.ChecksumIEEE(data), uint64(len(data))
}

// headReader reads the first bytes of many entries.
type headReader struct {
	inflate io.ReadCloser
	buf     [512]byte
}

// version reads for which Java an entry was compiled.
func (h *headReader) version(f javaEntry) (classfile.Version, error) {
	if f.zipped == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return classfile.Version{}, err
		}
		defer file.Close()
		n, _ := file.ReadAt(h.buf[:classfile.Header], 0)
		return classfile.ReadVersion(h.buf[:n])
	}
	at, err := f.zipped.DataOffset()
	if err != nil {
		return classfile.Version{}, err
	}
	// The first bytes are there after little of the compressed data. A reader that
	// is given no more does not inflate what is not looked at.
	n, _ := f.element.file.ReadAt(h.buf[:min(uint64(len(h.buf)), f.zipped.CompressedSize64)], at)
	data := h.buf[:n]
	if f.zipped.Method == zip.Deflate {
		source := bytes.NewReader(data)
		if h.inflate == nil {
			h.inflate = flate.NewReader(source)
		} else if err := h.inflate.(flate.Resetter).Reset(source, nil); err != nil {
			return classfile.Version{}, err
		}
		var head [classfile.Header]byte
		n, _ := io.ReadFull(h.inflate, head[:])
		return classfile.ReadVersion(head[:n])
	}
	return classfile.ReadVersion(data)
}
