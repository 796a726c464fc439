//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/pkg/runplan"
)

//go:embed testdata
var testdata embed.FS

// peers are the programs that are measured against, or with, and the Debian
// packages that they come from.
var peers = []struct{ program, debian string }{
	{"nginx", "nginx-light"},
	{"wrk", "wrk"},
	{"valgrind", "valgrind"},
	{"pigz", "pigz"},
}

// findProgram looks for a program on PATH and where distributions put servers,
// which is not on everybody's PATH.
func findProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range [...]string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// findPeers finds the peers, says how to get those that are missing, and
// installs them where that was asked for.
func (b *bench) findPeers(ctx context.Context) error {
	look := func() (missing, packages []string) {
		b.programs = make(map[string]string)
		for _, p := range peers {
			if path := findProgram(p.program); path != "" {
				b.programs[p.program] = path
				continue
			}
			missing = append(missing, p.program)
			packages = append(packages, p.debian)
		}
		return missing, packages
	}
	missing, packages := look()
	if len(missing) == 0 {
		return nil
	}
	if !b.install {
		b.say("missing: %s; get it with: apt-get install %s (or run with --install, as root)",
			strings.Join(missing, ", "), strings.Join(packages, " "))
		return nil
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("--install needs root; missing: %s", strings.Join(missing, ", "))
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("--install needs apt-get; missing: %s", strings.Join(missing, ", "))
	}
	b.say("installing %s", strings.Join(packages, ", "))
	// In run level 1 the package does not start a server of its own.
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if _, err := output(ctx, "", env, apt, "update", "-q"); err != nil {
		b.say("%v", err) // what is known of the packages may do
	}
	install := append([]string{apt, "install", "-q", "-y", "--no-install-recommends"}, packages...)
	if _, err := output(ctx, "", env, install...); err != nil {
		return err
	}
	if missing, _ := look(); len(missing) > 0 {
		return fmt.Errorf("installed, but still not found: %s", strings.Join(missing, ", "))
	}
	return nil
}

// path is a file of this run.
func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// build compiles eascmd, lays out what is measured and makes the directories of
// the run.
func (b *bench) build(ctx context.Context) error {
	out, err := output(ctx, "", nil, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	b.module = strings.TrimSpace(string(out))
	if b.eascmd == "" {
		b.say("building eascmd as releases are built")
		b.eascmd = b.path("eascmd")
		env := append(os.Environ(), "CGO_ENABLED=0")
		_, err := output(ctx, b.module, env, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", b.eascmd, "./cmd/eascmd")
		if err != nil {
			return err
		}
	}
	if b.eascmd, err = filepath.Abs(b.eascmd); err != nil {
		return err
	}
	info, err := os.Stat(b.eascmd)
	if err != nil {
		return err
	}
	b.figures.ProgramBytes = info.Size()
	if b.cache == "" {
		b.cache = filepath.Join(b.module, ".cache", "bench")
	}
	if b.cache, err = filepath.Abs(b.cache); err != nil {
		return err
	}
	for _, dir := range [...]string{"home", "cache", "tmp"} {
		if err := os.Mkdir(b.path(dir), 0o700); err != nil {
			return err
		}
	}
	return os.CopyFS(b.dir, testdata)
}

// buildProcessor compiles the C++ processor, and what it is compared with.
func (b *bench) buildProcessor(ctx context.Context) error {
	cxx := compiler("CXX", "g++", "c++")
	if cxx == "" {
		return errors.New("a C++ compiler is needed: apt-get install g++")
	}
	if err := os.Mkdir(b.path("testdata", "lib"), 0o700); err != nil {
		return err
	}
	_, err := output(ctx, b.path("testdata"), nil, cxx, "-O2", "-fPIC", "-shared", "-o", "lib/libecho.so", "echo.cc")
	if err != nil {
		return err
	}
	return b.buildEmpty(ctx)
}

// buildEmpty compiles a program that does nothing.
func (b *bench) buildEmpty(ctx context.Context) error {
	cc := compiler("CC", "gcc", "cc")
	if cc == "" {
		return errors.New("a C compiler is needed: apt-get install gcc")
	}
	if _, err := output(ctx, b.path("testdata"), nil, cc, "-O2", "-o", "empty", "empty.c"); err != nil {
		return err
	}
	// For containers, whose image need not have this machine's C library.
	_, err := output(ctx, b.path("testdata"), nil, cc, "-O2", "-static", "-o", "empty-static", "empty.c")
	return err
}

func compiler(variable string, names ...string) string {
	for _, name := range append([]string{os.Getenv(variable)}, names...) {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// environment is that of everything that is measured: this user's, but with
// caches and settings of the run's own, so that neither side sees the other's.
func (b *bench) environment(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "EASCMD_") || strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "PYTHON") ||
			name == "VIRTUAL_ENV" || name == "CONDA_PREFIX" ||
			strings.HasPrefix(name, "JAVA_") || name == "CLASSPATH" || name == "JDK_JAVA_OPTIONS" || name == "_JAVA_OPTIONS"
	})
	env = append(env, "HOME="+b.path("home"), "XDG_CACHE_HOME="+b.path("cache"), "TMPDIR="+b.path("tmp"))
	return append(env, extra...)
}

func (b *bench) testCommand(args ...string) []string {
	return append([]string{b.eascmd, "test", b.path("testdata", "service.json")}, args...)
}

// makePlan has `eascmd test` make the run plan and checks that a request is
// answered; both build the host.
func (b *bench) makePlan(ctx context.Context) error {
	var err error
	b.plan, err = b.planOf(ctx, b.path("testdata", "service.json"), b.environment())
	return err
}

// planOf returns the run plan that `eascmd test` makes of a description.
func (b *bench) planOf(ctx context.Context, description string, env []string) (*runplan.Plan, error) {
	text, err := output(ctx, b.dir, env, b.eascmd, "test", description, "--keep", "--print-plan")
	if err != nil {
		return nil, err
	}
	plan, err := runplan.Read(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	// As every service has one; it is no secret here.
	plan.Gateway.Token = token
	answer, err := output(ctx, b.dir, env, b.eascmd, "test", description, "--data", firstBody)
	if err != nil {
		return nil, err
	}
	if string(answer) != firstBody {
		return nil, fmt.Errorf("eascmd test answered %q in place of %q", answer, firstBody)
	}
	return plan, nil
}

// writePlan writes a run plan and returns its path.
func (b *bench) writePlan(name string, plan *runplan.Plan) (string, error) {
	f, err := os.OpenFile(b.path(name+".plan.json"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(plan.Write(f), f.Close())
}
