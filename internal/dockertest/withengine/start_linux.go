package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/rundir"
)

// Limits of what an engine takes.
const (
	installTime = 10 * time.Minute
	waitTime    = 30 * time.Minute // for another run that has its engine in the same place
	startTime   = time.Minute
	endTime     = time.Minute // a daemon gives its containers 10 seconds
)

// start starts a daemon, which end ends. The daemon has its own places for
// everything, and no part in what the machine's administrator configured.
func start(ctx context.Context, log io.Writer) (host string, end func() error, err error) {
	none := func() error { return nil }
	if os.Getuid() != 0 {
		return "", none, errors.New("needs root")
	}
	if err := install(ctx, log); err != nil {
		// What is here already may do.
		fmt.Fprintln(log, err)
	}
	// A package may start the daemon that it brings.
	if host, err := dockertest.Find(ctx); err == nil {
		return host, none, nil
	}
	program, err := exec.LookPath("dockerd")
	if err != nil {
		return "", none, errors.New("dockerd is not installed")
	}
	cache, err := dockertest.CacheDir()
	if err != nil {
		return "", none, err
	}
	held, err := lock(ctx, filepath.Join(cache, "daemon.lock"), log)
	if err != nil {
		return "", none, err
	}
	d := &daemon{program: program, lock: held}
	if err := d.start(ctx, filepath.Join(cache, "daemon")); err != nil {
		return "", none, errors.Join(err, d.end())
	}
	return d.host(), d.end, nil
}

// needed are the programs to start a daemon and to make the base image, and
// Debian's packages that have them.
var needed = []struct{ program, pkg string }{
	{"dockerd", "docker.io"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"debootstrap", "debootstrap"},
}

// install installs what is needed and not there, where Debian's tools are. It
// leaves it to others to miss what it cannot have.
func install(ctx context.Context, log io.Writer) error {
	var packages []string
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil {
			packages = append(packages, n.pkg)
		}
	}
	apt, err := exec.LookPath("apt-get")
	if len(packages) == 0 || err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	fmt.Fprintf(log, "installing %s\n", strings.Join(packages, " "))
	for _, args := range [][]string{
		{"update", "-q", "-o", "Acquire::http::Timeout=20"},
		append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		// Half an installation is worse than a late end.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// lock waits for a file's lock. Whoever inherits the file holds it too.
func lock(ctx context.Context, name string, log io.Writer) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	for first := true; ; first = false {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if first {
			fmt.Fprintln(log, "waiting for the end of another run's Docker Engine")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another run's Docker Engine does not end: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// daemon is a dockerd that we started.
type daemon struct {
	program string
	lock    *os.File    // the daemon and what it starts hold it too
	dir     *rundir.Dir // its socket and other things that live as long as it
	network network     // as it was before
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

func (d *daemon) host() string { return "unix://" + filepath.Join(d.dir.Path(), "docker.sock") }

// start starts the daemon, whose images are kept in root, and waits until it
// answers. What it did has to be undone by end even where it fails.
func (d *daemon) start(ctx context.Context, root string) error {
	// Whatever the last one that was killed left here goes now.
	places, err := rundir.Open("/run/eascmd-test")
	if err != nil {
		return err
	}
	if d.dir, err = places.New(); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return err
	}
	config := filepath.Join(d.dir.Path(), "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return err
	}
	logFile, err := os.Create(d.logPath())
	if err != nil {
		return err
	}
	defer logFile.Close()
	d.network = inspectNetwork(ctx)
	d.cmd = exec.Command(d.program,
		"--host="+d.host(), "--config-file="+config,
		"--data-root="+root, "--exec-root="+filepath.Join(d.dir.Path(), "exec"), "--pidfile="+filepath.Join(d.dir.Path(), "pid"))
	// A containerd that is slow to answer is told to write all its stacks there.
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.dir.Path())
	d.cmd.Stdout, d.cmd.Stderr = logFile, logFile
	d.cmd.ExtraFiles = []*os.File{d.lock, d.dir.Lock()}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{
		// Ctrl-C is for the tests; the daemon ends after them.
		Setpgid: true,
		// If we are killed, it still ends as it should.
		Pdeathsig: syscall.SIGTERM,
	}
	if err := d.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := dockertest.Answers(ctx, d.host())
		if err == nil {
			return nil
		}
		select {
		case <-d.ended:
			return fmt.Errorf("dockerd did not start: %s", d.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %w; its last words: %s", err, d.lastWords())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// launch starts the process. The death signal comes when the thread that
// started it ends, so that thread lives as long as the process.
func (d *daemon) launch() error {
	d.ended = make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(d.ended)
		runtime.LockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			d.cmd.Wait()
		}
	}()
	return <-started
}

func (d *daemon) logPath() string { return filepath.Join(d.dir.Path(), "log") }

// lastWords returns the last line of the daemon's log.
func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.logPath())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// end ends the daemon and its containers, and leaves only its images.
func (d *daemon) end() error {
	var errs []error
	if d.cmd != nil && d.cmd.Process != nil {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(endTime):
			errs = append(errs, fmt.Errorf("dockerd does not end and is killed; its last words: %s", d.lastWords()))
			d.cmd.Process.Kill()
			<-d.ended
		}
		errs = append(errs, d.network.restore())
	}
	if d.dir != nil {
		errs = append(errs, unmountBelow(d.dir.Path()), d.dir.Close())
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// unmountBelow takes away the mounts in a directory that a daemon which had to
// be killed left, such as network namespaces of containers.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			errs = append(errs, unix.Unmount(fields[4], unix.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}
