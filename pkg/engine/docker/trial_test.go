//go:build unix

package docker

import (
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
)

func TestImageState(t *testing.T) {
	d := daemon(t, dockertest.Host(t))
	base := dockertest.Base(t)
	state, err := d.ImageState(t.Context(), "")
	if err != nil || state.Base != base || !state.HasBase || state.Usable() == "" {
		t.Errorf("%+v, %v", state, err)
	}
	if _, err := d.ImageState(t.Context(), "/no/such/bundle"); err == nil {
		t.Error("a CA bundle that is not there is no error")
	}
	for _, tt := range []struct {
		state ImageState
		want  string
	}{
		{ImageState{Base: "b"}, ""},
		{ImageState{Base: "b", HasBase: true}, "b"},
		{ImageState{Base: "b", Built: "i"}, "i"},
		{ImageState{Base: "b", HasBase: true, Built: "i"}, "i"},
	} {
		if got := tt.state.Usable(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.state, got, tt.want)
		}
	}
}

// A daemon of its own sees no file of ours; the one of this machine usually does.
func TestSeesFiles(t *testing.T) {
	here := daemon(t, dockertest.Host(t))
	image := dockertest.Base(t)
	if here.sameMachine() {
		if seen, err := here.SeesFiles(t.Context(), image); err != nil || !seen {
			t.Errorf("the daemon of this machine: %v, %v", seen, err)
		}
	}
	e := dockertest.Isolated(t, dockertest.Options{Offline: true})
	elsewhere := daemon(t, e.Host())
	if seen, err := elsewhere.SeesFiles(t.Context(), image); err != nil || seen {
		t.Errorf("a daemon with other files: %v, %v", seen, err)
	}
	if _, err := here.SeesFiles(t.Context(), "eascmd-no-such-image"); err == nil {
		t.Error("an image that is not there is no error")
	}
	wantNoTrials(t, e.Host())
}

func TestTryGPUs(t *testing.T) {
	e := nvidiaEngine(t)
	d := daemon(t, e.Host())
	listed, err := d.TryGPUs(t.Context(), dockertest.BaseImage, "doctor")
	if err != nil || !strings.HasPrefix(listed, "0, GPU-aaaa") || strings.Contains(listed, "\r") {
		t.Errorf("%q, %v", listed, err)
	}
	// What nvidia-smi says when it fails is explained as a run's failure is.
	e.Exec(t, "sh", "-c", "printf '#!/bin/sh\\necho Failed to initialize NVML: Driver/library version mismatch; exit 18\\n' > /opt/nvidia/nvidia-smi")
	_, err = d.TryGPUs(t.Context(), dockertest.BaseImage, "doctor")
	if err == nil || fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" || !strings.HasPrefix(err.Error(), "doctor asks for a GPU: ") {
		t.Errorf("a driver that does not fit: %v", err)
	}
	e.Exec(t, "rm", "/opt/nvidia/nvidia-smi")
	if _, err = d.TryGPUs(t.Context(), dockertest.BaseImage, "doctor"); err == nil || !strings.Contains(err.Error(), "has no nvidia-smi") {
		t.Errorf("no nvidia-smi: %v", err)
	}
	wantNoTrials(t, e.Host())
}

// wantNoTrials fails where a trial has left its container.
func wantNoTrials(t *testing.T, host string) {
	t.Helper()
	if left := dockertest.Containers(t, host, labelOwner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
