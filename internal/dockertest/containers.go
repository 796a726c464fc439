package dockertest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Containers returns the names of an engine's containers that carry a label,
// running or not; of all where label is empty.
func Containers(t testing.TB, host, label string) []string {
	t.Helper()
	c, err := newClient(host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	return c.containers(t, label)
}

// Volumes returns the names of an engine's volumes that carry a label; of all
// where label is empty.
func Volumes(t testing.TB, host, label string) []string {
	t.Helper()
	c, err := newClient(host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	return c.volumes(t, label)
}

// Containers returns the names of the engine's containers, running or not.
func (e *Engine) Containers(t testing.TB) []string {
	t.Helper()
	return e.inner.containers(t, "")
}

func (c *client) containers(t testing.TB, label string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actionTime)
	defer cancel()
	query := labelled(label)
	query.Set("all", "1")
	var list []struct{ Names []string }
	if err := c.do(ctx, http.MethodGet, "/containers/json", query, nil, &list); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(list))
	for _, container := range list {
		names = append(names, strings.TrimPrefix(strings.Join(container.Names, ","), "/"))
	}
	return names
}

func (c *client) volumes(t testing.TB, label string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actionTime)
	defer cancel()
	var list struct{ Volumes []struct{ Name string } }
	if err := c.do(ctx, http.MethodGet, "/volumes", labelled(label), nil, &list); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(list.Volumes))
	for _, volume := range list.Volumes {
		names = append(names, volume.Name)
	}
	return names
}

// labelled is the query for things with a label.
func labelled(label string) url.Values {
	if label == "" {
		return url.Values{}
	}
	filters, _ := json.Marshal(map[string][]string{"label": {label}}) // strings always can be
	return url.Values{"filters": {string(filters)}}
}

// attach connects to a container's standard input. The container's end of it
// is closed with the connection.
func (c *client) attach(ctx context.Context, container string) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		c.base+"/containers/"+container+"/attach?stream=1&stdin=1", nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	if err := req.Write(conn); err != nil {
		conn.Close()
		return nil, err
	}
	// Nothing follows the answer's head: no output was asked for.
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer resp.Body.Close() // which is empty; the connection stays
	if resp.StatusCode != http.StatusSwitchingProtocols {
		conn.Close()
		return nil, fmt.Errorf("attach to the container: %s", resp.Status)
	}
	return conn, nil
}

// remove ends a container that its engine removes by itself, and returns when
// it is gone, its anonymous volumes too.
func (c *client) remove(ctx context.Context, container string) error {
	gone, err := c.open(ctx, http.MethodPost, "/containers/"+container+"/wait", url.Values{"condition": {"removed"}}, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer gone.Close()
	err = c.do(ctx, http.MethodDelete, "/containers/"+container, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
	if err != nil && !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusConflict) {
		return err
	}
	if _, err := io.Copy(io.Discard, gone); err != nil {
		return fmt.Errorf("wait for the end of the container: %w", err)
	}
	return nil
}

// exec runs a program in a container and returns what it printed.
func (c *client) exec(ctx context.Context, container string, args []string) (string, error) {
	var created struct{ ID string }
	err := c.do(ctx, http.MethodPost, "/containers/"+container+"/exec", nil,
		map[string]any{"Cmd": args, "AttachStdout": true, "AttachStderr": true}, &created)
	if err != nil {
		return "", err
	}
	stream, err := c.open(ctx, http.MethodPost, "/exec/"+created.ID+"/start", nil, map[string]any{"Detach": false})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	out, err := demultiplex(stream)
	if err != nil {
		return "", err
	}
	var ended struct{ ExitCode int }
	if err := c.do(ctx, http.MethodGet, "/exec/"+created.ID+"/json", nil, nil, &ended); err != nil {
		return "", err
	}
	if ended.ExitCode != 0 {
		return out, fmt.Errorf("exit status %d: %s", ended.ExitCode, strings.TrimSpace(out))
	}
	return out, nil
}

// demultiplex reads a stream of frames, each of 8 bytes of head, whose last 4
// are the length of what follows.
func demultiplex(r io.Reader) (string, error) {
	var out bytes.Buffer
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return out.String(), nil
		} else if err != nil {
			return "", err
		}
		if _, err := io.CopyN(&out, r, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
			return "", err
		}
	}
}

// readFile returns a file of a container.
func (c *client) readFile(ctx context.Context, container, name string) (string, error) {
	stream, err := c.open(ctx, http.MethodGet, "/containers/"+container+"/archive", url.Values{"path": {name}}, nil)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	r := tar.NewReader(stream)
	if _, err := r.Next(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}
