//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func startChild(t *testing.T, ctx context.Context, stdout io.Writer, argv ...string) *child {
	t.Helper()
	c, err := start(ctx, filepath.Join(t.TempDir(), "log"), nil, stdout, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.done
	})
	return c
}

func TestChildEnds(t *testing.T) {
	t.Run("with its standard input", func(t *testing.T) {
		if err := startChild(t, t.Context(), nil, "cat").end(0); err != nil {
			t.Error(err)
		}
	})
	t.Run("on a signal", func(t *testing.T) {
		out, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		c := startChild(t, t.Context(), w, "sh", "-c", "trap 'exit 0' TERM; echo ready; read line")
		w.Close()
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		children, err := childrenOf(os.Getpid())
		if err != nil || !slices.Contains(children, c.pid()) {
			t.Errorf("children %v, %v; want %d among them", children, err, c.pid())
		}
		if err := c.end(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	t.Run("of a signal", func(t *testing.T) {
		if err := startChild(t, t.Context(), nil, "cat").end(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		c := startChild(t, t.Context(), nil, "sh", "-c", "kill -KILL $$")
		<-c.done
		if err := c.end(syscall.SIGTERM); err == nil {
			t.Error("killed by another signal, and no error")
		}
	})
	t.Run("and says why", func(t *testing.T) {
		err := startChild(t, t.Context(), nil, "sh", "-c", "echo no such port >&2; exit 3").end(0)
		if err == nil || !strings.Contains(err.Error(), "no such port") || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("error %v, want its status and its last words", err)
		}
	})
	t.Run("when all is cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := startChild(t, ctx, nil, "cat")
		cancel()
		<-c.done
		if c.err == nil {
			t.Error("it ended as if by itself")
		}
	})
}

func TestOutput(t *testing.T) {
	out, err := output(t.Context(), "", nil, "sh", "-c", "echo answer; echo talk >&2")
	if err != nil || string(out) != "answer\n" {
		t.Errorf("%q, %v", out, err)
	}
	_, err = output(t.Context(), "", nil, "sh", "-c", "echo what failed >&2; exit 1")
	if err == nil || !strings.Contains(err.Error(), "what failed") {
		t.Errorf("error %v, want what the program said", err)
	}
}
