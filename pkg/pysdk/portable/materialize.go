package portable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
)

// Materialize writes a tree to a directory, which is made where it is missing,
// several files at the same time. A file that is there already is an error, and
// stays. Where the file system can, contents are shared with the environment
// that the tree was made from; hard links stay links. progress, which may be
// nil, is told how many bytes are written of how many, by one goroutine at a
// time. After an error what was written is left for the caller to remove.
func Materialize(ctx context.Context, t *Tree, dir string, progress func(done, total int64)) error {
	m := &materializer{dir: dir, progress: progress, first: map[string]string{}}
	for _, e := range t.Entries {
		m.total += e.Size
	}
	if err := m.run(ctx, t.Entries); err != nil {
		if ctx.Err() != nil {
			return fault.New(fault.Interrupted, "write %s: %w", dir, context.Cause(ctx))
		}
		return fault.New(fault.Failed, "write %s: %w", dir, err)
	}
	return nil
}

type materializer struct {
	dir      string
	progress func(done, total int64)
	total    int64

	mu    sync.Mutex
	done  int64
	first map[string]string // of files with several names: the first, by what they share
}

func (m *materializer) run(ctx context.Context, entries []pack.Entry) error {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	var later []pack.Entry // what needs files to be there
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	for _, e := range entries {
		if groupCtx.Err() != nil {
			break
		}
		if !filepath.IsLocal(e.Name) {
			group.Go(func() error { return fmt.Errorf("%q leads out of it", e.Name) })
			break
		}
		path := filepath.Join(m.dir, filepath.FromSlash(e.Name))
		switch {
		case e.Mode.IsDir():
			if err := os.Mkdir(path, e.Mode.Perm()|0o700); err != nil && !errors.Is(err, os.ErrExist) {
				group.Go(func() error { return err })
			}
		case e.Mode&os.ModeSymlink != 0:
			later = append(later, e)
		case e.Same != "" && m.first[e.Same] != "":
			later = append(later, e)
		default:
			if e.Same != "" {
				m.first[e.Same] = path
			}
			group.Go(func() error { return m.write(groupCtx, path, e) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, e := range later {
		path := filepath.Join(m.dir, filepath.FromSlash(e.Name))
		if e.Mode&os.ModeSymlink != 0 {
			if err := os.Symlink(e.Link, path); err != nil {
				return err
			}
			continue
		}
		if err := os.Link(m.first[e.Same], path); err != nil {
			// Not every file system has hard links.
			if err := m.write(ctx, path, e); err != nil {
				return err
			}
			continue
		}
		m.wrote(e.Size)
	}
	return ctx.Err()
}

// write writes one file. The kernel copies, or shares, what is read from a file
// as it is.
func (m *materializer) write(ctx context.Context, path string, e pack.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.Mode.Perm())
	if err != nil {
		return errors.Join(err, r.Close())
	}
	n, err := io.Copy(f, r)
	err = errors.Join(err, r.Close(), f.Close())
	if err == nil && n != e.Size {
		err = fmt.Errorf("%s has %d bytes, not the %d that it had before", e.Name, n, e.Size)
	}
	if err != nil {
		return err
	}
	m.wrote(n)
	return nil
}

func (m *materializer) wrote(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
}
