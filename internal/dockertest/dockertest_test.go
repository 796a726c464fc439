package dockertest

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	linux := daemon(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"OSType": "linux"}`) })
	windows := daemon(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"OSType": "windows"}`) })
	nobody := "unix://" + filepath.Join(t.TempDir(), "nobody")
	for _, tt := range []struct {
		name             string
		given, environ   string // EnvHost, DOCKER_HOST
		want, wantsError string
	}{
		{name: "of the environment", environ: linux, want: linux},
		{name: "given by make test", given: linux, environ: nobody, want: linux},
		{name: "not there", environ: nobody, wantsError: nobody},
		{name: "not there, so no other", given: nobody, environ: linux, wantsError: EnvHost},
		{name: "of Windows", environ: windows, wantsError: `"windows"`},
		{name: "another kind of address", environ: "ssh://somewhere", wantsError: "ssh://somewhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(EnvHost, tt.given)
			t.Setenv("DOCKER_HOST", tt.environ)
			t.Setenv("DOCKER_TLS_VERIFY", "")
			got, err := Find(t.Context())
			if tt.wantsError == "" && err != nil || tt.wantsError != "" && (err == nil || !strings.Contains(err.Error(), tt.wantsError)) {
				t.Errorf("error %v, want %q", err, tt.wantsError)
			}
			if got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
