//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
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
