package s3server

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
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// program is the package of the server; test/versitygw/go.mod says which
// version of it.
const program = "github.com/versity/versitygw/cmd/versitygw"

// buildTime bounds a build. On two processors it takes a minute and a half, and
// what it is made of has to be downloaded first.
const buildTime = 6 * time.Minute

// built is the server's program. It is built once a process, and before that
// once a machine for each version of it.
var built = sync.OnceValues(build)

// Program returns the path of the server's program, for those who start it
// themselves. The first time on a machine it is built, which takes minutes. The
// working directory must be in the sources.
func Program() (string, error) { return built() }

// build returns the path of the server's program, from the cache where it is
// there. Processes that want it at the same time wait for one of them.
func build() (string, error) {
	module, err := findModule()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(module)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another process that builds it: %w", err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	unfinished := name + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-C", module, "-trimpath", "-ldflags=-s -w", "-o", unfinished, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", program, err, lastLine(out))
	}
	return name, os.Rename(unfinished, name)
}

// findModule returns the directory of the module that names the server's
// version, from a test's directory upwards.
func findModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		module := filepath.Join(dir, "test", "versitygw")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("test/versitygw is in no directory above this one")
		}
		dir = parent
	}
}

// cacheDir returns the directory for the server that this compiler makes of
// this version.
func cacheDir(module string) (string, error) {
	key := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		key.Write(data)
	}
	fmt.Fprintln(key, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "eascmd-test", "versitygw-"+hex.EncodeToString(key.Sum(nil)[:8])), nil
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(bytes.TrimSpace(out)))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
