package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2/maybe"

	"github.com/openeas/eascmd/internal/fault"
)

// place is a directory of the cache for one source on this machine:
//
//	lock        held while the source is published
//	state.json  see state
//	*.tar.gz    the package that was made of it last
type place struct {
	dir    string
	state  state
	unlock func()
}

// state is what is known of a source. It only saves work: without it all is
// done again, to the same end.
type state struct {
	Version int `json:"version"`

	// Sums are the SHA-256 of the source's files when they were last read, by
	// their path.
	Sums map[string]fileSum `json:"sums"`

	Package  *madePackage `json:"package,omitempty"`
	Warnings []Warning    `json:"warnings,omitempty"` // of making it

	// Checked is of what was checked last, and of the rules.
	Checked string `json:"checked,omitempty"`
}

const stateVersion = 1

// madePackage is a package that was made of the source.
type madePackage struct {
	Of      string    `json:"of"` // fingerprint of the source
	File    string    `json:"file"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"` // of the package, to see that nobody changed it
	SHA256  string    `json:"sha256"`
}

// fileSum is what a file was when it was read.
type fileSum struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"modTime"` // nanoseconds
	Stamp   string `json:"stamp"`   // see stampOf
	SHA256  string `json:"sha256"`
}

// openPlace opens the place of a source, when no other process has it open any
// more. waiting is called if that takes a while.
func openPlace(ctx context.Context, cacheDir, field, path string, waiting func()) (*place, error) {
	id := sha256.Sum256([]byte(field + "\x00" + path))
	dir, err := filepath.Abs(filepath.Join(cacheDir, "sources", hex.EncodeToString(id[:])[:32]))
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, diskError(cacheDir, err)
	}
	l := flock.New(filepath.Join(dir, "lock"))
	got, err := l.TryLock()
	if err == nil && !got {
		waiting()
		_, err = l.TryLockContext(ctx, 50*time.Millisecond)
	}
	if err != nil {
		l.Close()
		return nil, fault.New(fault.Failed, "lock %s: %w", dir, err)
	}
	pl := &place{dir: dir, unlock: func() { l.Close() }}
	data, err := os.ReadFile(pl.stateFile())
	if err != nil || json.Unmarshal(data, &pl.state) != nil || pl.state.Version != stateVersion {
		pl.state = state{Version: stateVersion}
	}
	if pl.state.Sums == nil {
		pl.state.Sums = map[string]fileSum{}
	}
	return pl, nil
}

// unused is how long a source's place is kept after it was published last.
const unused = 30 * 24 * time.Hour

// prune removes the places of sources that nobody has published for long, with
// their packages. What cannot be removed stays.
func prune(cacheDir string) {
	states, err := filepath.Glob(filepath.Join(cacheDir, "sources", "*", "state.json"))
	if err != nil {
		return
	}
	for _, file := range states {
		info, err := os.Stat(file)
		if err != nil || time.Since(info.ModTime()) < unused {
			continue
		}
		l := flock.New(filepath.Join(filepath.Dir(file), "lock"))
		if got, err := l.TryLock(); got && err == nil {
			_ = os.RemoveAll(filepath.Dir(file))
		}
		l.Close()
	}
}

func (pl *place) stateFile() string { return filepath.Join(pl.dir, "state.json") }

// save keeps the state.
func (pl *place) save() error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(pl.state); err != nil {
		return fault.New(fault.Failed, "write the cache: %w", err)
	}
	if err := maybe.WriteFile(pl.stateFile(), b.Bytes(), 0o600); err != nil {
		return diskError(pl.dir, err)
	}
	return nil
}

// diskError is the error of writing something into the cache, at dir.
func diskError(dir string, err error) error {
	f := fault.New(fault.Missing, "write the cache: %w", err)
	if isFull(err) {
		return f.WithHint("make room on the disk of %s, or set XDG_CACHE_HOME to a directory with room", dir)
	}
	return f.WithHint("set XDG_CACHE_HOME to a directory that you may write to")
}

// isFull reports that there is no room on a disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// unsettled is how old a change of a file has to be for its times to tell that
// it has not changed since: clocks of file systems are coarse.
const unsettled = 2 * time.Second

// sumFile returns the SHA-256 of a file, which is only read where it may have
// changed since it was read last.
func (pl *place) sumFile(ctx context.Context, path string) (string, error) {
	sum, err := pl.sum(ctx, path)
	if err != nil {
		return "", err
	}
	delete(pl.state.Sums, path)
	if sum.Stamp != "" {
		pl.state.Sums[path] = sum
	}
	return sum.SHA256, nil
}

// sum is sumFile without noting what it found. The Stamp is empty where that
// would not tell, the next time, whether the file is still the same.
func (pl *place) sum(ctx context.Context, path string) (fileSum, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileSum{}, fault.New(fault.Failed, "read the source: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileSum{}, fault.New(fault.Failed, "read the source: %w", err)
	}
	stamp, changed := stampOf(info)
	now := fileSum{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Stamp: stamp}
	before, ok := pl.state.Sums[path]
	if now.SHA256 = before.SHA256; ok && stamp != "" && now == before {
		return now, nil
	}
	read := time.Now()
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx, f}); err != nil {
		return fileSum{}, fault.New(fault.Failed, "read the source: %w", err)
	}
	now.SHA256 = hex.EncodeToString(h.Sum(nil))
	if read.Sub(changed) < unsettled {
		now.Stamp = ""
	}
	return now, nil
}

// contextReader ends when a context does.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// packageOf returns the package that was made of the source, if it is still what
// it was and the source, too.
func (pl *place) packageOf(fingerprint string) *madePackage {
	m := pl.state.Package
	if m == nil || m.Of != fingerprint || m.File != filepath.Base(m.File) {
		return nil
	}
	file := filepath.Join(pl.dir, m.File)
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.Size {
		return nil
	}
	if !info.ModTime().Equal(m.ModTime) {
		// Restored from a backup or tampered with: only its content tells.
		f, err := os.Open(file)
		if err != nil {
			return nil
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil || hex.EncodeToString(h.Sum(nil)) != m.SHA256 {
			return nil
		}
	}
	return m
}

// keep notes the package that was made of the source, and removes an earlier one.
func (pl *place) keep(m *madePackage, warnings []Warning) error {
	info, err := os.Stat(filepath.Join(pl.dir, m.File))
	if err != nil {
		return diskError(pl.dir, err)
	}
	m.Size, m.ModTime = info.Size(), info.ModTime()
	pl.state.Package, pl.state.Warnings = m, warnings
	entries, err := os.ReadDir(pl.dir)
	if err != nil {
		return diskError(pl.dir, err)
	}
	for _, e := range entries {
		switch e.Name() {
		case m.File, "lock", filepath.Base(pl.stateFile()):
		default:
			// What stays takes room and does no harm.
			_ = os.RemoveAll(filepath.Join(pl.dir, e.Name()))
		}
	}
	return pl.save()
}

// temporary makes a directory that is removed with the place's other leftovers,
// whatever ends the program.
func (pl *place) temporary() (string, error) {
	dir, err := os.MkdirTemp(pl.dir, "tmp-*")
	if err != nil {
		return "", diskError(pl.dir, err)
	}
	return dir, nil
}

// describe writes what tells a file from another one for a fingerprint.
func describe(w io.Writer, name string, mode fs.FileMode, content string) {
	fmt.Fprintf(w, "%q %s %v %s\n", name, mode.Type(), mode.Perm()&0o111 != 0, content)
}
