// Package dockertest gives tests a real Docker Engine, and skips them by the
// name of what is missing where there is none.
//
// The engine is one that runs on this machine already. `make test` starts one
// where none does, for as long as the tests take (see the command withengine),
// because `go test` runs many test programs at the same time and none of them
// may leave a daemon behind.
//
// A test that needs a daemon which shares no files with it, which may be
// killed, frozen or filled up, asks for one of its own with [Isolated].
//
// The package speaks the engine's HTTP API itself: only pkg/engine/docker
// imports Docker's client, and its tests import this package.
package dockertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// EnvHost is the variable by which `make test` tells the tests the address of
// the engine that it started. An empty one says nothing.
const EnvHost = "EASCMD_TEST_DOCKER"

// EnvMissing is the variable by which `make test` tells the tests why it has
// no engine for them.
const EnvMissing = "EASCMD_TEST_DOCKER_MISSING"

// answerTime is how long a daemon has to answer a ping. One that runs answers
// in milliseconds, a busy machine allowed for.
const answerTime = 10 * time.Second

// Host returns the address of a Docker Engine, such as
// unix:///var/run/docker.sock, or skips the test.
func Host(t testing.TB) string {
	t.Helper()
	host, err := found()
	if err != nil {
		t.Skipf("missing: a Docker Engine (%v)", err)
	}
	return host
}

// found looks once in a test program.
var found = sync.OnceValues(func() (string, error) {
	if why := os.Getenv(EnvMissing); why != "" {
		return "", errors.New(why)
	}
	return Find(context.Background())
})

// Find returns the address of an engine that answers. The error names each
// that was tried.
func Find(ctx context.Context) (string, error) {
	for _, name := range []string{EnvHost, "DOCKER_HOST"} {
		host := os.Getenv(name)
		if host == "" {
			continue
		}
		// It was asked for, so no other will do.
		if err := Answers(ctx, host); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		return host, nil
	}
	var errs []error
	for _, path := range sockets() {
		host := "unix://" + path
		err := Answers(ctx, host)
		if err == nil {
			return host, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// sockets returns the usual places of a daemon's socket that exist, or the
// first of them.
func sockets() []string {
	places := []string{"/var/run/docker.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		places = append(places, filepath.Join(dir, "docker.sock"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".docker", "run", "docker.sock"))
	}
	var there []string
	for _, path := range places {
		if _, err := os.Stat(path); err == nil {
			there = append(there, path)
		}
	}
	if len(there) == 0 {
		return places[:1]
	}
	return there
}

// Answers asks a daemon whether it runs Linux containers.
func Answers(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := newClient(host)
	if err != nil {
		return err
	}
	defer c.close()
	var info struct{ OSType string }
	if err := c.do(ctx, http.MethodGet, "/info", nil, nil, &info); err != nil {
		return fmt.Errorf("none answers at %s: %w", host, err)
	}
	if info.OSType != "linux" {
		return fmt.Errorf("the one at %s runs containers of %q, not of Linux", host, info.OSType)
	}
	return nil
}
