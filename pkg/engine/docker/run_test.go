//go:build unix

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// patience bounds what a test waits for. It is only reached when it fails.
const patience = 90 * time.Second

// service is the suite's processor in a container.
type service struct {
	*Run
	plan   *runplan.Plan
	events chan event.Event
	log    *bytes.Buffer // what the engine said
}

// serve starts the suite's processor; change may alter the options and the plan.
func serve(t *testing.T, d *Daemon, change func(*Options, *runplan.Plan)) (*service, error) {
	t.Helper()
	plan, dir := enginetest.Plan(t, Workspace)
	return servePlan(t, d, plan, dir, change)
}

func servePlan(t *testing.T, d *Daemon, plan *runplan.Plan, dir string, change func(*Options, *runplan.Plan)) (*service, error) {
	t.Helper()
	log := new(bytes.Buffer)
	opts := Options{
		Daemon: d, Workspace: dir, Executable: dockertest.Program(t), Base: dockertest.Base(t),
		Log:  func(text string) { fmt.Fprintln(log, text) },
		Warn: func(text, hint string) { fmt.Fprintf(log, "warning: %s (%s)\n", text, hint) },
	}
	if change != nil {
		change(&opts, plan)
	}
	started, err := New(opts).Start(t.Context(), plan)
	if err != nil {
		return nil, err
	}
	s := &service{Run: started.(*Run), plan: plan, events: make(chan event.Event, 1<<12), log: log}
	go func() {
		defer close(s.events)
		for e := range s.Events() {
			s.events <- e
		}
	}()
	t.Cleanup(func() { s.Close() })
	return s, nil
}

// ready waits until the service is ready.
func (s *service) ready(t *testing.T) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, more := <-s.events:
			if !more {
				t.Fatalf("the run ended before it was ready: %v", s.Wait())
			}
			if e.Type == event.Ready {
				return
			}
		case <-deadline:
			t.Fatal("it does not get ready")
		}
	}
}

// mustServe starts a service and waits until it is ready.
func mustServe(t *testing.T, d *Daemon, change func(*Options, *runplan.Plan)) *service {
	t.Helper()
	s, err := serve(t, d, change)
	if err != nil {
		t.Fatal(err)
	}
	s.ready(t)
	return s
}

func (s *service) post(t *testing.T, body string) (int, string) {
	t.Helper()
	status, answer, err := s.try(body)
	if err != nil {
		t.Fatal(err)
	}
	return status, answer
}

func (s *service) try(body string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, s.Endpoint()+"/api/predict/probe", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", s.plan.Gateway.Token)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (s *service) want(t *testing.T, body string, status int, want string) {
	t.Helper()
	if got, answer := s.post(t, body); got != status || answer != want {
		t.Errorf("post %q: %d %q, want %d %q", body, got, answer, status, want)
	}
}

// stop ends the service in order.
func (s *service) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// What a processor may do and see in its container.
func TestContainment(t *testing.T) {
	owner, _ := state(t)
	d := daemon(t, dockertest.Host(t))
	secret := filepath.Join(t.TempDir(), "secret")
	readable, writable := t.TempDir(), t.TempDir()
	for _, dir := range []string{secret, filepath.Join(readable, "file"), filepath.Join(writable, "file")} {
		if err := os.WriteFile(dir, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, copying := range []bool{false, true} {
		t.Run(fmt.Sprintf("copied=%v", copying), func(t *testing.T) {
			s := mustServe(t, d, func(o *Options, p *runplan.Plan) {
				o.Copy = copying
				o.CPUs, o.ShmSize, p.Worker.MemoryMB = 1, 32<<20, 256
				o.Mounts = []Mount{{readable, "model", false}, {writable, "data", true}}
				if err := os.Mkdir(filepath.Join(o.Workspace, "data"), 0o755); err != nil {
					t.Fatal(err)
				}
			})
			_, status := s.post(t, "read /proc/self/status")
			for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", fmt.Sprintf("Uid:\t%d\t", os.Getuid())} {
				if !strings.Contains(status, line) {
					t.Errorf("no line %q in the process's status:\n%s", line, status)
				}
			}
			s.want(t, "read "+secret, 404, "cannot open "+secret)
			for _, workspace := range []string{Workspace, EASWorkspace} {
				s.want(t, "read "+workspace+"/model/file", 200, "content")
				s.want(t, "write "+workspace+"/model/new", 403, "Read-only file system")
				s.want(t, "write "+workspace+"/data/new", 200, "written")
				s.want(t, "write "+workspace+"/predictor/probe/new", 200, "written")
			}
			s.want(t, "write /etc/new", 403, "Read-only file system")
			s.want(t, "write /tmp/new", 200, "written")
			if written := filepath.Join(writable, "new"); !copying {
				if _, err := os.Stat(written); err != nil {
					t.Errorf("what was written is not here: %v", err)
				}
				os.Remove(written)
			}
			info, err := d.ContainerInspect(t.Context(), s.start.container)
			if err != nil {
				t.Fatal(err)
			}
			if info.HostConfig.Privileged || !info.HostConfig.ReadonlyRootfs || len(info.HostConfig.Binds) > 0 {
				t.Errorf("the container's rights: %+v", info.HostConfig)
			}
			if r := info.HostConfig.Resources; r.Memory != 256<<20 || r.NanoCPUs != 1e9 || info.HostConfig.ShmSize != 32<<20 {
				t.Errorf("limits: memory %d, CPUs %d, /dev/shm %d", r.Memory, r.NanoCPUs, info.HostConfig.ShmSize)
			}
			for _, b := range info.NetworkSettings.Ports["8080/tcp"] {
				if b.HostIP != "127.0.0.1" {
					t.Errorf("published at %s", b.HostIP)
				}
			}
			for _, text := range append(info.Config.Env, info.Config.Cmd...) {
				if strings.Contains(text, s.plan.Gateway.Token) {
					t.Errorf("the token is there for everybody to see: %s", text)
				}
			}
			s.stop(t)
			if left := owned(t, d, owner); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestLimitsThatTheDaemonCannotSet(t *testing.T) {
	full := system.Info{MemoryLimit: true, SwapLimit: true, CPUCfsQuota: true, NCPU: 4}
	for name, tt := range map[string]struct {
		change func(*system.Info)
		cpus   int
		want   container.Resources
		warned string
	}{
		"all":        {func(*system.Info) {}, 2, container.Resources{Memory: 100 << 20, MemorySwap: 100 << 20, NanoCPUs: 2e9}, ""},
		"no memory":  {func(i *system.Info) { i.MemoryLimit = false }, 0, container.Resources{}, "memory is not limited"},
		"no swap":    {func(i *system.Info) { i.SwapLimit = false }, 0, container.Resources{Memory: 100 << 20}, "swap is not limited"},
		"no quota":   {func(i *system.Info) { i.CPUCfsQuota = false }, 2, container.Resources{Memory: 100 << 20, MemorySwap: 100 << 20}, "metadata.cpu is not kept"},
		"few":        {func(i *system.Info) { i.NCPU = 1 }, 2, container.Resources{Memory: 100 << 20, MemorySwap: 100 << 20}, "metadata.cpu is 2 and the daemon has 1"},
		"no request": {func(i *system.Info) { i.CPUCfsQuota = false }, 0, container.Resources{Memory: 100 << 20, MemorySwap: 100 << 20}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			info := full
			tt.change(&info)
			var warned []string
			s := &start{
				Options: &Options{CPUs: tt.cpus, Warn: func(text, _ string) { warned = append(warned, text) }},
				d:       &Daemon{Info: info}, plan: &runplan.Plan{Worker: runplan.Worker{MemoryMB: 100}},
			}
			var got container.Resources
			s.limit(&got)
			if got.Memory != tt.want.Memory || got.MemorySwap != tt.want.MemorySwap || got.NanoCPUs != tt.want.NanoCPUs {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if text := strings.Join(warned, "\n"); !strings.Contains(text, tt.warned) || (tt.warned == "") != (text == "") {
				t.Errorf("warned %q, want %q", text, tt.warned)
			}
		})
	}
}

// The memory that bodies take counts too: when there is no worker left to kill
// it is the gateway's turn, and nobody inside can tell.
func TestGatewayOutOfMemory(t *testing.T) {
	state(t)
	d := daemon(t, dockertest.Host(t))
	s := mustServe(t, d, func(_ *Options, p *runplan.Plan) {
		p.Worker.MemoryMB = 64
		p.Worker.NoRestart = false
		p.Gateway.BodyLimit, p.Gateway.BodyMemory = 1<<30, 1<<30
	})
	s.try(strings.Repeat("x", 400<<20))
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		if fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), "64 MB") || !strings.Contains(fault.HintOf(err), "--body-memory") {
			t.Errorf("%v (hint %q)", err, fault.HintOf(err))
		}
	case <-time.After(patience):
		t.Fatal("the gateway survives on 64 MB with 400 MB of body")
	}
}

// An image that has neither a C library nor a compiler.
func TestImageWithoutEverything(t *testing.T) {
	state(t)
	d := daemon(t, dockertest.Host(t))
	ref := emptyImage(t, d)
	s, err := serve(t, d, func(o *Options, _ *runplan.Plan) { o.Image = ref })
	if err == nil {
		for range s.events {
		}
		err = s.Wait()
	}
	if fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), "libc.so.6") || !strings.Contains(err.Error(), ref) {
		t.Errorf("kind %v of %v", fault.KindOf(err), err)
	}
}

// A daemon that has something else where our files are.
func TestOtherFilesAtTheSamePlace(t *testing.T) {
	state(t)
	d, iso := elsewhere(t, dockertest.Options{})
	plan, dir := enginetest.Plan(t, Workspace)
	program := dockertest.Program(t)
	iso.Exec(t, "sh", "-c", fmt.Sprintf("mkdir -p %s && mkdir -p $(dirname %s) && echo '#!/bin/sh' >%s && chmod +x %[2]s", dir, program, program))
	s, err := servePlan(t, d, plan, dir, func(o *Options, _ *runplan.Plan) {
		// Where the run's directory will be is only known when it is made: have
		// all such directories there, with another probe in each.
		iso.Exec(t, "sh", "-c", "mkdir -p "+os.Getenv("XDG_RUNTIME_DIR"))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ready(t)
	s.want(t, "read ../../model/weights", 200, "0.5")
	if err := s.CanLeave(); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "through this program") {
		t.Errorf("a service that is reached through this program may go on without it: %v", err)
	}
	s.stop(t)
}

// elsewhere connects to a daemon that sees no file of this machine, and has the
// image that services run in.
func elsewhere(t *testing.T, opts dockertest.Options) (*Daemon, *dockertest.Engine) {
	t.Helper()
	host := daemon(t, dockertest.Host(t))
	image, err := host.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: dockertest.Base(t), Env: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	opts.Images = append(slices.Clone(opts.Images), image.Ref)
	iso := dockertest.Isolated(t, opts)
	for _, variable := range iso.Env() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return daemon(t, ""), iso
}

// The whole suite on a daemon which is reached over the network, sees no file
// of ours, and whose containers can be reached through it only.
func TestConformanceElsewhere(t *testing.T) {
	_, iso := elsewhere(t, dockertest.Options{TCP: true})
	_ = iso
	suite(t, "", false)
}

func TestDaemonIsKilled(t *testing.T) {
	owner, _ := state(t)
	d, iso := elsewhere(t, dockertest.Options{})
	s := mustServe(t, d, nil)
	iso.Kill(t)
	err := s.Wait()
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), d.Endpoint) || fault.HintOf(err) == "" {
		t.Errorf("kind %v of %v (hint %q)", fault.KindOf(err), err, fault.HintOf(err))
	}
	if err := s.Close(); err == nil {
		t.Error("nothing is said of what could not be removed")
	}
	iso.Restart(t)
	next := mustServe(t, daemon(t, ""), nil)
	next.want(t, "echo again", 200, "again")
	next.stop(t)
	if left := owned(t, daemon(t, ""), owner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDaemonHangs(t *testing.T) {
	owner, _ := state(t)
	d, iso := elsewhere(t, dockertest.Options{})
	s := mustServe(t, d, nil)
	iso.Freeze(t)
	begin := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Stop(ctx)
	if err := s.Close(); fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("close: %v (hint %q)", err, fault.HintOf(err))
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v to give up on a daemon that hangs", took)
	}
	iso.Thaw(t)
	next := mustServe(t, d, nil)
	next.stop(t)
	if left := owned(t, d, owner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Containers that look like ours and belong to somebody else stay.
func TestOthersAreNotTouched(t *testing.T) {
	owner, _ := state(t)
	d := daemon(t, dockertest.Host(t))
	make := func(labels map[string]string) string {
		t.Helper()
		c, err := d.ContainerCreate(t.Context(), &container.Config{Image: dockertest.Base(t), Cmd: []string{"true"}, Labels: labels}, nil, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.removeContainer(c.ID, removeTime) })
		return c.ID
	}
	others := make(map[string]string{labelOwner: "somebody", labelRun: "run-0123", labelService: "probe"})
	plain := make(nil)
	neverLeft := make(map[string]string{labelOwner: owner, labelRun: "run-0123", labelService: "other", labelKept: "/nowhere"})
	dead := make(map[string]string{labelOwner: owner, labelRun: "run-0123", labelService: "probe"})
	live, err := rootOf(t).New()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	running := make(map[string]string{labelOwner: owner, labelRun: filepath.Base(live.Path()), labelService: "probe"})
	mustServe(t, d, nil).stop(t)
	for id, want := range map[string]bool{others: true, plain: true, neverLeft: false, running: true, dead: false} {
		_, err := d.ContainerInspect(t.Context(), id)
		if there := err == nil; there != want {
			t.Errorf("container %.12s is there: %v, want %v (%v)", id, there, want, err)
		}
	}
	if _, err := Stop(t.Context(), d, "probe-of-nobody"); fault.KindOf(err) != fault.Usage {
		t.Errorf("stopped nobody: %v", err)
	}
	info, err := d.ContainerInspect(t.Context(), others)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Stop(t.Context(), d, strings.TrimPrefix(info.Name, "/")); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("stopped somebody else's: %v", err)
	}
}

// Runs of the same content share its copy, and --keep leaves it for the next.
func TestCopiesAreShared(t *testing.T) {
	owner, _ := state(t)
	d := daemon(t, dockertest.Host(t))
	model := t.TempDir()
	if err := os.WriteFile(filepath.Join(model, "file"), []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	var progress []string
	start := func(keep bool) *service {
		t.Helper()
		progress = nil
		return mustServe(t, d, func(o *Options, _ *runplan.Plan) {
			o.Copy, o.Keep = true, keep
			o.Mounts = []Mount{{model, "model", false}}
			o.Progress = func(label string) (func(done, total int64), func()) {
				return func(done, total int64) { progress = append(progress, fmt.Sprintf("%s %d", label, total)) }, func() {}
			}
		})
	}
	models := func() (names []string) {
		for _, name := range owned(t, d, owner) {
			if strings.Contains(name, "volume eascmd-model-") {
				names = append(names, name)
			}
		}
		return names
	}
	first, second := start(false), start(false)
	if got := models(); len(got) != 1 {
		t.Errorf("two runs have the volumes %v", got)
	}
	first.stop(t)
	second.want(t, "read ../../model/file", 200, "first")
	second.stop(t)
	if left := owned(t, d, owner); len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
	start(true).stop(t)
	kept := models()
	if len(kept) != 1 {
		t.Fatalf("kept: %v of %v", kept, owned(t, d, owner))
	}
	if err := os.WriteFile(filepath.Join(model, "file"), []byte("second"), 0o644); err != nil {
		t.Fatal(err)
	}
	third := start(true)
	third.want(t, "read ../../model/file", 200, "second")
	third.stop(t)
	if now := models(); len(now) != 1 || now[0] == kept[0] {
		t.Errorf("after a change: %v, before it %v", now, kept)
	}
	start(false).stop(t)
	if left := owned(t, d, owner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// emptyImage makes an image that holds an empty directory, and returns its name.
func emptyImage(t *testing.T, d *Daemon) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const ref = "eascmd-test-empty:1"
	r, err := d.ImageImport(t.Context(), dockerimage.ImportSource{Source: &archive, SourceName: "-"}, ref, dockerimage.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.ImageRemove(context.Background(), ref, dockerimage.RemoveOptions{})
	})
	return ref
}
