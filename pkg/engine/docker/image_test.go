package docker

import (
	"testing"

	"github.com/openeas/eascmd/internal/dockertest"
)

// imageDaemon connects to the engine of the tests.
func imageDaemon(t *testing.T) *Daemon {
	t.Helper()
	d, err := Connect(t.Context(), ConnectOptions{Host: dockertest.Host(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestImageIsBuiltOnce(t *testing.T) {
	d := imageDaemon(t)
	base := dockertest.Base(t)
	img, err := d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", img)
}
