// Command picture makes docs/images/test.svg, the picture of a terminal in
// README.md, from a real run: it writes a project with `eascmd init`, builds
// it, keeps `eascmd test` running on a pseudo-terminal, sends it a request with
// curl, and draws what was to be seen. Run it as `make picture`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	output, err := filepath.Abs("docs/images/test.svg")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "picture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	t := terminal{dir: dir, env: append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TERM=xterm", "CI=", "NO_COLOR=",
		"MAKEFLAGS=", "MAKELEVEL=")} // of the make that started us
	for _, step := range []func() error{
		func() error { return t.command(ctx, "eascmd init cpp ./scorer") },
		func() error { return t.command(ctx, "cd scorer && make") },
		func() error { return t.serve(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	if err := t.screen.render(f, "eascmd test running a C++ processor"); err != nil {
		return err
	}
	return f.Close()
}

// terminal runs commands and remembers what they printed.
type terminal struct {
	dir    string
	env    []string
	mu     sync.Mutex
	screen screen
	text   strings.Builder
	closed bool // nothing is shown any more
}

func (t *terminal) show(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.screen.write(text)
		t.text.WriteString(text)
	}
}

func (t *terminal) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

func (t *terminal) seen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func (t *terminal) prompt(command string) {
	if t.screen.col > 0 {
		t.show("\n")
	}
	t.show("\x1b[34m$\x1b[0m \x1b[1m" + command + "\x1b[0m\n")
}

// command shows a command and runs it to its end.
func (t *terminal) command(ctx context.Context, command string) error {
	t.prompt(command)
	wait, _, err := t.start(ctx, command)
	if err != nil {
		return err
	}
	if err := wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, t.seen())
	}
	if rest, ok := strings.CutPrefix(command, "cd "); ok {
		sub, _, _ := strings.Cut(rest, " ")
		t.dir = filepath.Join(t.dir, sub)
	}
	return nil
}

// start runs a command on a pseudo-terminal of its own. wait waits for its end.
func (t *terminal) start(ctx context.Context, command string) (wait func() error, cmd *exec.Cmd, err error) {
	cmd = exec.CommandContext(ctx, "bash", "-c", "exec 2>&1; "+command)
	cmd.Dir, cmd.Env = t.dir, t.env
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 110})
	if err != nil {
		return nil, nil, err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			t.show(string(buf[:n]))
			if err != nil {
				return // EIO: the other end is closed
			}
		}
	}()
	return func() error {
		<-copied
		tty.Close()
		return cmd.Wait()
	}, cmd, nil
}

var (
	endpoint = regexp.MustCompile(`http://\S+/api/predict/scorer`)
	token    = regexp.MustCompile(`Token\s*\|\s*(\S+)`)
)

// serve runs eascmd test, sends it a request once it is ready, and ends it.
func (t *terminal) serve(ctx context.Context) error {
	t.prompt("eascmd test service.json")
	wait, cmd, err := t.start(ctx, "exec eascmd test service.json")
	if err != nil {
		return err
	}
	ready := func() bool { return strings.Contains(t.seen(), "end it: ") }
	for deadline := time.Now().Add(time.Minute); !ready(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			return errors.New("eascmd test is not ready after a minute:\n" + t.seen())
		}
	}
	url, key := endpoint.FindString(t.seen()), token.FindStringSubmatch(t.seen())
	if url == "" || key == nil {
		cmd.Process.Kill()
		return errors.New("no endpoint or token in the output:\n" + t.seen())
	}
	t.show("\n\x1b[2m# in a second terminal\x1b[0m\n")
	request := fmt.Sprintf("curl %s -H 'Authorization: %s' -d '1 2 3'", url, key[1])
	if err := t.command(ctx, request); err != nil {
		cmd.Process.Kill()
		return err
	}
	t.close() // what is said at the end is not in the picture
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	wait()
	return ctx.Err()
}
