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
		return fault.New(fault.Failed, "%s was interrupted: %w", doing, err)
	}
	keeper := keeperOf(d.Endpoint)
	if errors.Is(err, context.DeadlineExceeded) {
		within := "in time"
		if over, ok := errors.AsType[*limitError](err); ok {
			within = fmt.Sprintf("within %v", over.limit)
		}
		return fault.New(fault.Missing, "%s: the Docker daemon at %s did not answer %s: %w", doing, d.Endpoint, within, err).
			WithHint("%s", keeper.hangs())
	}
	if client.IsErrConnectionFailed(err) || connectionLost(err) {
		return fault.New(fault.Missing, "%s: the connection to the Docker daemon at %s was lost: %w", doing, d.Endpoint, err).
			WithHint("%s", keeper.ended())
	}
	said := errors.New(strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	for _, full := range []string{"no space left on device", "disk quota exceeded"} {
		if strings.Contains(err.Error(), full) {
			return fault.New(fault.Failed, "%s: the Docker daemon's disk is full (%s): %w", doing, d.Info.DockerRootDir, &daemonError{said, err}).
				WithHint("`docker system df` shows what takes the room and `docker system prune` makes some, or free some at %s", d.Info.DockerRootDir)
		}
	}
	if errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) {
		return fault.New(fault.Failed, "%s: the Docker daemon at %s refuses: %w", doing, d.Endpoint, &daemonError{said, err}).
			WithHint("an authorization plugin or a proxy in front of the daemon forbids this call; ask who runs it")
	}
	return fault.New(fault.Failed, "%s: the Docker daemon says: %w", doing, &daemonError{said, err})
}

// daemonError is what a daemon said, without the client's preamble.
type daemonError struct{ said, err error }

func (e *daemonError) Error() string { return e.said.Error() }
func (e *daemonError) Unwrap() error { return e.err }

// connectionLost says whether a call failed because the other end went away.
func connectionLost(err error) bool {
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// keeper is who keeps a daemon running, and so who can mend it.
type keeper struct{ log, restart, start string }

// keeperOf tells a daemon's keeper from its address.
func keeperOf(endpoint string) keeper {
	return keeper{log: "sudo journalctl -u docker -n 50", restart: "sudo systemctl restart docker", start: "sudo systemctl start docker"}
}

func (k keeper) hangs() string {
	return fmt.Sprintf("the daemon hangs or is overloaded: `%s` shows why, `%s` mends it", k.log, k.restart)
}

func (k keeper) ended() string {
	return fmt.Sprintf("the daemon ended or was restarted: `%s` shows why, `%s` starts it", k.log, k.start)
}
