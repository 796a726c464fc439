package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
)

// someEnvironment has one of everything that an environment may hold.
func someEnvironment() []pack.Entry {
	twin := pack.DataEntry("lib/twin", 0o644, []byte("twins"))
	twin.Same = "1"
	other := twin
	other.Name = "lib/other"
	return []pack.Entry{
		pack.DataEntry("bin/run", 0o755, []byte("#!/bin/sh\necho it runs\n")),
		{Name: "bin/python", Mode: fs.ModeSymlink | 0o777, Link: "run"},
		{Name: "empty", Mode: fs.ModeDir | 0o700},
		other, twin,
		pack.DataEntry("lib/"+strings.Repeat("long/", 30)+"file", 0o600, []byte("deep")),
	}
}

func TestWriteLayer(t *testing.T) {
	var layer bytes.Buffer
	read := 0
	if err := writeLayer(t.Context(), &layer, someEnvironment(), func(n int) { read += n }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&layer); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(layerTime) || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: %v of %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		if !strings.Contains(h.Name, "/long/long") {
			got = append(got, fmt.Sprintf("%c %04o %s %s", h.Typeflag, h.Mode, h.Name, h.Linkname))
		}
	}
	want := []string{
		"5 0755 data/ ", "5 0755 data/eas/ ", "5 0755 data/eas/ENV/ ",
		"5 0755 data/eas/ENV/bin/ ", "2 0777 data/eas/ENV/bin/python run", "0 0755 data/eas/ENV/bin/run ",
		"5 0700 data/eas/ENV/empty/ ",
		"5 0755 data/eas/ENV/lib/", "5 0755 data/eas/ENV/lib/long/",
		"0 0644 data/eas/ENV/lib/other", "1 0644 data/eas/ENV/lib/twin data/eas/ENV/lib/other",
	}
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], " ")
	}
	for i := range want {
		want[i] = strings.TrimSuffix(want[i], " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the layer (-want +got):\n%s", d)
	}
	if want := len("#!/bin/sh\necho it runs\n") + len("twins") + len("deep"); read != want {
		t.Errorf("%d bytes were told of, want %d", read, want)
	}
}

func TestWriteLayerFails(t *testing.T) {
	short := pack.DataEntry("file", 0o644, []byte("abc"))
	short.Size = 4
	gone := pack.Entry{Name: "file", Size: 1, Open: func() (io.ReadCloser, error) { return os.Open("nowhere") }}
	for want, e := range map[string]pack.Entry{"became shorter": short, "no such file": gone} {
		err := writeLayer(t.Context(), io.Discard, []pack.Entry{e}, func(int) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// On a newer engine it is tried by TestImageIsBuilt, since to start one takes long.
func TestDataImage(t *testing.T) { testDataImage(newImageTest(t)) }

var errStop = errors.New("stop")

func testDataImage(it *imageTest) {
	t := it.T
	t.Helper()
	base := it.derive("plain", dockertest.Base(t), "ENV PATH=/mine:/usr/bin:/bin")
	o := MakeOptions{Name: "eascmd-test-image-" + it.name + ":data", Base: base, Env: dockerSettings(t, "")}
	first, err := it.d.MakeDataImage(t.Context(), o, someEnvironment())
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
	}
	if got := it.run(first.ID, "run"); got != "it runs\n" {
		t.Errorf("the environment is not the active one: %q", got)
	}
	if got, want := it.run(first.ID, "/bin/sh", "-c", "pwd; echo $PATH; readlink ENV/bin/python; cat ENV/lib/twin; stat -c %u:%a:%h ENV/lib/twin ENV/empty; ls -a /"),
		"/data/eas\n/data/eas/ENV/bin:/mine:/usr/bin:/bin\nrun\ntwins0:644:2\n0:700:2\n"; !strings.HasPrefix(got, want) {
		t.Errorf("in the image: %q, want %q", got, want)
	}
	it.wantNothingLeft()

	// The same files make the same layer, others another.
	o.Name += "2"
	again, err := it.d.MakeDataImage(t.Context(), o, someEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if first.Layer == "" || again.Layer != first.Layer {
		t.Errorf("the layers are %q and %q", first.Layer, again.Layer)
	}
	o.Name += "3"
	other, err := it.d.MakeDataImage(t.Context(), o, someEnvironment()[:2])
	if err != nil {
		t.Fatal(err)
	}
	if other.Layer == first.Layer {
		t.Error("other files have the same layer")
	}

	// Who interrupts it finds nothing left.
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := o
	interrupted.Progress = func(string) (func(done, total int64), func()) {
		return func(done, total int64) { cancel(errStop) }, func() {}
	}
	long := pack.DataEntry("long", 0o644, bytes.Repeat([]byte("long"), 8<<20))
	if _, err := it.d.MakeDataImage(ctx, interrupted, []pack.Entry{long}); !errors.Is(err, errStop) {
		t.Errorf("interrupted: %v", err)
	}
	it.wantNothingLeft()

	// What an entry says of itself is what fails.
	gone := pack.Entry{Name: "gone", Size: 1, Open: func() (io.ReadCloser, error) { return os.Open("nowhere") }}
	if _, err := it.d.MakeDataImage(t.Context(), o, []pack.Entry{gone}); err == nil || !strings.Contains(err.Error(), "read the environment: open nowhere") {
		t.Errorf("a file that is gone: %v", err)
	}
	it.wantNothingLeft()

	o.Base = first.Name
	if _, err := it.d.MakeDataImage(t.Context(), o, someEnvironment()); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "would be mixed") {
		t.Errorf("on a data image: %v", err)
	}
	for name, want := range map[string]string{"": "is not a name", "Upper": "is not a name", "a@sha256:" + strings.Repeat("1", 64): "a digest follows"} {
		o.Name = name
		if _, err := it.d.MakeDataImage(t.Context(), o, nil); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	it.wantNothingLeft()
}

// The description's data_image is run in as it is, and pulled with its dockerAuth.
func TestDataImageIsPulled(t *testing.T) {
	it := newImageTest(t)
	r := newImageRegistry(it, it.d.Arch(), 1<<10)
	r.user, r.password = "somebody", "secret"
	host := it.serve(r)
	o := imageOptions{Language: "python", Data: host + "/image:1", Plain: true, Env: dockerSettings(t, "")}
	for auth, want := range map[string]string{"": "wants a login", "bm9ib2R5": "dockerAuth is not base64 of user:password", "YTpi": "wants a login"} {
		o.DataAuth = auth
		_, err := it.d.ensureImage(t.Context(), o)
		if err == nil || !strings.Contains(err.Error()+fault.HintOf(err), want) {
			t.Errorf("with %q: %v (%s), want %q", auth, err, fault.HintOf(err), want)
		}
	}
	o.DataAuth = "c29tZWJvZHk6c2VjcmV0"
	if img, err := it.d.ensureImage(t.Context(), o); err != nil || img.Ref != o.Data {
		t.Errorf("%+v, %v (%s)", img, err, fault.HintOf(err))
	}
}

// pushRegistry takes what is pushed to it.
type pushRegistry struct {
	refuse http.HandlerFunc
	blobs  sync.Map // digests, and uploads' lengths
}

func (p *pushRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, digest, _ := strings.Cut(r.URL.Path, "/blobs/")
	switch {
	case p.refuse != nil && r.URL.Path != "/v2/":
		p.refuse(w, r)
	case r.URL.Path == "/v2/":
	case r.Method == http.MethodHead:
		n, ok := p.blobs.Load(digest)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(n))
		w.Header().Set("Docker-Content-Digest", digest)
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/image/blobs/uploads/"+rand.Text())
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPatch:
		n, _ := io.Copy(io.Discard, r.Body)
		p.blobs.Store(digest, n)
		w.Header().Set("Location", r.URL.Path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", n-1))
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
		data, _ := io.ReadAll(r.Body)
		w.Header().Set("Docker-Content-Digest", digestOf(data))
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		n, _ := io.Copy(io.Discard, r.Body)
		if sent, ok := p.blobs.Load(digest); ok {
			n += sent.(int64)
		}
		p.blobs.Store(r.URL.Query().Get("digest"), n)
		w.Header().Set("Docker-Content-Digest", r.URL.Query().Get("digest"))
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func TestPush(t *testing.T) {
	answer := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, strings.ToLower(code)+" as the registry says")
		}
	}
	it := newImageTest(t)
	for _, tt := range []struct {
		name       string
		refuse     http.HandlerFunc
		kind       fault.Kind
		text, hint string // of the error, if there is one
	}{
		{name: "taken"},
		{"no login", answer(http.StatusUnauthorized, "UNAUTHORIZED"), fault.Remote, "wants a login", "docker login HOST"},
		{"not there", answer(http.StatusForbidden, "DENIED"), fault.Remote, "does not let this login write there", "docker login HOST"},
		{"no repository", answer(http.StatusNotFound, "NAME_UNKNOWN"), fault.Remote, "has no such repository", "make the repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := it.serveHandler(&pushRegistry{refuse: tt.refuse})
			name := host + "/image:1"
			made := it.load("pushed", it.d.Arch())
			if err := it.d.ImageTag(t.Context(), made, name); err != nil {
				t.Fatal(err)
			}
			var done, total int64
			digest, err := it.d.PushImage(t.Context(), MakeOptions{Name: name, Env: dockerSettings(t, ""), Progress: func(string) (func(done, total int64), func()) {
				return func(d, t int64) { done, total = d, t }, func() {}
			}})
			if tt.text == "" {
				if err != nil || !strings.HasPrefix(digest, "sha256:") || done != total {
					t.Errorf("%q, %v (%s); %d of %d bytes", digest, err, fault.HintOf(err), done, total)
				}
				return
			}
			if fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), strings.ReplaceAll(tt.hint, "HOST", host)) {
				t.Errorf("%v (kind %d, hint %q), want %q and %q", err, fault.KindOf(err), fault.HintOf(err), tt.text, tt.hint)
			}
		})
	}
}

func TestDiagnosePush(t *testing.T) {
	for text, want := range map[string]string{
		"x509: certificate signed by unknown authority":              "does not trust the certificate",
		"http: server gave HTTP response to HTTPS client":            "speaks plain HTTP",
		"dial tcp: lookup host: no such host":                        "does not reach the registry",
		"tag immutable: 1":                                           "does not replace a tag",
		"denied: requested access to the resource is denied":         "does not let this login write there",
		"received unexpected HTTP status: 500 Internal Server Error": "or the daemon refuses",
	} {
		if _, why, hint := diagnosePush(text, "host/image:1", "host"); !strings.Contains(why, want) || hint == "" {
			t.Errorf("%q: %q (%s), want %q", text, why, hint, want)
		}
	}
}

func TestCanPush(t *testing.T) {
	for name, want := range map[string]bool{
		"demo": false, "demo:1": false, "docker.io/demo": false, "Demo": false,
		"somebody/demo": true, "localhost:5000/demo": true, "registry.cn-shanghai.aliyuncs.com/team/demo:1": true,
	} {
		if err := CanPush(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPythonBase(t *testing.T) {
	for version, want := range map[string]string{
		"": defaultBase, "3.11": "python:3.11-slim-bookworm", "3.6": "python:3.6-slim-bullseye", "3.13.1": "python:3.13.1-slim-bookworm",
	} {
		if got := pythonBase(version); got != want {
			t.Errorf("%q: %s, want %s", version, got, want)
		}
	}
}

// The image for processors that bring no environment, on a base that has all
// that would be installed.
func TestPythonImageIsBuilt(t *testing.T) {
	it := newImageTest(t)
	base := it.derive("python", dockertest.Base(t),
		`RUN mkdir -p /etc/ssl && echo >/etc/ssl/cert.pem && printf '#!/bin/sh\necho Python 3.99.0 "$@"\n' >/usr/bin/python3 && chmod 755 /usr/bin/python3`)
	var said journal
	o := imageOptions{Language: "python", Base: base, Env: dockerSettings(t, ""), Log: said.log}
	img, err := it.d.ensureImage(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
	}
	it.wantNothingLeft()
	if !said.has("building the image "+img.Ref+" on "+base) || !strings.HasPrefix(img.Ref, "eascmd-python:") || said.has("installing") {
		t.Errorf("%s was built with %q", img.Ref, said.lines)
	}
	if got := it.run(img.ID, "python3", "x"); got != "Python 3.99.0 x\n" {
		t.Errorf("its Python says %q", got)
	}
	// Nothing is built again, and nothing at all for who brings an environment.
	if again, err := it.d.ensureImage(t.Context(), o); err != nil || again.ID != img.ID {
		t.Errorf("%+v, %v", again, err)
	}
	o.Plain = true
	if plain, err := it.d.ensureImage(t.Context(), o); err != nil || plain.Ref != base {
		t.Errorf("%+v, %v", plain, err)
	}
}
