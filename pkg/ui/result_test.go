package ui_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/openeas/eascmd/pkg/ui"
)

var update = flag.Bool("update", false, "write the golden files")

// buffers returns a terminal that is none and what it writes.
func buffers(t *testing.T) (term *ui.Terminal, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return ui.New(bytes.NewReader(nil), stdout, stderr, noEnv), stdout, stderr
}

func noEnv(string) (string, bool) { return "", false }

// viewOf lets a View be printed.
type viewOf struct{ view ui.View }

func (v viewOf) View() ui.View { return v.view }

func TestViews(t *testing.T) {
	service := []any{"mnist_saved_model_example", "cn-shanghai", 1, "2019-02-21 16:35:41", "2019-02-21 16:35:41", "Running", 0, "/api/predict/mnist_saved_model_example"}
	tests := []struct {
		name string
		view ui.View
	}{
		{"list", ui.List{
			Header: []string{"ServiceName", "Region", "Instance", "CreateTime", "UpdateTime", "Status", "Weight", "ServicePath"},
			Rows:   [][]any{service, {"echo", "cn-beijing", 120, "2020-02-21 16:35:41", "2020-02-21 16:35:41", "Stopped", 100, "/api/predict/echo"}},
		}},
		{"list-empty", ui.List{Header: []string{"TaskName", "Total/Used CPU"}}},
		{"list-wide-characters", ui.List{Header: []string{"Name", "Note"}, Rows: [][]any{{"模型", "加载完成"}, {"model", ""}, {"é́", "🙂"}}}},
		{"list-mixed-column", ui.List{Header: []string{"Value"}, Rows: [][]any{{1}, {"two"}, {3.5}}}},
		{"list-hostile-cell", ui.List{Header: []string{"Value"}, Rows: [][]any{{"a\x1b[2Jb\ac\td"}}}},
		{"details-create", ui.Details{
			{"Intranet Endpoint", "http://pai-eas-vpc.cn-shanghai.aliyuncs.com/api/predict/savedmodel_example"},
			{"Token", "YjQxZDYzZTBiZTZjMzQ5ZmE0MzczZjIxMGZiNzZmMDBkY2VjMDg4****"},
		}},
		{"details-json", ui.Details{
			{"Status", "Running"},
			{"Memory", "1000M"},
			{"TotalInstance", 1},
			{"ServiceConfig", "{\n  \"generate_token\": \"false\",\n  \"metadata\": {\n    \"cpu\": 1\n  }\n}\n"},
		}},
		{"details-wrapped", ui.Details{
			{"Message", "the processor failed to load because the shared library libopencv_core.so.4.5 was not found in any of the directories that the loader looks into, and this line goes on"},
			{"Token", string(bytes.Repeat([]byte("x"), 150))},
			{"Empty", ""},
		}},
		{"text", ui.Text("one line\n")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			term, stdout, _ := buffers(t)
			if err := term.Print(ui.Table, viewOf{test.view}); err != nil {
				t.Fatal(err)
			}
			golden(t, test.name+".golden", stdout.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got (go test -update writes it):\n%s", diff)
	}
}

// endpointResult is a result as a command has it.
type endpointResult struct {
	URL     string            `json:"url"`
	Token   string            `json:"token"`
	Workers int               `json:"workers"`
	Ready   bool              `json:"ready"`
	Labels  map[string]string `json:"labels"`
	Tags    []string          `json:"tags"`
	Note    *string           `json:"note"`
}

func (e endpointResult) View() ui.View { return ui.Text(e.URL) }

func TestPrintFormats(t *testing.T) {
	result := endpointResult{URL: "http://127.0.0.1:80/api?a=1&b=<2>", Token: "0123", Workers: 2, Ready: true, Tags: []string{"yes", "plain text", "two\nlines"}}
	tests := []struct {
		format ui.Format
		want   string
	}{
		{ui.Table, "http://127.0.0.1:80/api?a=1&b=<2>\n"},
		{ui.JSON, `{
  "url": "http://127.0.0.1:80/api?a=1&b=<2>",
  "token": "0123",
  "workers": 2,
  "ready": true,
  "labels": null,
  "tags": [
    "yes",
    "plain text",
    "two\nlines"
  ],
  "note": null
}
`},
		{ui.YAML, `url: "http://127.0.0.1:80/api?a=1&b=<2>"
token: "0123"
workers: 2
ready: true
labels: null
tags:
  - "yes"
  - plain text
  - |-
    two
    lines
note: null
`},
	}
	for _, test := range tests {
		t.Run(string(test.format), func(t *testing.T) {
			term, stdout, stderr := buffers(t)
			if err := term.Print(test.format, result); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, stdout.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if stderr.Len() > 0 {
				t.Errorf("standard error has %q", stderr)
			}
		})
	}
}

func TestFormatFlag(t *testing.T) {
	format := ui.Table
	if err := format.Set("YAML"); err != nil || format != ui.YAML {
		t.Errorf("Set(YAML) = %v, format %q", err, format)
	}
	if err := format.Set("xml"); err == nil || format != ui.YAML {
		t.Errorf("Set(xml) = %v, format %q", err, format)
	}
}

// rawResult prints any JSON value.
type rawResult struct{ value any }

func (r rawResult) MarshalJSON() ([]byte, error) { return json.Marshal(r.value) }
func (r rawResult) View() ui.View                { return ui.Text("") }

// FuzzYAML checks that YAML output means the same as JSON output.
func FuzzYAML(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `[[], {}]`, `{"a":{"b":[1,2.5,-3e20,true,null]}}`, `"no"`, `"1e3"`, `"a: b"`, `"# c"`, `" lead"`, `"trail "`,
		`"a\nb"`, `"\n"`, `"a\n\n"`, `"\ta\nb"`, `"a\u007f\u0085\u2028"`, `{"a\u202e":"one\ntwo\u2066 three","b":"\u061c"}`, `"- x"`, `"~"`, `"=": 1`, `{"y":"Y","on":"1:30","a b":"c"}`, `"a\r\nb"`, `"x \ny"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value any
		if json.Unmarshal(data, &value) != nil {
			t.Skip("no JSON")
		}
		term, stdout, _ := buffers(t)
		if err := term.Print(ui.YAML, rawResult{value}); err != nil {
			t.Fatal(err)
		}
		if shown := stdout.String(); ui.Printable(shown) != shown {
			t.Errorf("it may control a terminal: %q", shown)
		}
		var back any
		if err := yaml.Unmarshal(stdout.Bytes(), &back); err != nil {
			t.Fatalf("%v in:\n%s", err, stdout)
		}
		want, err := json.Marshal(numbers(value))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(numbers(back))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("-json +yaml:\n%s\nin:\n%s", diff, stdout)
		}
	})
}

// numbers makes all numbers float64, as encoding/json does, and of the two
// zeros the usual one.
func numbers(value any) any {
	switch value := value.(type) {
	case float64:
		return value + 0
	case int:
		return float64(value)
	case int64:
		return float64(value)
	case uint64:
		return float64(value)
	case []any:
		for i := range value {
			value[i] = numbers(value[i])
		}
	case map[string]any:
		for k := range value {
			value[k] = numbers(value[k])
		}
	}
	return value
}
