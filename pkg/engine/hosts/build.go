package hosts

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/workers"
)

// buildPrefix begins the names of builds that go on, or that were killed.
const buildPrefix = ".building-"

// buildCPP builds the C host at path, a file in dir. The file appears whole: a
// build that breaks off leaves nothing under that name, and of two at the same
// time the later wins with the same content.
func buildCPP(ctx context.Context, dir, path string, log func(string)) error {
	compiler, err := findCompiler(os.Getenv("CC"), exec.LookPath)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cannotKeep("the host", err)
	}
	removeAbandoned(dir, time.Now().Add(-time.Hour))
	file, err := os.CreateTemp(dir, buildPrefix)
	if err != nil {
		return cannotKeep("the host", err)
	}
	defer os.Remove(file.Name())
	file.Close()

	if log != nil {
		log("building the host for C and C++ processors with " + strings.Join(compiler, " ") + ", once")
	}
	if err := compile(ctx, compiler, cppFlags, file.Name()); err != nil {
		return err
	}
	if err := os.Chmod(file.Name(), 0o755); err != nil {
		return fault.New(fault.Failed, "the host cannot be kept: %w", err)
	}
	if err := tryOut(ctx, compiler[0], file.Name()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fault.New(fault.Failed, "the host cannot be kept: %w", err)
	}
	return nil
}

// Release builds the C host for a release at path, with the compiler for the
// platform that it is named for by CPPName. It is not run: the platform may be
// another one.
func Release(ctx context.Context, compiler, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fault.New(fault.Failed, "make room for the host: %w", err)
	}
	command, err := findCompiler(compiler, exec.LookPath)
	if err != nil {
		return err
	}
	return compile(ctx, command, cppFlags, path)
}

var errNoCompiler = errors.New("no C compiler (cc, gcc, clang), which the host of C and C++ processors is built with")

// findCompiler returns the command of the C compiler: $CC, which may carry
// arguments, else the first of the usual names that is there.
func findCompiler(cc string, look func(string) (string, error)) ([]string, error) {
	if command := strings.Fields(cc); len(command) > 0 {
		if _, err := look(command[0]); err != nil {
			return nil, fault.New(fault.Missing, "the C compiler that $CC names cannot be run: %w", err).
				WithHint("correct CC, or unset it to use cc, gcc or clang")
		}
		return command, nil
	}
	for _, name := range [...]string{"cc", "gcc", "clang"} {
		if path, err := look(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, fault.New(fault.Missing, "%w", errNoCompiler).
		WithHint("install one (apt-get install gcc libc6-dev, dnf install gcc, apk add gcc musl-dev), or set CC to one")
}

// compile builds the C host from its embedded source.
func compile(ctx context.Context, compiler, flags []string, output string) error {
	args := append(append([]string{}, compiler[1:]...), flags...)
	args = append(args, "-o", output, "-x", "c", "-", "-ldl")
	cmd := exec.CommandContext(ctx, compiler[0], args...)
	cmd.WaitDelay = time.Second // for programs that the compiler has started
	cmd.Stdin = strings.NewReader(workers.CPPHost)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if ctx.Err() != nil {
		return fault.New(fault.Interrupted, "building the host was interrupted: %w", context.Cause(ctx))
	}
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(said.String())
	failed := fault.New(fault.Failed, "the host for C and C++ processors does not build with %s: %w\n%s", compiler[0], err, text)
	if _, ok := errors.AsType[*exec.ExitError](err); ok && strings.Contains(text, ".h: No such file") {
		failed.Kind = fault.Missing
		return failed.WithHint("install the C library's headers (apt-get install libc6-dev, dnf install glibc-devel, apk add musl-dev linux-headers)")
	}
	return failed.WithHint("set CC to gcc or clang")
}

// tryOut runs a fresh build once: what a compiler for another machine has made,
// or one that is none, is not to stay in the cache.
func tryOut(ctx context.Context, compiler, program string) error {
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Interrupted, "building the host was interrupted: %w", context.Cause(ctx))
	case errors.Is(err, os.ErrPermission):
		return fault.New(fault.Missing, "the host for C and C++ processors cannot be run where it is kept: %w", err).
			WithHint("set XDG_CACHE_HOME to a directory whose file system is not mounted noexec")
	}
	return fault.New(fault.Failed, "the host that %s built does not run here: %w", compiler, err).
		WithHint("set CC to a gcc or clang that builds for this machine")
}

// removeAbandoned removes what killed builds left in dir.
func removeAbandoned(dir string, before time.Time) {
	names, err := filepath.Glob(filepath.Join(dir, buildPrefix+"*"))
	if err != nil {
		return
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.ModTime().Before(before) {
			os.RemoveAll(name)
		}
	}
}
