package dockertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildTime bounds a build of the program; the first in a fresh clone compiles
// everything, beside other test programs that do the same.
const buildTime = 10 * time.Minute

// Program returns the path of an eascmd as it is released, static and without
// the race detector, so that it runs in any Linux container of this machine's
// CPU. It is built for Linux on whatever system the test runs.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatalf("build eascmd: %v", err)
	}
	return path
}

// program builds once in a test program. All test programs build the same
// file, and others may be using it: it is replaced where it has changed, and
// otherwise keeps even its times, which the go command sets anew.
var program = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, "program")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another clone has another program.
	sum := sha256.Sum256([]byte(root))
	dir = filepath.Join(dir, "program-"+hex.EncodeToString(sum[:6]))
	built, path := filepath.Join(dir, "built"), filepath.Join(dir, "eascmd")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", built, "./cmd/eascmd")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, update(path, built)
})

// update makes file what source is, in one step, if it is not so yet.
func update(file, source string) error {
	want, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, want) {
		return nil
	}
	if err := os.WriteFile(file+".new", want, 0o755); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// moduleRoot returns the directory that go.mod lies in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("not inside the module")
	}
	return filepath.Dir(file), nil
}
