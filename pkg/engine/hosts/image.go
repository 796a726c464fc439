package hosts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// failure is why a host cannot be used where it was found.
type failure struct {
	path string
	err  error
}

// tryTime bounds how long a host may take to say its version.
const tryTime = 10 * time.Second

// tried returns the first host that runs, of those in dirs and the one at last,
// which may be "". It also says why others do not.
func tried(ctx context.Context, name string, dirs []string, last string) (path string, failures []failure) {
	var candidates []string
	for _, dir := range dirs {
		if path := filepath.Join(dir, name); isProgram(path) {
			candidates = append(candidates, path)
		}
	}
	if last != "" {
		candidates = append(candidates, last)
	}
	for _, path := range candidates {
		err := saysVersion(ctx, path)
		if err == nil {
			return path, nil
		}
		failures = append(failures, failure{path, err})
	}
	return "", failures
}

// saysVersion runs a host for its version. The error is what kept it from that,
// in the words of the dynamic loader where it has some.
func saysVersion(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.WaitDelay = time.Second
	var said strings.Builder
	cmd.Stderr = &said
	err := cmd.Run()
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		first, _, _ := strings.Cut(text, "\n")
		return fmt.Errorf("%w: %s", err, first)
	}
	return err
}

// explainImage says of an image why it has no host: what keeps those that were
// found from running, beside why none was built.
func explainImage(err error, dirs []string, failures []failure) error {
	if len(dirs) == 0 || fault.KindOf(err) != fault.Missing {
		return err
	}
	why := "has no host for C and C++ processors"
	if len(failures) > 0 {
		why = failures[0].why()
	}
	explained := fault.New(fault.Missing, "the image %s, and none was built in it: %w", why, err)
	if !errors.Is(err, errNoCompiler) {
		return explained
	}
	return explained.WithHint("name the image with --base-image instead of --image, so that one is built on it that has what is needed, " +
		"or install gcc and the C library's headers in it (apt-get install gcc libc6-dev, dnf install gcc, apk add gcc musl-dev)")
}

// why says what an image lacks that its host does not run in.
func (f failure) why() string {
	text := f.err.Error()
	switch {
	case errors.Is(f.err, fs.ErrNotExist):
		// The file is there: what does not exist is its dynamic loader.
		return "lacks the GNU C library that the host for C and C++ processors needs: it has another one, such as Alpine's musl, or none"
	case strings.Contains(text, "GLIBC_"), strings.Contains(text, "Error relocating"):
		return fmt.Sprintf("has a C library that is too old for the host for C and C++ processors, or another one (%s)", text)
	}
	return fmt.Sprintf("cannot run the host for C and C++ processors, %s (%s)", f.path, text)
}
