package onengine_test

import (
	"testing"

	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/controlplane/onengine"
	"github.com/openeas/eascmd/pkg/service"
)

// What never runs here is refused before anything is made of it.
func TestAccept(t *testing.T) {
	chooser, ok := onengine.New(onengine.Options{CacheDir: t.TempDir()}).(controlplane.Chooser)
	if !ok {
		t.Fatal("it takes everything")
	}
	for _, tt := range []struct {
		description string
		want        string // empty: accepted
	}{
		{`{"name":"x","processor_path":"file:///p.tar.gz","processor_entry":"a.so","processor_type":"cpp"}`, ""},
		{`{"name":"x","processor_path":"file:///p.tar.gz","processor_entry":"app.py","processor_type":"python"}`, ""},
		{`{"name":"x","containers":[{"image":"registry.example/i:1","port":80}]}`, "services made of containers are not supported by this version yet; it runs processors in C, C++, Java and Python"},
		{`{"name":"x","processor":"pmml","model_path":"oss://b/m.pmml"}`, "the built-in processor pmml runs on EAS only"},
	} {
		d, err := service.Parse("service.json", []byte(tt.description))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := chooser.Accept(d); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.description, got, tt.want)
		}
	}
}
