package docker

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
)

// TestEngineElsewhere has a real daemon behind TLS answer, carry streams, hang,
// end and come back.
func TestEngineElsewhere(t *testing.T) {
	e := dockertest.Isolated(t, dockertest.Options{TCP: true})
	m := fakeMachine(t, e.Env()...)
	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !strings.HasPrefix(d.Endpoint, "tcp://") || d.Source != "DOCKER_HOST" || d.Info.ID == "" {
		t.Errorf("found %s by %s, ID %q", d.Endpoint, d.Source, d.Info.ID)
	}

	ctx, cancel := d.limit(t.Context(), time.Minute)
	defer cancel()
	made, err := d.ContainerCreate(ctx, &container.Config{Image: dockertest.Base(t), Cmd: []string{"cat"},
		OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true}, nil, nil, nil, "")
	if err != nil {
		t.Fatal(d.explain(err, "creating a container"))
	}
	attached, err := d.ContainerAttach(ctx, made.ID, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if err := d.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(attached.Conn, "there and back\n")
	if err := attached.CloseWrite(); err != nil {
		t.Error("closing for writing:", err)
	}
	var out, complaints strings.Builder
	if _, err := stdcopy.StdCopy(&out, &complaints, attached.Reader); err != nil || out.String() != "there and back\n" || complaints.Len() > 0 {
		t.Errorf("cat returned %q, complained %q, %v", out.String(), complaints.String(), err)
	}

	ask := func(limit time.Duration) error {
		ctx, cancel := d.limit(t.Context(), limit)
		defer cancel()
		_, err := d.ContainerInspect(ctx, made.ID)
		return d.explain(err, "looking at the container")
	}
	e.Freeze(t)
	if err := ask(500 * time.Millisecond); err == nil || !strings.HasSuffix(err.Error(), " did not answer within 500ms") || fault.KindOf(err) != fault.Missing {
		t.Errorf("asking one that hangs: %v", err)
	}
	m.pingTime = 500 * time.Millisecond
	if _, err := connect(t.Context(), ConnectOptions{}, m); err == nil ||
		!slices.ContainsFunc([]string{"accepts connections but does not answer within 500ms", "no connection within 500ms"},
			func(words string) bool { return strings.HasSuffix(err.Error(), words) }) {
		t.Errorf("finding one that hangs: %v", err)
	}
	m.pingTime = 20 * time.Second
	e.Thaw(t)
	if err := ask(20 * time.Second); err != nil {
		t.Errorf("asking one that goes on: %v", err)
	}

	seen, failed := d.Events(t.Context(), events.ListOptions{Filters: filters.NewArgs(filters.Arg("container", "none-of-these"))})
	e.Kill(t)
	select {
	case err := <-failed:
		if err = d.explain(err, "watching"); fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "was lost") {
			t.Errorf("watching one that was killed: %v", err)
		}
	case <-seen:
		t.Error("an event of a container that there is not")
	case <-time.After(20 * time.Second):
		t.Error("nobody noticed in 20 s that the daemon was killed")
	}
	if err := ask(20 * time.Second); fault.KindOf(err) != fault.Missing {
		t.Errorf("asking one that was killed: %v", err)
	}
	e.Restart(t)
	if err := ask(20 * time.Second); err != nil {
		t.Errorf("asking one that came back: %v", err)
	}
	if err := d.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if err := ask(20 * time.Second); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "the Docker daemon says: ") {
		t.Errorf("asking for what is gone: %v", err)
	}
}
