//go:build unix

package pysdk

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// index serves the wheel of a package as an index of packages does, over TLS,
// and returns its certificate's file.
func index(t *testing.T, name string) (url, certificate string) {
	t.Helper()
	wheels := wheel(t, name)
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/"+name+"/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<a href="/files/%s-1.0-py3-none-any.whl">%[1]s-1.0-py3-none-any.whl</a>`, name)
	})
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(wheels))))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.URL, write(t, filepath.Join(t.TempDir(), "ca.pem"), string(block), 0o666)
}

// pip takes packages from a server whose certificate only --ca-bundle vouches
// for.
func TestCABundle(t *testing.T) {
	i := interpreter(t, "")
	url, certificate := index(t, "greeting")
	t.Setenv("PIP_INDEX_URL", url+"/simple/")
	t.Setenv("PIP_RETRIES", "0")
	t.Setenv("PIP_CONFIG_FILE", os.DevNull)
	t.Setenv("PIP_NO_CACHE_DIR", "1")
	t.Setenv("NO_PROXY", "127.0.0.1")
	req := write(t, filepath.Join(t.TempDir(), "r.txt"), "greeting\n", 0o666)
	opts := Options{Dir: realTempDir(t), Version: i.Version, Backend: quick(), Requirements: req, CABundle: certificate}
	env := create(t, opts)
	if got := output(t, filepath.Join(env.Path, "bin", "greeting")); got != "greeting "+env.Path+"\n" {
		t.Errorf("the installed program says %q", got)
	}
	if exists(filepath.Join(opts.Dir, trustName)) {
		t.Error("the certificates are left")
	}

	opts.Dir, opts.CABundle = t.TempDir(), ""
	if _, err := Create(t.Context(), opts); err == nil {
		t.Error("a server that nobody vouches for was trusted")
	}
}

// The package comes from an address, where the server's name for it matters.
func TestSDKFromAddress(t *testing.T) {
	i := interpreter(t, "")
	sdk := bundled(t)
	path, err := sdk.WriteWheel(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(path))))
	defer server.Close()
	fetch := store.HTTPOptions{CacheDir: t.TempDir()}
	env := create(t, Options{Dir: t.TempDir(), Version: i.Version, Backend: quick(), SDK: ParseSource(server.URL+"/"+sdk.WheelName(), fetch)})
	if env.SDK != sdk.Version {
		t.Errorf("%+v", env)
	}
	dir := t.TempDir()
	_, err = Create(t.Context(), Options{Dir: dir, Version: i.Version, Backend: quick(), SDK: ParseSource(server.URL+"/none.whl", fetch)})
	if fault.KindOf(err) != fault.Remote {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
