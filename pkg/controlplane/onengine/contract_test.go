package onengine_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/controlplane/onengine"
)

// vendorSDK is the typed client that the vendor generates from the API.
const vendorSDK = "alibabacloud-eas20210701==7.0.0"

// sdk returns the directory with the vendor's client, which is installed once
// for all runs of this test.
func sdk(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("missing: the time to install the vendor's client")
	}
	version, err := exec.CommandContext(t.Context(), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Skipf("missing: python3 (%v)", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("missing: a cache directory (%v)", err)
	}
	cache = filepath.Join(cache, "eascmd-tests")
	dir := filepath.Join(cache, strings.ReplaceAll(vendorSDK, "==", "-")+"-python"+strings.TrimSpace(string(version)))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Skipf("missing: a cache directory (%v)", err)
	}
	temp, err := os.MkdirTemp(cache, ".installing-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--target", temp, vendorSDK).CombinedOutput()
	if err != nil {
		t.Skipf("missing: %s of PyPI (%v)\n%s", vendorSDK, err, out)
	}
	// Of two that do this at the same time the first wins, with the same content.
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, statErr := os.Stat(dir); statErr != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The API is the vendor's: its own client works with it.
func TestContract(t *testing.T) {
	opts, path := options(t), echo(t)
	packages := sdk(t)
	s, err := controlplane.Start(controlplane.Options{
		Runner: onengine.New(opts),
		Keys:   []controlplane.AccessKey{{ID: "testid", Secret: "testsecret"}},
		Delays: controlplane.AllDelays(10 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cmd := exec.CommandContext(t.Context(), "python3", filepath.Join("testdata", "contract.py"))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1",
		"EAS_ENDPOINT="+strings.TrimPrefix(s.Endpoint(), "http://"), "EAS_KEY=testid", "EAS_SECRET=testsecret",
		"EAS_PROCESSOR=file://"+path, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
