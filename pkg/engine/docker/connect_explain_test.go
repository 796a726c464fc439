package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// TestExplain has calls of the API fail in every way, and wants what is said.
func TestExplain(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.write(t, "/run/systemd/system/x", "")
	l := m.listen(t, "/var/run/docker.sock")
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: &fakeDaemon{info: system.Info{DockerRootDir: "/var/lib/docker"}}}}
	server.Start()
	defer server.Close()
	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	inspect := func(name string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.ContainerInspect(ctx, name)
			return err
		}
	}
	signalled, signal := context.WithCancelCause(t.Context())
	signal(context.Canceled)
	const ended = "the daemon ended, or was restarted: `sudo journalctl -u docker -n 50` shows why, `sudo systemctl start docker` starts it"
	const hung = "the daemon hangs, or is overloaded: `sudo journalctl -u docker -n 50` shows why, `sudo systemctl restart docker` mends it"
	for _, test := range []struct {
		name string
		ctx  context.Context
		call func(ctx context.Context) error
		want fault.Error
		is   error
	}{
		{name: "hangs", call: inspect("hang"), is: context.DeadlineExceeded, want: fault.Error{Kind: fault.Missing,
			Text: "looking at it: the Docker daemon at unix:///var/run/docker.sock did not answer within 200ms", Hint: hung}},
		{name: "another's limit", call: func(context.Context) error { return context.DeadlineExceeded }, is: context.DeadlineExceeded,
			want: fault.Error{Kind: fault.Missing, Text: "looking at it: the Docker daemon at unix:///var/run/docker.sock did not answer in time", Hint: hung}},
		{name: "interrupted", ctx: signalled, call: inspect("hang"), is: context.Canceled,
			want: fault.Error{Kind: fault.Failed, Text: "looking at it was interrupted"}},
		{name: "cut before the answer", call: inspect("cut"), want: fault.Error{Kind: fault.Missing,
			Text: "looking at it: the connection to the Docker daemon at unix:///var/run/docker.sock was lost (EOF)", Hint: ended}},
		{name: "cut in the answer", call: inspect("half"), want: fault.Error{Kind: fault.Missing,
			Text: "looking at it: the connection to the Docker daemon at unix:///var/run/docker.sock was lost (unexpected EOF)", Hint: ended}},
		{name: "full disk", call: inspect("full"), is: errdefs.ErrInternal, want: fault.Error{Kind: fault.Failed,
			Text: "looking at it: the Docker daemon's disk is full (/var/lib/docker): mkdir /var/lib/docker/overlay2/f00: no space left on device",
			Hint: "`docker system df` shows what takes the room and `docker system prune` makes some, or free some at /var/lib/docker"}},
		{name: "forbidden", call: inspect("forbidden"), is: errdefs.ErrPermissionDenied, want: fault.Error{Kind: fault.Failed,
			Text: "looking at it: the Docker daemon at unix:///var/run/docker.sock refuses: authorization denied by plugin p: no",
			Hint: "an authorization plugin or a proxy in front of the daemon forbids this call; ask who runs it"}},
		{name: "not found", call: inspect("none"), is: errdefs.ErrNotFound, want: fault.Error{Kind: fault.Failed,
			Text: "looking at it: the Docker daemon says: page not found"}},
		{name: "conflict", call: inspect("conflict"), is: errdefs.ErrConflict, want: fault.Error{Kind: fault.Failed,
			Text: "looking at it: the Docker daemon says: the name is in use"}},
		{name: "explained before", call: func(context.Context) error { return fault.New(fault.Processor, "it is broken").WithHint("mend it") },
			want: fault.Error{Kind: fault.Processor, Text: "it is broken", Hint: "mend it"}},
		{name: "gone", call: func(ctx context.Context) error {
			server.Close()
			d.Close()
			_, err := d.ContainerInspect(ctx, "x")
			return err
		}, is: os.ErrNotExist, want: fault.Error{Kind: fault.Missing,
			Text: "looking at it: the Docker daemon at unix:///var/run/docker.sock cannot be reached any more: does not exist", Hint: ended}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			limit := 20 * time.Second
			if test.name == "hangs" {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := d.limit(ctx, limit)
			defer cancel()
			err := d.explain(test.call(ctx), "looking at it")
			said, ok := errors.AsType[*fault.Error](err)
			if !ok {
				t.Fatalf("%v is no fault", err)
			}
			got := fault.Error{Kind: said.Kind, Text: m.plain(said.Text), Hint: said.Hint}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("errors.Is(%v, %v) is false", err, test.is)
			}
			if again := d.explain(fmt.Errorf("while starting: %w", err), "starting"); !errors.Is(again, err) || fault.HintOf(again) != got.Hint {
				t.Errorf("explained twice: %v", again)
			}
		})
	}
	if err := d.explain(nil, "nothing"); err != nil {
		t.Errorf("explain(nil) = %v", err)
	}
}
