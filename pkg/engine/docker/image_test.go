package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// testLabel marks what a test makes on the daemon. Images inherit it from their
// base, and containers from their image, so that nothing is missed and nothing
// of others is touched.
const testLabel = "com.github.openeas.eascmd.imagetest"

// imageTest is a test with a daemon, and what it has made there.
type imageTest struct {
	*testing.T
	d     *Daemon
	name  string // in the names of its images
	label string
}

func newImageTest(t *testing.T) *imageTest {
	t.Helper()
	return newImageTestAt(t, dockertest.Host(t))
}

func newImageTestAt(t *testing.T, host string) *imageTest {
	t.Helper()
	d, err := Connect(t.Context(), ConnectOptions{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(rand.Text())
	it := &imageTest{t, d, name, testLabel + "=" + name}
	t.Cleanup(func() {
		defer d.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		for _, c := range it.containers(ctx) {
			if err := d.ContainerRemove(ctx, c, container.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
				t.Error(err)
			}
		}
		for list := it.images(ctx); len(list) > 0; list = it.images(ctx) {
			removed := false
			for _, img := range list {
				_, err := d.ImageRemove(ctx, img.ID, dockerimage.RemoveOptions{Force: true, PruneChildren: true})
				removed = removed || err == nil
			}
			if !removed {
				t.Errorf("%d images of the test cannot be removed", len(list))
				return
			}
		}
	})
	return it
}

func (t *imageTest) containers(ctx context.Context) (ids []string) {
	t.Helper()
	list, err := t.d.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", t.label))})
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

func (t *imageTest) images(ctx context.Context, more ...filters.KeyValuePair) []dockerimage.Summary {
	t.Helper()
	list, err := t.d.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(append(more, filters.Arg("label", t.label))...)})
	if err != nil {
		t.Error(err)
	}
	return list
}

// wantNothingLeft fails where a build has left a step or a container.
func (t *imageTest) wantNothingLeft() {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, img := range t.images(ctx, filters.Arg("dangling", "true")) {
		t.Errorf("an image without a name is left: %s", img.ID)
	}
	if ids := t.containers(ctx); len(ids) > 0 {
		t.Errorf("containers are left: %s", ids)
	}
}

// derive makes an image of another one and gives it a name of the test.
func (t *imageTest) derive(tag, from string, instructions ...string) string {
	t.Helper()
	name := "eascmd-test-image-" + t.name + ":" + tag
	text := "FROM " + from + "\nLABEL " + t.label + "\n" + strings.Join(instructions, "\n") + "\n"
	archive := tarOf(t.T, map[string][]byte{"Dockerfile": []byte(text)})
	proxies := t.d.buildProxies(&imageOptions{Env: os.Getenv})
	resp, err := t.d.ImageBuild(t.Context(), bytes.NewReader(archive), build.ImageBuildOptions{
		Version: build.BuilderV1, Tags: []string{name}, Dockerfile: "Dockerfile", Remove: true, ForceRemove: true,
		BuildArgs: proxies.args, NetworkMode: proxies.network,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said strings.Builder
	for dec := json.NewDecoder(resp.Body); ; {
		var m struct{ Stream, Error string }
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return name
		} else if err != nil {
			t.Fatal(err)
		}
		said.WriteString(m.Stream)
		if m.Error != "" {
			if strings.Contains(said.String(), "Unable to") || strings.Contains(said.String(), "resolving") {
				t.Skip("missing: Debian's packages in containers of this engine")
			}
			t.Fatalf("%s\n%s", m.Error, said.String())
		}
	}
}

// ready makes a base that has all that an image is built with.
func (t *imageTest) ready() string {
	t.Helper()
	return t.derive("ready", dockertest.Base(t),
		"RUN apt-get -q update && apt-get -q install -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io gcc libc6-dev libgomp1 ca-certificates")
}

// run runs a command in a container of an image and returns what it prints.
func (t *imageTest) run(img string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made, err := t.d.ContainerCreate(ctx, &container.Config{Image: img, Entrypoint: command[:1], Cmd: command[1:]}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	defer t.d.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true})
	waited, failed := t.d.ContainerWait(ctx, made.ID, container.WaitConditionNextExit)
	if err := t.d.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		t.Fatal(err)
	case status := <-waited:
		if status.StatusCode != 0 {
			t.Errorf("%s ended with status %d", command, status.StatusCode)
		}
	}
	logs, err := t.d.ContainerLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// journal collects what is logged.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) log(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, text)
}

// has says whether a line with a text was logged.
func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.lines, func(line string) bool { return strings.Contains(line, text) })
}

// An image is built with the package manager of a base that has nothing.
func TestImageIsBuilt(t *testing.T) {
	t.Run("usual engine", func(t *testing.T) { testImageIsBuilt(newImageTest(t)) })
	t.Run("newer engine", func(t *testing.T) {
		it := newImageTestAt(t, dockertest.Isolated(t, dockertest.Options{Newer: true}).Host())
		testDataImage(it)
		testImageIsBuilt(it)
	})
}

func testImageIsBuilt(it *imageTest) {
	t := it.T
	t.Helper()
	base := it.derive("plain", dockertest.Base(t))
	var said journal
	img, err := it.d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base, Env: os.Getenv, Log: said.log})
	if err != nil && strings.Contains(err.Error(), "do not reach the package sources") {
		t.Skip("missing: Debian's packages in containers of this engine")
	}
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
	}
	it.wantNothingLeft()
	for _, step := range []string{"building the image " + img.Ref + " on " + base, "installing libstdc++6", "installing gcc", "compiling the host"} {
		if !said.has(step) {
			t.Errorf("nothing was said of %q: %q", step, said.lines)
		}
	}
	if img.OS != "linux" || img.Architecture != it.d.Arch() || img.ID == "" || !slices.ContainsFunc(img.Env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		t.Errorf("the image is %+v", img)
	}
	host := HostsDir + "/" + hosts.CPPName("linux", it.d.Arch())
	if got := it.run(img.ID, host, "--version"); got != "eashost-cpp protocol 1-1\n" {
		t.Errorf("the host says %q", got)
	}
	if got := it.run(img.ID, "/bin/sh", "-c", "ldconfig -p | grep -c -e libgomp.so.1 -e libstdc++.so.6; ls /tmp /var/lib/apt/lists"); strings.TrimSpace(got) != "2\n/tmp:\n\n/var/lib/apt/lists:" {
		t.Errorf("the image has, of libraries and left-overs: %q", got)
	}
}

func TestImage(t *testing.T) {
	it := newImageTest(t)
	ready := it.ready()
	ensure := func(t *testing.T, o imageOptions) (image, *journal) {
		t.Helper()
		var said journal
		o.Language, o.Log = "cpp", said.log
		img, err := it.d.ensureImage(t.Context(), o)
		if err != nil {
			t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
		}
		it.wantNothingLeft()
		return img, &said
	}
	exists := func(t *testing.T, img image) bool {
		t.Helper()
		_, err := it.d.ImageInspect(t.Context(), img.ID)
		if err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
		return err == nil
	}

	t.Run("of a base that has all", func(t *testing.T) {
		// Nothing is installed, so that proxies that are not there do not matter.
		env := map[string]string{"HTTP_PROXY": "http://user:secret@192.0.2.1:3128", "https_proxy": "http://192.0.2.1:3128"}
		img, said := ensure(t, imageOptions{Base: ready, Env: func(name string) string { return env[name] }})
		if said.has("installing") || !said.has("compiling the host") {
			t.Errorf("steps are %q", said.lines)
		}
		history, err := it.d.ImageHistory(t.Context(), img.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(history)
		if strings.Contains(string(text), "192.0.2.1") || slices.ContainsFunc(img.Env, func(v string) bool { return strings.Contains(v, "192.0.2.1") }) {
			t.Errorf("the proxies are in the image: %s, %q", text, img.Env)
		}
		again, said := ensure(t, imageOptions{Base: ready})
		if again.ID != img.ID || len(said.lines) > 0 {
			t.Errorf("a second time it is %s, not %s, and %q was said", again.ID, img.ID, said.lines)
		}
	})

	t.Run("with authorities", func(t *testing.T) {
		bundle, certificate := caBundle(t)
		plain, _ := ensure(t, imageOptions{Base: ready})
		img, _ := ensure(t, imageOptions{Base: ready, CABundle: bundle})
		if img.ID == plain.ID || !exists(t, plain) {
			t.Error("the image without authorities is the same, or gone")
		}
		if trusted := it.run(img.ID, "/bin/cat", "/etc/ssl/certs/ca-certificates.crt"); !strings.Contains(trusted, certificate) {
			t.Error("the authority is not trusted in the image")
		}
		if again, said := ensure(t, imageOptions{Base: ready, CABundle: bundle}); again.ID != img.ID || len(said.lines) > 0 {
			t.Errorf("a second time it is %s, not %s, and %q was said", again.ID, img.ID, said.lines)
		}
	})

	t.Run("of a base that changes and goes", func(t *testing.T) {
		base := it.derive("changes", ready, "LABEL version=1")
		first, _ := ensure(t, imageOptions{Base: base})
		made, err := it.d.ContainerCreate(t.Context(), &container.Config{Image: first.ID, Entrypoint: []string{"/bin/true"}}, nil, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if it.derive("changes", ready, "LABEL version=2") != base {
			t.Fatal("another name")
		}
		if _, err := it.d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base}); err != nil {
			t.Fatal(err)
		}
		if !exists(t, first) {
			t.Error("an image that a container is made of was removed")
		}
		if err := it.d.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
		it.derive("changes", ready, "LABEL version=3")
		third, _ := ensure(t, imageOptions{Base: base})
		if exists(t, first) || !exists(t, third) {
			t.Error("the older image was not removed")
		}
		if _, err := it.d.ImageRemove(t.Context(), base, dockerimage.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, said := ensure(t, imageOptions{Base: base}); got.ID != third.ID || len(said.lines) > 0 {
			t.Errorf("without its base it is %s, not %s, and %q was said", got.ID, third.ID, said.lines)
		}
	})

	t.Run("that is named", func(t *testing.T) {
		want, err := it.d.ImageInspect(t.Context(), ready)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{ready, want.ID, strings.TrimPrefix(want.ID, "sha256:")[:12]} {
			if img, said := ensure(t, imageOptions{Image: name, Base: "other"}); img.ID != want.ID || img.Ref != name || len(said.lines) > 0 {
				t.Errorf("%s is %+v, and %q was said", name, img, said.lines)
			}
		}
	})

	t.Run("by two at the same time", func(t *testing.T) {
		base := it.derive("two", ready, "LABEL version=two")
		var said journal
		var both sync.WaitGroup
		var ids [2]string
		for i := range ids {
			both.Go(func() {
				img, err := it.d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base, Log: said.log})
				if err != nil {
					t.Error(err)
				}
				ids[i] = img.ID
			})
		}
		both.Wait()
		it.wantNothingLeft()
		built := 0
		for _, line := range said.lines {
			if strings.HasPrefix(line, "building the image") {
				built++
			}
		}
		if built != 1 || ids[0] != ids[1] {
			t.Errorf("it was built %d times and is %q; %q was said", built, ids, said.lines)
		}
	})

	// What stands for the package manager of another distribution says how it is
	// called, and has what it installs in a directory beside.
	for _, tt := range []struct {
		manager, bundle string
		calls           []string
	}{
		{"apk", "SSL_CERT_FILE=/tmp/eascmd-ca.pem", []string{"apk add --no-cache libstdc++ libgomp ca-certificates", "apk add --no-cache gcc musl-dev"}},
		{"dnf", "", []string{"dnf -y --setopt=install_weak_deps=False install libstdc++ libgomp ca-certificates", "dnf -y --setopt=install_weak_deps=False install gcc glibc-devel"}},
		{"microdnf", "", []string{"microdnf -y install libstdc++ libgomp ca-certificates", "microdnf -y install gcc glibc-devel"}},
	} {
		t.Run("with "+tt.manager, func(t *testing.T) {
			program := `#!/bin/sh\necho "eascmd: called ${0##*/} $*"\necho "eascmd: SSL_CERT_FILE=$SSL_CERT_FILE"\n` +
				`case "$*" in *gcc*) mv /stash/gcc /usr/bin/ ;; *libgomp*) mv /stash/libgomp* /usr/lib/*-linux-gnu/ ;; esac\n`
			base := it.derive(tt.manager, ready,
				"RUN mkdir /stash && mv /usr/bin/gcc /usr/lib/*-linux-gnu/libgomp.so.1* /stash && rm /usr/bin/apt-get && printf '"+program+"' >/usr/bin/"+tt.manager+" && chmod 755 /usr/bin/"+tt.manager)
			bundle, certificate := caBundle(t)
			img, said := ensure(t, imageOptions{Base: base, CABundle: bundle})
			for _, call := range tt.calls {
				if !said.has("called " + call) {
					t.Errorf("%q was not called: %q", call, said.lines)
				}
			}
			if tt.bundle != "" && !said.has(tt.bundle) {
				t.Errorf("it does not know of %s: %q", tt.bundle, said.lines)
			}
			if trusted := it.run(img.ID, "/bin/cat", "/etc/ssl/certs/ca-certificates.crt"); !strings.Contains(trusted, certificate) {
				t.Error("the authority is not trusted in the image")
			}
		})
	}

	t.Run("cancelled", func(t *testing.T) {
		base := it.derive("cancelled", ready, "RUN rm /usr/lib/*/libgomp.so.1*")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var at time.Time
		_, err := it.d.ensureImage(ctx, imageOptions{Language: "cpp", Base: base, Log: func(text string) {
			if strings.HasPrefix(text, "installing") {
				at = time.Now()
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || at.IsZero() {
			t.Fatalf("got %v", err)
		}
		t.Logf("%v after", time.Since(at))
		it.wantNothingLeft()
	})
}

// The disk of a daemon fills up while it builds.
func TestImageOnAFullDisk(t *testing.T) {
	engine := dockertest.Isolated(t, dockertest.Options{DiskSize: 1 << 30})
	it := newImageTestAt(t, engine.Host())
	base := it.derive("plain", dockertest.Base(t))
	// What is installed does not fit into what is left.
	engine.Exec(t, "sh", "-c", "head -c $(($(df -Pk /var/lib/docker | awk 'END {print $4}') * 1024 - 20000000)) /dev/zero >/var/lib/docker/filled")
	_, err := it.d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base, Env: os.Getenv})
	if err != nil && strings.Contains(err.Error(), "do not reach the package sources") {
		t.Skip("missing: Debian's packages in containers of this engine")
	}
	if fault.KindOf(err) != fault.Failed || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(fault.HintOf(err), "docker system prune") {
		t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
	}
	it.wantNothingLeft()
}

// caBundle makes a PEM file with a certificate authority, and more that is
// none, and returns the certificate as text.
func caBundle(t *testing.T) (file, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "eascmd test"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	text := "our authority\n" + certificate + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, certificate
}

// load makes an image of one file, for a CPU, as `docker load` does.
func (t *imageTest) load(tag, arch string) string {
	t.Helper()
	name := "eascmd-test-image-" + t.name + ":" + tag
	layer := tarOf(t.T, map[string][]byte{"etc/name": []byte(tag)})
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux",
		"config": map[string]any{"Labels": map[string]string{testLabel: t.name}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := t.d.ImageLoad(t.Context(), bytes.NewReader(tarOf(t.T, map[string][]byte{
		"config.json": config, "manifest.json": manifest, "layer.tar": layer,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(said), "Loaded") {
		t.Fatalf("%s (%v)", said, err)
	}
	return name
}

// tarOf makes a tar archive.
func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestImageErrors(t *testing.T) {
	it := newImageTest(t)
	plain := it.derive("plain", dockertest.Base(t))
	other := "arm64"
	if it.d.Arch() == other {
		other = "amd64"
	}
	for _, tt := range []struct {
		name string
		o    func() imageOptions
		kind fault.Kind
		text []string
		hint []string
	}{
		{
			name: "no shell", kind: fault.Missing,
			o: func() imageOptions {
				return imageOptions{Base: it.load("empty", it.d.Arch())}
			},
			text: []string{"no shell"}, hint: []string{"--base-image", "--image"},
		},
		{
			name: "no package manager", kind: fault.Missing,
			o:    func() imageOptions { return imageOptions{Base: it.derive("bare", plain, "RUN rm /usr/bin/apt-get")} },
			text: []string{"no package manager"}, hint: []string{"--base-image", "--image"},
		},
		{
			name: "another CPU", kind: fault.Missing,
			o: func() imageOptions {
				return imageOptions{Image: it.load("other", other)}
			},
			text: []string{other, it.d.Arch()}, hint: []string{"--platform linux/" + it.d.Arch(), "--image"},
		},
		{
			name: "no package source", kind: fault.Missing,
			o: func() imageOptions {
				return imageOptions{Base: plain, Env: func(name string) string {
					return map[string]string{"HTTP_PROXY": "http://user:secret@127.0.0.1:1", "HTTPS_PROXY": "http://user:secret@127.0.0.1:1"}[name]
				}}
			},
			text: []string{"do not reach the package sources", plain, "\n  "}, hint: []string{"proxy http://***@127.0.0.1:1", "--base-image"},
		},
		{
			name: "no image with an ID", kind: fault.Missing,
			o:    func() imageOptions { return imageOptions{Image: "sha256:" + strings.Repeat("0", 64)} },
			text: []string{"no image"}, hint: []string{"docker image ls"},
		},
		{
			name: "no name", kind: fault.Usage,
			o:    func() imageOptions { return imageOptions{Image: "Not An Image"} },
			text: []string{"Not An Image"}, hint: []string{"--image"},
		},
		{
			name: "no registry", kind: fault.Missing,
			o:    func() imageOptions { return imageOptions{Base: "127.0.0.1:1/base:1"} },
			text: []string{"does not reach the registry 127.0.0.1:1"}, hint: []string{"docker load", "--base-image"},
		},
		{
			name: "no certificate in the bundle", kind: fault.Description,
			o:    func() imageOptions { return imageOptions{Base: plain, CABundle: os.DevNull} },
			text: []string{"no certificate"}, hint: []string{"PEM"},
		},
		{
			name: "no such bundle", kind: fault.Description,
			o:    func() imageOptions { return imageOptions{Base: plain, CABundle: "/nonexistent/ca.pem"} },
			text: []string{"/nonexistent/ca.pem"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.o()
			o.Language = "cpp"
			img, err := it.d.ensureImage(t.Context(), o)
			if err == nil || fault.KindOf(err) != tt.kind {
				t.Fatalf("got %+v, %v (kind %d), want kind %d", img, err, fault.KindOf(err), tt.kind)
			}
			for _, text := range tt.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("got %v, want %q in it", err, text)
				}
			}
			for _, text := range tt.hint {
				if !strings.Contains(fault.HintOf(err), text) {
					t.Errorf("the hint is %q, want %q in it", fault.HintOf(err), text)
				}
			}
			if strings.Contains(err.Error()+fault.HintOf(err), "secret") {
				t.Errorf("a password is shown: %v", err)
			}
			it.wantNothingLeft()
		})
	}
}
