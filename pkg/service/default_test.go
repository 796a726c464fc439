package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/service"
)

func TestFields(t *testing.T) {
	fields := service.Fields()
	for path, want := range map[string]service.Field{
		"name":                   {Text: true},
		"metadata.instance":      {},
		"metadata.cuda":          {Text: true},
		"metadata.rpc.keepalive": {Default: "5000"},
		"uncompress":             {Default: "true"},
	} {
		got, ok := fields[path]
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: there %t, -want +got:\n%s", path, ok, diff)
		}
	}
	if _, ok := fields["containers[].image"]; ok {
		t.Error("an element of a list is a field")
	}
}

func TestNormalPlace(t *testing.T) {
	for path, want := range map[string]string{
		"name":                    "name",
		"metadata.name":           "name",
		"metadata.names":          "metadata.names",
		"rpc":                     "metadata.rpc",
		"rpc.http.timeout":        "metadata.rpc.http.timeout",
		"rpcs":                    "rpcs",
		"metadata.autoscaler.min": "autoscaler.min",
		"networking.enable_grpc":  "metadata.enable_grpc",
		"networking.other":        "networking.other",
		"unknown.rpc":             "unknown.rpc",
		"baseimage":               "runtime.base_image",
	} {
		if got := service.NormalPlace(path); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
}

func TestPartial(t *testing.T) {
	partial := service.Options{Partial: true}
	d, err := partial.Parse("part", []byte(`{"metadata.rpc.keepalive": 100, "metadata.name": "x", "rpc.worker_threads": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "metadata": {
    "rpc": {
      "keepalive": 100,
      "worker_threads": 3
    }
  },
  "name": "x"
}
`
	if diff := cmp.Diff(want, string(d.Canonical())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, text := range []string{`{"name": "a/b"}`, `{"metadata": {"cpu": "many"}}`, `{"autoscaler": {"min": 3, "max": 1}}`} {
		if _, err := partial.Parse("part", []byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
