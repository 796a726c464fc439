//go:build unix

package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/runplan"
)

// TestMain lets the test's own executable be the eascmd that the engine starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2:]))
	}
	// The race detector lets every program linger for a second.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	goleak.VerifyTestMain(m)
}

func serve(args []string) int {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	flags.String("events", "", "")
	flags.Bool("lifeline", false, "")
	dir := flags.String("runtime-dir", "", "")
	fd := flags.Int("plan-fd", -1, "")
	root := flags.String("private-root", "", "")
	flags.Parse(args)
	if *root != "" {
		if err := EnterPrivateRoot(*root); err != nil {
			return 1
		}
	}
	child.SealDescriptors()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	plan, err := runplan.Read(os.NewFile(uintptr(*fd), "plan"))
	if err == nil {
		err = child.Run(ctx, plan, child.Options{Emit: child.Writer(os.Stdout), Lifeline: os.Stdin, RuntimeDir: *dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// base makes the directory that all state of a test goes to, and a function
// that lists what is left of it: directories, processes, control groups.
func base(t *testing.T) func(*testing.T) []string {
	dir, err := os.MkdirTemp("/tmp", "eng")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return func(t *testing.T) []string {
		left, err := filepath.Glob(filepath.Join(dir, "eascmd", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return append(left, processesWith(t, "XDG_RUNTIME_DIR="+dir)...)
	}
}

// processesWith lists the processes, other than this one, that have a
// variable in their environment.
func processesWith(t *testing.T, variable string) []string {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range environments {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(text), "\x00"+variable+"\x00") {
			continue
		}
		if pid := filepath.Base(filepath.Dir(path)); pid != fmt.Sprint(os.Getpid()) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, "process "+pid+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

func noGroups(t *testing.T) string {
	dir, err := cgroup.Create(fmt.Sprintf("eascmd-probe-%d", os.Getpid()), 64<<20, nil)
	if err != nil {
		return err.Error()
	}
	if err := cgroup.Remove(dir); err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestConformance(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("ShareRoot=%v", shared), func(t *testing.T) {
			noPaths := ""
			if shared {
				noPaths = "left out"
			} else if err := tryPrivateRoot(t); err != nil {
				noPaths = err.Error()
			}
			enginetest.Run(t, enginetest.Suite{
				New: func(t *testing.T) engine.Engine {
					return New(Options{ShareRoot: shared, WithoutPrivateRoot: func(err error) {
						if noPaths == "" {
							t.Errorf("no private root: %v", err)
						}
					}})
				},
				Kill: func(t *testing.T, r engine.Run) {
					if err := r.(*run).cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				},
				Leftovers:      base(t),
				WorkspacePaths: noPaths,
				MemoryLimit:    noGroups(t),
			})
		})
	}
}

// tryPrivateRoot says why no private root can be made here.
func tryPrivateRoot(t *testing.T) error {
	if runtime.GOOS != "linux" {
		return errors.New("Linux")
	}
	base(t)
	c := newCommand(t.Context(), os.Args[0], []string{"serve", "--plan-fd", "3"}, &runplan.Plan{}, nil)
	err := c.startPrivate(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "root"))
	c.abandon()
	return err
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"[::1]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80", "host:80": "host:80",
	} {
		if got := reachable(address); got != want {
			t.Errorf("reachable(%q) = %q, want %q", address, got, want)
		}
	}
}
