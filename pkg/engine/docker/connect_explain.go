package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/openeas/eascmd/internal/fault"
)

// limit gives a call of the API at most t. explain recognises what comes of it.
func (d *Daemon) limit(ctx context.Context, t time.Duration) (context.Context, context.CancelFunc) {
	return withLimit(ctx, t)
}

// withLimit is context.WithTimeout with a cause that says how long was given.
func withLimit(ctx context.Context, t time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, t, &limitError{t})
}

// limitError is the cause of a context whose limit is over. It is a
// context.DeadlineExceeded for everybody else.
type limitError struct{ limit time.Duration }

func (e *limitError) Error() string { return fmt.Sprintf("no answer within %v", e.limit) }
func (e *limitError) Unwrap() error { return context.DeadlineExceeded }

// Timeout makes it a timeout for net.Error's readers.
func (e *limitError) Timeout() bool { return true }

// explain says what an error of an API call means, in the words of somebody
// who waits for "doing", such as "creating the container". It returns nil for
// nil, and what was explained before as it is. An interrupted call stays a
// context.Canceled, and the daemon's own errors stay what errdefs calls them.
func (d *Daemon) explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return fault.New(fault.Failed, "%s was %w", doing, &daemonError{errors.New("interrupted"), err})
	}
	if errors.Is(err, context.DeadlineExceeded) {
		within := "in time"
		if over, ok := errors.AsType[*limitError](err); ok {
			within = fmt.Sprintf("within %v", over.limit)
		}
		return fault.New(fault.Missing, "%s: the Docker daemon at %s did not answer %w", doing, d.Endpoint, &daemonError{errors.New(within), err}).
			WithHint("%s", d.keeper.hangs())
	}
	if t, ok := errors.AsType[*trouble](err); ok {
		hint := t.hint
		if t.kind == absent || t.kind == deaf {
			hint = d.keeper.ended() // it was there before
		}
		return fault.New(fault.Missing, "%s: the Docker daemon at %s cannot be reached any more: %w", doing, d.Endpoint, &daemonError{t, err}).
			WithHint("%s", hint)
	}
	if client.IsErrConnectionFailed(err) || connectionLost(err) {
		return fault.New(fault.Missing, "%s: the connection to the Docker daemon at %s was lost (%w)", doing, d.Endpoint, &daemonError{innermost(err), err}).
			WithHint("%s", d.keeper.ended())
	}
	said := &daemonError{errors.New(strings.TrimPrefix(err.Error(), "Error response from daemon: ")), err}
	for _, full := range []string{"no space left on device", "disk quota exceeded"} {
		if strings.Contains(err.Error(), full) {
			return fault.New(fault.Failed, "%s: the Docker daemon's disk is full (%s): %w", doing, d.Info.DockerRootDir, said).
				WithHint("`docker system df` shows what takes the room and `docker system prune` makes some, or free some at %s", d.Info.DockerRootDir)
		}
	}
	if errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) {
		return fault.New(fault.Failed, "%s: the Docker daemon at %s refuses: %w", doing, d.Endpoint, said).
			WithHint("an authorization plugin or a proxy in front of the daemon forbids this call; ask who runs it")
	}
	return fault.New(fault.Failed, "%s: the Docker daemon says: %w", doing, said)
}

// daemonError is what a daemon said, or what became of it, without what the
// client's layers put around it.
type daemonError struct{ said, err error }

func (e *daemonError) Error() string { return e.said.Error() }
func (e *daemonError) Unwrap() error { return e.err }

// innermost is the first error of a chain, without what the layers above it
// have added.
func innermost(err error) error {
	for next := err; next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// connectionLost says whether a call failed because the other end went away.
func connectionLost(err error) bool {
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return strings.Contains(err.Error(), "http: server closed idle connection") // has no name
}
