//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skipf("missing: FIFOs (%v)", err)
	}
	return path
}

func TestDescriptionIsNoFIFO(t *testing.T) {
	emptyHome(t)
	path := fifo(t)
	want := outcome{"", "eascmd: error: read service description: " + path + " is a pipe or a device\n" +
		"eascmd: hint: write the description to a file: paths in it may start at its directory\n", int(fault.Description)}
	if got := runMain(t, "", "test", path); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBodyFromFIFO(t *testing.T) {
	path := fifo(t)
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		io.WriteString(w, "body")
	}()
	body, err := openBody(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); string(text) != "body" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestInterruptedWaitForFIFO(t *testing.T) {
	path := fifo(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := openBody(ctx, path)
		ended <- err
	}()
	// It waits for a writer; when it does not, there is an error at once.
	cancel()
	select {
	case err := <-ended:
		if err == nil || ctx.Err() == nil {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it still waits")
	}
	// Lets the open that was given up come to its end.
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

// TestInterruptedReading is about commands that wait for input that does not come.
func TestInterruptedReading(t *testing.T) {
	path := fifo(t)
	w, err := os.OpenFile(path, os.O_RDWR, 0) // what is read from it waits
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, read := range map[string]func(context.Context) error{
		"a file":         func(ctx context.Context) error { _, err := readSmall(ctx, path); return err },
		"standard input": func(ctx context.Context) error { _, err := readWaiting(ctx, w); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- read(ctx) }()
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s is still read", name)
		}
	}
}

func TestInvokeFIFO(t *testing.T) {
	emptyHome(t)
	got := runMain(t, "", "invoke", "http://127.0.0.1:1/", "-d", "@"+fifo(t))
	if got.status != int(fault.Usage) || !strings.Contains(got.stderr, "it is no regular file") {
		t.Errorf("%+v", got)
	}
}

func TestEndlessFile(t *testing.T) {
	if _, err := readSmall(t.Context(), "/dev/zero"); fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}
