package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRewritten(t *testing.T) {
	d, err := Parse("x.json", []byte(`{
		// kept as it is, unless it is named
		"name": "a", "model_path": "./m", "processor_path": "./p", "processor_type": "cpp", "processor_entry": "x.so",
		"cuda": "/usr/local/cuda", "metadata.instance": "2", "own": {"a.b": 1e3}}`))
	if err != nil {
		t.Fatal(err)
	}
	before := string(d.Canonical())
	got := d.Rewritten(map[string]string{"processor_path": `oss://b/"p"<.tar.gz`, "cuda": "", "warm_up_data_path": "oss://b/w", "model_entry": "m", "token": ""})
	want := `{
  "name": "a",
  "model_path": "./m",
  "processor_path": "oss://b/\"p\"<.tar.gz",
  "processor_type": "cpp",
  "processor_entry": "x.so",
  "metadata": {
    "instance": "2"
  },
  "own": {
    "a.b": 1e3
  },
  "model_entry": "m",
  "warm_up_data_path": "oss://b/w"
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, string(d.Canonical())); diff != "" {
		t.Errorf("the description itself changed, -want +got:\n%s", diff)
	}
}

// What deploying asks of addresses depends on what is done before, and on who
// reads them.
func TestDeployPlaces(t *testing.T) {
	text := func(address string) []byte {
		return []byte(`{"name": "a", "model_path": "` + address + `", "processor": "pmml", "metadata": {"instance": 1, "cpu": 1}}`)
	}
	for _, tt := range []struct {
		address                     string
		plain, published, elsewhere bool // it is right
	}{
		{"oss://bucket/m.tar.gz", true, true, true},
		{"https://host/m.tar.gz", true, true, true},
		{"./m", false, true, false},
		{"file:///m", false, true, true},
		{"s3://bucket/m", false, false, true},
		{"ftp://host/m", false, false, false},
	} {
		for _, o := range []struct {
			name string
			Options
			right bool
		}{
			{"plain", Options{ForDeploy: true}, tt.plain},
			{"published", Options{ForDeploy: true, Published: true}, tt.published},
			{"elsewhere", Options{ForDeploy: true, AnyStore: true}, tt.elsewhere},
			{"both", Options{ForDeploy: true, Published: true, AnyStore: true}, tt.published || tt.elsewhere},
		} {
			if _, err := o.Parse("x.json", text(tt.address)); (err == nil) != o.right {
				t.Errorf("%s, %s: %v", tt.address, o.name, err)
			}
		}
	}
}
