package dockertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// BaseImage is the image that [Base] provides: Debian's smallest.
const BaseImage = "debian:12-slim"

// suite is the release of Debian that BaseImage holds.
const suite = "bookworm"

// Limits of what making the base image takes.
const (
	pullStart = 10 * time.Second // until a registry has named what it sends
	pullStall = time.Minute      // between two signs of life
	baseTime  = 8 * time.Minute  // all of it; another test program may be at it
)

// Base makes sure that the engine of [Host] has the image [BaseImage], and
// returns its name. It skips the test where the image is not there, cannot be
// pulled and cannot be made.
func Base(t testing.TB) string {
	t.Helper()
	Host(t)
	if err := based(); err != nil {
		t.Skipf("missing: the image %s (%v)", BaseImage, err)
	}
	return BaseImage
}

var based = sync.OnceValue(func() error {
	host, err := found()
	if err != nil {
		return err
	}
	return EnsureBase(context.Background(), host, io.Discard)
})

// EnsureBase makes sure that an engine has the image [BaseImage]: pulls it, or
// makes it from Debian's packages where no registry can be reached. What it
// does is told to log.
func EnsureBase(ctx context.Context, host string, log io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, baseTime)
	defer cancel()
	c, err := newClient(host)
	if err != nil {
		return err
	}
	defer c.close()
	if ok, err := c.haveImage(ctx, BaseImage); ok || err != nil {
		return err
	}
	unlock, err := lock(ctx, "base")
	if err != nil {
		return err
	}
	defer unlock()
	if ok, err := c.haveImage(ctx, BaseImage); ok || err != nil {
		return err
	}
	archive, err := baseArchive()
	if err != nil {
		return err
	}
	if _, err := os.Stat(archive); err != nil {
		fmt.Fprintf(log, "pulling %s\n", BaseImage)
		pullErr := c.pull(ctx, BaseImage, pullStart)
		if pullErr == nil {
			return nil
		}
		fmt.Fprintf(log, "making %s with debootstrap: %v\n", BaseImage, pullErr)
		if err := debootstrap(ctx, archive); err != nil {
			return fmt.Errorf("cannot be pulled: %w; cannot be made: %w", pullErr, err)
		}
	}
	return c.importImage(ctx, archive, BaseImage)
}

func (c *client) haveImage(ctx context.Context, name string) (bool, error) {
	err := c.do(ctx, http.MethodGet, "/images/"+name+"/json", nil, nil, nil)
	if isStatus(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// pull pulls an image. A registry that has not answered within a time is given
// up on.
func (c *client) pull(ctx context.Context, image string, within time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(within, func() { cancel(errors.New("no registry answers")) })
	defer stalled.Stop()
	name, tag, _ := strings.Cut(image, ":")
	err := func() error {
		stream, err := c.open(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {name}, "tag": {tag}}, nil)
		if err != nil {
			return err
		}
		defer stream.Close()
		return progress(stream, func(string) { stalled.Reset(pullStall) })
	}()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// importImage makes an image of a tar archive of a file system.
func (c *client) importImage(ctx context.Context, archive, image string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	name, tag, _ := strings.Cut(image, ":")
	stream, err := c.open(ctx, http.MethodPost, "/images/create", url.Values{
		"fromSrc": {"-"}, "repo": {name}, "tag": {tag}, "changes": {`CMD ["bash"]`},
	}, f)
	if err != nil {
		return err
	}
	defer stream.Close()
	return progress(stream, nil)
}

// BaseFiles returns a tar.gz archive of what is in the image [BaseImage], for
// tests that need its files and no engine. It skips the test where the archive
// is not there and cannot be made.
func BaseFiles(t testing.TB) string {
	t.Helper()
	archive, err := baseFiles()
	if err != nil {
		t.Skipf("missing: the files of %s (%v)", BaseImage, err)
	}
	return archive
}

var baseFiles = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), baseTime)
	defer cancel()
	unlock, err := lock(ctx, "base")
	if err != nil {
		return "", err
	}
	defer unlock()
	archive, err := baseArchive()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	return archive, debootstrap(ctx, archive)
})

// baseArchive returns where the file system of the base image is kept.
func baseArchive() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "debian-"+suite+"-"+runtime.GOARCH+".tar.gz"), nil
}

// debootstrap makes the file system of the base image and writes it to archive.
func debootstrap(ctx context.Context, archive string) error {
	if runtime.GOOS != "linux" {
		return errors.New("needs Linux")
	}
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	program, err := exec.LookPath("debootstrap")
	if err != nil {
		return errors.New("debootstrap is not installed")
	}
	dir, err := os.MkdirTemp("", "eascmd-test-base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "root")
	if err := command(ctx, program, "--variant=minbase", suite, root); err != nil {
		return err
	}
	// What the image of that name does not have either.
	for _, left := range []string{
		"var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/locale/*", "usr/share/man/*",
	} {
		paths, err := filepath.Glob(filepath.Join(root, left))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	// Written beside its place, so that it is there whole or not at all.
	unfinished := archive + ".new"
	defer os.Remove(unfinished)
	if err := command(ctx, "tar", "-C", root, "--numeric-owner", "--exclude=./dev/*", "-czf", unfinished, "."); err != nil {
		return err
	}
	return os.Rename(unfinished, archive)
}

// command runs a program whose last words are part of the error.
func command(ctx context.Context, name string, args ...string) error {
	var said tail
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, said.String())
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-500):]
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.text)) }

// CacheDir returns the directory that keeps what is slow to make.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "eascmd-test")
	return dir, os.MkdirAll(dir, 0o755)
}

// lock takes one of the locks that test programs share, and returns what gives
// it back. The kernel gives it back too, where the program is killed.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, name+".lock"))
	if _, err := l.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("wait for %s: %w", l.Path(), err)
	}
	return func() { l.Unlock() }, nil
}
