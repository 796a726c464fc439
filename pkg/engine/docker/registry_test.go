package docker

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// imageRegistry serves one image over the registry's HTTP API, to who knows the
// password, where there is one.
type imageRegistry struct {
	manifest []byte
	blobs    map[string][]byte

	user, password string

	// refuse, where set, answers instead of the registry.
	refuse http.HandlerFunc

	// blob, where set, is called before a blob is sent.
	blob func(digest string, r *http.Request)
}

const (
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// newImageRegistry makes a registry with an image of two layers of a size,
// labelled as the test's.
func newImageRegistry(t *imageTest, arch string, size int) *imageRegistry {
	t.Helper()
	r := &imageRegistry{blobs: make(map[string][]byte)}
	var ids []string
	var layers []any
	for i := range 2 {
		noise := make([]byte, size) // does not get smaller in a layer
		rand.Read(noise)
		layer := tarOf(t.T, map[string][]byte{fmt.Sprintf("layer%d", i): noise})
		ids = append(ids, digestOf(layer))
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(layer)
		w.Close()
		layers = append(layers, r.keep(packed.Bytes(), layerType))
	}
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux",
		"config": map[string]any{"Labels": map[string]string{testLabel: t.name}, "Env": []string{"FROM=registry"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": r.keep(config, configType), "layers": layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *imageRegistry) keep(data []byte, mediaType string) any {
	digest := digestOf(data)
	r.blobs[digest] = data
	return map[string]any{"mediaType": mediaType, "size": len(data), "digest": digest}
}

func (r *imageRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	fail := func(status int, code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, strings.ToLower(strings.ReplaceAll(code, "_", " ")))
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if r.refuse != nil {
		r.refuse(w, req)
		return
	}
	if user, password, _ := req.BasicAuth(); user != r.user || password != r.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		fail(http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	name, digest, _ := strings.Cut(req.URL.Path, "/blobs/")
	switch data := r.blobs[digest]; {
	case req.URL.Path == "/v2/":
	case data != nil && name == "/v2/image":
		if r.blob != nil {
			r.blob(digest, req)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	case req.URL.Path == "/v2/image/manifests/1", req.URL.Path == "/v2/image/manifests/"+digestOf(r.manifest):
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", digestOf(r.manifest))
		w.Write(r.manifest)
	default:
		fail(http.StatusNotFound, "MANIFEST_UNKNOWN")
	}
}

// serve starts a registry that the daemon reaches, and returns its host.
func (t *imageTest) serve(r *imageRegistry) string {
	t.Helper()
	return t.serveHandler(r)
}

func (t *imageTest) serveHandler(r http.Handler) string {
	t.Helper()
	if !t.d.sharesNetwork() {
		t.Skip("missing: an engine in this machine's network")
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// dockerSettings makes a directory with the configuration of Docker's command
// line, and returns the environment that names it.
func dockerSettings(t *testing.T, text string) func(string) string {
	t.Helper()
	dir := t.TempDir()
	if text != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) string {
		if name == "DOCKER_CONFIG" {
			return dir
		}
		return ""
	}
}

func TestPull(t *testing.T) {
	it := newImageTest(t)
	r := newImageRegistry(it, it.d.Arch(), 1<<20)
	host := it.serve(r)
	var said journal
	var mu sync.Mutex
	var label string
	var done, total, ended int64
	img, err := it.d.ensureImage(t.Context(), imageOptions{
		Language: "cpp", Image: host + "/image:1", Env: dockerSettings(t, ""), Log: said.log,
		Progress: func(l string) (func(done, total int64), func()) {
			label = l
			return func(d, t int64) { mu.Lock(); done, total = d, t; mu.Unlock() }, func() { ended++ }
		},
	})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
	}
	if diff := cmp.Diff([]string{"FROM=registry"}, img.Env); diff != "" || img.Ref != host+"/image:1" {
		t.Errorf("the image is %+v", img)
	}
	if !said.has("pulling the image " + host + "/image:1") {
		t.Errorf("steps are %q", said.lines)
	}
	if want := int64(2 << 20); label != "pulling "+host+"/image:1" || done != total || total < want || ended != 1 {
		t.Errorf("%q is at %d of %d, and ended %d times; want all of at least %d, once", label, done, total, ended, want)
	}
}

func TestPullWithCredentials(t *testing.T) {
	it := newImageTest(t)
	const user, password = "somebody", "not to be shown"
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))

	// A credential helper, as Docker's command line calls it.
	bin := t.TempDir()
	writeProgram(t, bin, "docker-credential-eascmdtest", fmt.Appendf(nil, "#!/bin/sh\nread -r host\nprintf '{\"ServerURL\":\"%%s\",\"Username\":\"%s\",\"Secret\":\"%s\"}' \"$host\"\n", user, password))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))

	for _, tt := range []struct {
		name, settings string
		text, hint     string // of the error, if there is one
	}{
		{name: "of auths", settings: `{"auths": {"HOST": {"auth": "` + encoded + `"}}}`},
		{name: "of a helper", settings: `{"credHelpers": {"HOST": "eascmdtest"}}`},
		{name: "of a store", settings: `{"credsStore": "eascmdtest"}`},
		{name: "none", settings: `{}`, text: "wants a login", hint: "docker login HOST"},
		{name: "wrong ones", settings: `{"auths": {"HOST": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("a:b")) + `"}}}`,
			text: "wants a login", hint: "docker login HOST"},
		{name: "of a helper that is not there", settings: `{"credsStore": "eascmdmissing"}`,
			text: "wants a login", hint: "docker-credential-eascmdmissing"},
		{name: "of a damaged file", settings: `{"auths": `, text: "wants a login", hint: "config.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newImageRegistry(it, it.d.Arch(), 1<<10)
			r.user, r.password = user, password
			host := it.serve(r)
			_, err := it.d.ensureImage(t.Context(), imageOptions{
				Language: "cpp", Image: host + "/image:1", Env: dockerSettings(t, strings.ReplaceAll(tt.settings, "HOST", host)),
			})
			if tt.text == "" {
				if err != nil {
					t.Errorf("%v\nhint: %s", err, fault.HintOf(err))
				}
				return
			}
			if err == nil || fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), tt.text) ||
				!strings.Contains(fault.HintOf(err), strings.ReplaceAll(tt.hint, "HOST", host)) {
				t.Errorf("got %v (hint %q), want %q and %q", err, fault.HintOf(err), tt.text, tt.hint)
			}
			if strings.Contains(err.Error()+fault.HintOf(err), password) {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

func TestPullErrors(t *testing.T) {
	it := newImageTest(t)
	other := "arm64"
	if it.d.Arch() == other {
		other = "amd64"
	}
	answer := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"as the registry says"}]}`, code)
		}
	}
	for _, tt := range []struct {
		name, image string
		refuse      http.HandlerFunc
		arch        string
		text, hint  string
	}{
		{name: "no such image", image: "/image:2", text: "has no such image", hint: "docker login HOST"},
		{name: "no such repository", image: "/other", text: "has no such image", hint: "--image"},
		{name: "another CPU", image: "/image:1", arch: other, text: other, hint: "--platform"},
		{name: "denied", image: "/image:1", refuse: answer(http.StatusForbidden, "DENIED"), text: "shows it to nobody", hint: "docker login HOST"},
		{name: "too often", image: "/image:1", refuse: answer(http.StatusTooManyRequests, "TOOMANYREQUESTS"), text: "limits how much", hint: "docker login HOST"},
		{name: "out of order", image: "/image:1", refuse: answer(http.StatusInternalServerError, "UNKNOWN"), text: "refuses", hint: "docker pull HOST/image:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			arch := tt.arch
			if arch == "" {
				arch = it.d.Arch()
			}
			r := newImageRegistry(it, arch, 1<<10)
			r.refuse = tt.refuse
			host := it.serve(r)
			_, err := it.d.ensureImage(t.Context(), imageOptions{Language: "cpp", Image: host + tt.image, Env: dockerSettings(t, "")})
			if err == nil || fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), tt.text) ||
				!strings.Contains(fault.HintOf(err), strings.ReplaceAll(tt.hint, "HOST", host)) {
				t.Errorf("got %v (kind %d, hint %q), want %q and %q", err, fault.KindOf(err), fault.HintOf(err), tt.text, tt.hint)
			}
		})
	}
}

// A pull that nobody waits for any more ends at once, also where the registry
// has stopped sending.
func TestPullCancelled(t *testing.T) {
	it := newImageTest(t)
	r := newImageRegistry(it, it.d.Arch(), 1<<10)
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	r.blob = func(string, *http.Request) {
		cancel()
		<-released
	}
	host := it.serve(r)
	defer close(released)
	_, err := it.d.ensureImage(ctx, imageOptions{Language: "cpp", Image: host + "/image:1", Env: dockerSettings(t, "")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
