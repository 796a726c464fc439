package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/system"

	"github.com/openeas/eascmd/internal/fault"
)

// programHeader is the smallest file that is a static Linux program for a CPU,
// by what its header says; or, with an interpreter, a dynamic one.
func programHeader(machine byte, interpreter bool) []byte {
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16] = 2       // executable
	b[18] = machine // low byte
	b[20] = 1       // version
	b[32] = 64      // program headers' offset
	b[52], b[54] = 64, 56
	b[56] = 1 // one of them
	b[64] = 1 // PT_LOAD
	if interpreter {
		b[64] = 3 // PT_INTERP
	}
	return b
}

const (
	x86 = 62
	arm = 183
)

func writeProgram(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProgramIsFound(t *testing.T) {
	amd64 := &Daemon{Info: system.Info{Architecture: "x86_64"}}
	arm64 := &Daemon{Info: system.Info{Architecture: "aarch64"}}
	for _, tt := range []struct {
		name   string
		daemon *Daemon
		files  map[string][]byte // the first in its name's order is not it: bin/eascmd runs
		want   string
		warns  bool
	}{
		{name: "the running one", daemon: amd64, want: "bin/eascmd", files: map[string][]byte{
			"bin/eascmd": programHeader(x86, false), "bin/eascmd64": programHeader(x86, false)}},
		{name: "for another system", daemon: amd64, want: "bin/eascmd64", files: map[string][]byte{
			"bin/eascmd": []byte("\xcf\xfa\xed\xfe of macOS"), "bin/eascmd64": programHeader(x86, false)}},
		{name: "for another CPU", daemon: arm64, want: "bin/eascmd-linux-arm64", files: map[string][]byte{
			"bin/eascmd": programHeader(x86, false), "bin/eascmd-linux-arm64": programHeader(arm, false)}},
		{name: "in dist", daemon: arm64, want: "dist/eascmd-linux-arm64", files: map[string][]byte{
			"bin/eascmd": programHeader(x86, false), "dist/eascmd-linux-arm64": programHeader(arm, false)}},
		{name: "not a damaged one", daemon: arm64, want: "dist/eascmd-linux-arm64", files: map[string][]byte{
			"bin/eascmd": programHeader(x86, false), "bin/eascmd-linux-arm64": nil, "dist/eascmd-linux-arm64": programHeader(arm, false)}},
		{name: "static before dynamic", daemon: amd64, want: "bin/eascmd64", files: map[string][]byte{
			"bin/eascmd": programHeader(x86, true), "bin/eascmd64": programHeader(x86, false)}},
		{name: "dynamic at last", daemon: amd64, want: "bin/eascmd", warns: true, files: map[string][]byte{
			"bin/eascmd": programHeader(x86, true)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range tt.files {
				writeProgram(t, dir, name, data)
			}
			warned := false
			got, err := tt.daemon.program(t.Context(), programOptions{
				Executable: filepath.Join(dir, "bin", "eascmd"), Version: "devel", CacheDir: t.TempDir(),
				Warn: func(string, string) { warned = true },
			})
			if err != nil || got != filepath.Join(dir, tt.want) || warned != tt.warns {
				t.Errorf("got %q (%v), warned %v; want %q, %v", got, err, warned, tt.want, tt.warns)
			}
		})
	}
}

func TestProgramOfTheRelease(t *testing.T) {
	d := &Daemon{Info: system.Info{Architecture: "aarch64"}}
	program := programHeader(arm, false)
	sum := sha256.Sum256(program)
	right := hex.EncodeToString(sum[:])
	for _, tt := range []struct {
		name, version string
		sums          string // "" is none
		kind          fault.Kind
		text, hint    string
	}{
		{name: "as announced", version: "1.2.3", sums: strings.Repeat("0", 64) + "  eascmd64\n" + right + "  eascmd-linux-arm64\n"},
		{name: "by its tag", version: "v1.2.3", sums: right + " *eascmd-linux-arm64\n"},
		{name: "changed on the way", version: "1.2.3", sums: strings.Repeat("0", 64) + "  eascmd-linux-arm64\n",
			kind: fault.Remote, text: right, hint: "by hand"},
		{name: "without a sum", version: "1.2.3", sums: right + "  eascmd64\n",
			kind: fault.Remote, text: "no sum", hint: "by hand"},
		{name: "without sums", version: "1.2.3", kind: fault.Remote, text: "SHA256SUMS", hint: "by hand"},
		{name: "of no release", version: "devel", kind: fault.Missing, text: "eascmd-linux-arm64", hint: "make build"},
		{name: "of a commit after one", version: "v1.2.3-4-gabcdef0", kind: fault.Missing, text: "v1.2.3-4-gabcdef0", hint: "make build"},
		{name: "of one with changes", version: "v1.2.3-dirty", kind: fault.Missing, text: "v1.2.3-dirty", hint: "make build"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				dir, name := path.Split(r.URL.Path)
				switch {
				case dir == "/v1.2.3/" && name == "eascmd-linux-arm64":
					w.Write(program)
				case dir == "/v1.2.3/" && name == "SHA256SUMS" && tt.sums != "":
					w.Write([]byte(tt.sums))
				default:
					http.NotFound(w, r)
				}
			}))
			defer server.Close()
			cache := t.TempDir()
			opts := programOptions{
				Executable: writeProgram(t, t.TempDir(), "eascmd", []byte("not for Linux")),
				Version:    tt.version, CacheDir: cache, Releases: server.URL,
			}
			got, err := d.program(t.Context(), opts)
			if tt.text != "" {
				if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
					t.Errorf("got %q, %v (kind %d, hint %q); want kind %d, %q, hint %q", got, err, fault.KindOf(err), fault.HintOf(err), tt.kind, tt.text, tt.hint)
				}
				if left, _ := filepath.Glob(filepath.Join(cache, "programs", "*", "*")); len(left) > 0 {
					t.Errorf("the cache has %q", left)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
			}
			if data, err := os.ReadFile(got); err != nil || string(data) != string(program) {
				t.Errorf("%s holds %d bytes (%v)", got, len(data), err)
			}
			if info, err := os.Stat(got); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o555 != 0o555 {
				t.Errorf("%s cannot be run by everybody: %v (%v)", got, info.Mode(), err)
			}
			// Once it is there, no network is needed.
			before := asked.Load()
			if again, err := d.program(t.Context(), opts); err != nil || again != got || asked.Load() != before {
				t.Errorf("a second time: %q, %v, %d requests", again, err, asked.Load()-before)
			}
		})
	}
}

func TestNoProgramForTheCPU(t *testing.T) {
	d := &Daemon{Info: system.Info{Architecture: "riscv64"}}
	_, err := d.program(t.Context(), programOptions{Executable: writeProgram(t, t.TempDir(), "eascmd", programHeader(x86, false)), Version: "1.2.3"})
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v", err)
	}
}

// The names are those that releases are made with.
func TestReleaseNames(t *testing.T) {
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for arch, name := range releaseNames {
		if !strings.Contains(string(makefile), "\t"+name+"=linux/"+arch+" ") {
			t.Errorf("the Makefile makes no %s for linux/%s", name, arch)
		}
	}
	config, err := os.ReadFile("../../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), "name_template: "+sumsName+"\n") {
		t.Errorf("a release has no %s", sumsName)
	}
}
