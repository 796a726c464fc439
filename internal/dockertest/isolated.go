package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/rundir"
)

// Options say what kind of engine a test wants for itself.
type Options struct {
	// Newer asks for the engine of Debian 13 (26.1), which knows CDI, instead of
	// that of Debian 12 (20.10).
	Newer bool

	// Config is the daemon's configuration, /etc/docker/daemon.json.
	Config map[string]any

	// Files are put into the daemon's file system before it starts: absolute
	// path to content. All are executable.
	Files map[string]string

	// DiskSize limits the disk that holds images, containers and volumes, in
	// bytes; 0 is no limit of its own.
	DiskSize int64

	// TCP makes the engine listen on a TCP address with TLS, as one on another
	// machine does, instead of a Unix socket. See Env for the certificates.
	TCP bool

	// Offline takes the network away: no registry, no package server.
	Offline bool

	// Images are copied from the engine of Host, beside the base image.
	Images []string
}

// Limits of what an engine of a test's own takes.
const (
	startTime  = time.Minute      // from its start to its first answer
	endTime    = time.Minute      // to end it and remove what it had
	actionTime = 20 * time.Second // of a single call that only asks or tells
	copyTime   = 3 * time.Minute  // to copy an image
	execTime   = 3 * time.Minute  // of a program beside the daemon
)

// Engine is a Docker Engine of a test's own. It has mount, network and process
// namespaces of its own and sees no file of this machine but its socket.
//
// It runs as a container of the engine that Host found. That one gives it its
// network and takes everything away at its end: processes, mounts, network
// devices, control groups, data. Its standard input is a lifeline, so that it
// ends with the test program however that ends.
type Engine struct {
	host      string // its address
	certs     string // the directory with the client's certificates, with TCP
	inner     *client
	outer     *client  // of the engine that it is a container of
	container string   // its ID there
	lifeline  net.Conn // its standard input, which takes orders too
	dir       *rundir.Dir
}

// Isolated starts an engine that ends with the test, or skips the test by the
// name of what is missing. It takes some 5 seconds: a test shares it among its
// subtests where it can.
func Isolated(t testing.TB, opts Options) *Engine {
	t.Helper()
	base := Base(t)
	image, err := engineImage(t.Context(), found, opts.Newer)
	if err != nil {
		t.Skipf("missing: an engine of the test's own (%v)", err)
	}
	e := new(Engine)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last words of the daemon:\n%s", e.lastWords())
		}
		if err := e.close(); err != nil {
			t.Errorf("end the engine of the test's own: %v", err)
		}
	})
	err = e.start(t.Context(), image, opts)
	if errors.Is(err, errElsewhere) {
		t.Skipf("missing: an engine of the test's own (%v)", err)
	}
	if err != nil {
		t.Fatalf("start an engine of the test's own: %v", err)
	}
	for _, name := range append([]string{base}, opts.Images...) {
		e.Load(t, name)
	}
	return e
}

// Host is the engine's address.
func (e *Engine) Host() string { return e.host }

// Env returns the variables, as NAME=value, by which a Docker client finds the
// engine. Those for TLS are empty where it has none.
func (e *Engine) Env() []string {
	verify := ""
	if e.certs != "" {
		verify = "1"
	}
	return []string{"DOCKER_HOST=" + e.host, "DOCKER_TLS_VERIFY=" + verify, "DOCKER_CERT_PATH=" + e.certs}
}

// openRoot opens the directory of the engines' sockets, whose paths must be
// short, and removes from it what killed test programs left.
func openRoot() (*rundir.Root, error) {
	return rundir.Open(filepath.Join(os.TempDir(), "eascmd-test-"+strconv.Itoa(os.Getuid())))
}

// setup runs as the first process of the engine's container. It makes writable
// what a container has read-only, starts the daemon when it is told to, and
// ends, and everything with it, when nobody holds its standard input any more.
const setup = `
mount -o remount,rw /sys
while read -r _ place kind _; do
	case $kind in cgroup|cgroup2) mount -o remount,bind,rw "$place" ;; esac
done </proc/mounts
groups=/sys/fs/cgroup
if [ -f $groups/cgroup.controllers ]; then
	# A group that has groups below it must hold no process.
	mkdir $groups/own
	while read -r process; do echo "$process" >$groups/own/cgroup.procs; done <$groups/cgroup.procs
	for name in $(cat $groups/cgroup.controllers); do echo "+$name" >$groups/cgroup.subtree_control; done
fi
daemon=
while read -r order; do
	# A daemon that was killed is still in the way, as is what it noted down.
	[ -z "$daemon" ] || wait "$daemon"
	rm -f /run/docker.pid /run/docker/containerd/containerd.pid
	dockerd "$@" >>/var/log/dockerd.log 2>&1 &
	daemon=$!
	echo "$daemon" >/run/daemon
done
`

// start starts the container and the daemon in it.
func (e *Engine) start(ctx context.Context, image string, opts Options) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	host, err := found()
	if err != nil {
		return err
	}
	if e.outer, err = newClient(host); err != nil {
		return err
	}
	root, err := openRoot()
	if err != nil {
		return err
	}
	if e.dir, err = root.New(); err != nil {
		return err
	}
	if err := e.create(ctx, image, opts); err != nil {
		return err
	}
	if e.lifeline, err = e.outer.attach(ctx, e.container); err != nil {
		return err
	}
	if err := e.outer.do(ctx, http.MethodPost, "/containers/"+e.container+"/start", nil, nil, nil); err != nil {
		return err
	}
	files, err := e.listen(ctx, opts)
	if err != nil {
		return err
	}
	if len(opts.Config) > 0 {
		text, err := json.Marshal(opts.Config)
		if err != nil {
			return err
		}
		files["/etc/docker/daemon.json"] = string(text)
	}
	maps.Copy(files, opts.Files)
	if err := e.put(ctx, files); err != nil {
		return err
	}
	return e.order(ctx)
}

// create creates the container. It has the rights that a daemon needs rather
// than all: not every machine has all to give, and this one's clock, modules
// and power are nobody's business in there.
func (e *Engine) create(ctx context.Context, image string, opts Options) error {
	socket := "/run/engine"
	// The first is for programs beside the daemon.
	args := []string{"--host=unix:///run/docker.sock"}
	if opts.TCP {
		args = append(args, "--host=tcp://0.0.0.0:2376", "--tlsverify",
			"--tlscacert=/certs/ca.pem", "--tlscert=/certs/cert.pem", "--tlskey=/certs/key.pem")
	} else {
		args = append(args, "--host=unix://"+socket+"/docker.sock", "--group="+strconv.Itoa(os.Getgid()))
	}
	disk := map[string]any{"Type": "volume", "Target": "/var/lib/docker"}
	if opts.DiskSize > 0 {
		disk = map[string]any{
			"Type": "tmpfs", "Target": "/var/lib/docker",
			"TmpfsOptions": map[string]any{"SizeBytes": opts.DiskSize},
		}
	}
	mounts := []any{disk}
	if !opts.TCP {
		mounts = append(mounts, map[string]any{"Type": "bind", "Source": e.dir.Path(), "Target": socket})
		e.host = "unix://" + filepath.Join(e.dir.Path(), "docker.sock")
	}
	network := "default"
	if opts.Offline {
		network = "none"
	}
	var created struct{ ID string }
	err := e.outer.do(ctx, http.MethodPost, "/containers/create", nil, map[string]any{
		"Image": image, "Cmd": append([]string{"sh", "-c", setup, "engine"}, args...),
		"OpenStdin": true, "StdinOnce": true, "AttachStdin": true,
		"Labels": map[string]string{"eascmd-test": "engine"},
		"HostConfig": map[string]any{
			"AutoRemove": true, "NetworkMode": network, "Mounts": mounts,
			"CapAdd":      []string{"ALL"},
			"CapDrop":     []string{"SYS_RESOURCE", "SYS_BOOT", "SYS_TIME", "SYS_MODULE"},
			"SecurityOpt": []string{"seccomp=unconfined", "apparmor=unconfined", "label=disable"},
			// Nothing of /proc is hidden or read-only.
			"MaskedPaths": []string{}, "ReadonlyPaths": []string{},
		},
	}, &created)
	if err != nil && !opts.TCP && strings.Contains(err.Error(), "source path does not exist") {
		return errElsewhere
	}
	e.container = created.ID
	return err
}

// errElsewhere says why a socket cannot be had.
var errElsewhere = errors.New("the one here does not see this machine's directories, so no socket can be shared")

// listen settles the engine's address, and returns the files that the daemon
// needs to listen on it.
func (e *Engine) listen(ctx context.Context, opts Options) (files map[string]string, err error) {
	files = make(map[string]string)
	if opts.TCP {
		var info struct {
			NetworkSettings struct {
				Networks map[string]struct{ IPAddress string }
			}
		}
		if err := e.outer.do(ctx, http.MethodGet, "/containers/"+e.container+"/json", nil, nil, &info); err != nil {
			return nil, err
		}
		for _, network := range info.NetworkSettings.Networks {
			e.host = "tcp://" + net.JoinHostPort(network.IPAddress, "2376")
			e.certs = e.dir.Path()
			if files, err = certificates(e.certs, network.IPAddress); err != nil {
				return nil, err
			}
		}
		if e.host == "" {
			return nil, errors.New("it was given no network")
		}
	}
	e.inner, err = newClientTLS(e.host, e.certs)
	return files, err
}

// order tells the container to start the daemon, and waits until it answers.
func (e *Engine) order(ctx context.Context) error {
	if _, err := io.WriteString(e.lifeline, "start\n"); err != nil {
		return err
	}
	for {
		err := e.inner.do(ctx, http.MethodGet, "/info", nil, nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the daemon does not answer: %w; its last words:\n%s", err, e.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close ends the container and waits until the engine of Host has removed it
// and all that was in it. It may be called on what start left half made.
func (e *Engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	var errs []error
	if e.container != "" {
		errs = append(errs, e.outer.remove(ctx, e.container))
	}
	if e.lifeline != nil {
		e.lifeline.Close()
	}
	for _, c := range []*client{e.inner, e.outer} {
		if c != nil {
			c.close()
		}
	}
	if e.dir != nil {
		errs = append(errs, e.dir.Close())
	}
	return errors.Join(errs...)
}

// Load copies an image from the engine of Host.
func (e *Engine) Load(t testing.TB, image string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), copyTime)
	defer cancel()
	archive, err := e.outer.open(ctx, http.MethodGet, "/images/get", url.Values{"names": {image}}, nil)
	if err != nil {
		t.Fatalf("copy %s: %v", image, err)
	}
	defer archive.Close()
	answer, err := e.inner.open(ctx, http.MethodPost, "/images/load", url.Values{"quiet": {"1"}}, io.Reader(archive))
	if err == nil {
		defer answer.Close()
		err = progress(answer, nil)
	}
	if err != nil {
		t.Fatalf("copy %s: %v", image, err)
	}
}

// Kill kills the daemon as kill -9 does. Containers go on without it.
func (e *Engine) Kill(t testing.TB) {
	t.Helper()
	// Nobody has asked yet how the process ended, so it stays as a zombie.
	e.signal(t, "KILL", `while grep -q '^State:.[^Z]' /proc/$daemon/status; do sleep 0.01; done`)
}

// Restart starts the daemon again after a Kill, and waits until it answers.
func (e *Engine) Restart(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	e.inner.close()
	if err := e.order(ctx); err != nil {
		t.Fatalf("start the daemon again: %v", err)
	}
}

// Freeze stops the daemon in its tracks: its address takes connections and
// nothing ever answers. Thaw lets it go on.
func (e *Engine) Freeze(t testing.TB) {
	t.Helper()
	// Each thread takes its time to notice.
	e.signal(t, "STOP", `while cat /proc/$daemon/task/*/status | grep -q '^State:.[^T]'; do sleep 0.01; done`)
}

// Thaw lets a frozen daemon go on.
func (e *Engine) Thaw(t testing.TB) {
	t.Helper()
	e.signal(t, "CONT", "")
}

// signal sends the daemon a signal and runs a script that waits for its effect.
func (e *Engine) signal(t testing.TB, name, wait string) {
	t.Helper()
	e.Exec(t, "sh", "-c", "daemon=$(cat /run/daemon) && kill -"+name+" $daemon && eval \"$0\"", wait)
}

// Exec runs a program beside the daemon and returns what it printed. The test
// fails where the program does.
func (e *Engine) Exec(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), execTime)
	defer cancel()
	out, err := e.outer.exec(ctx, e.container, args)
	if err != nil {
		t.Fatalf("%s, beside the daemon: %v", strings.Join(args, " "), err)
	}
	return out
}

// ReadFile returns a file of the daemon's file system, such as one that a
// runtime wrote.
func (e *Engine) ReadFile(t testing.TB, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actionTime)
	defer cancel()
	text, err := e.outer.readFile(ctx, e.container, name)
	if err != nil {
		t.Fatalf("read %s, beside the daemon: %v", name, err)
	}
	return text
}

// lastWords returns the end of the daemon's log.
func (e *Engine) lastWords() string {
	if e.container == "" {
		return "(it was not started)"
	}
	ctx, cancel := context.WithTimeout(context.Background(), actionTime)
	defer cancel()
	text, err := e.outer.readFile(ctx, e.container, "/var/log/dockerd.log")
	if err != nil {
		return err.Error()
	}
	const enough = 4000
	return text[max(0, len(text)-enough):]
}

// put writes files into the container.
func (e *Engine) put(ctx context.Context, files map[string]string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	made := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// Without an entry of its own a directory may not be made.
		for _, dir := range parents(name) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
				return err
			}
		}
		text := files[name]
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return e.outer.do(ctx, http.MethodPut, "/containers/"+e.container+"/archive",
		url.Values{"path": {"/"}}, io.Reader(&archive), nil)
}

// parents returns the directories that an absolute path leads through, the
// outermost first, as entries of an archive.
func parents(name string) []string {
	var dirs []string
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		dirs = append([]string{dir[1:] + "/"}, dirs...)
	}
	return dirs
}
