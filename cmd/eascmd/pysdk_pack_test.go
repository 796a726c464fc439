package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/pack"
)

// processorDir makes a processor's directory without an environment and goes to
// the directory that it is in.
func processorDir(t *testing.T) {
	t.Helper()
	emptyHome(t)
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Join("demo", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"app.py": "print('hello')\n", "big.log": "x", ".easignore": "*.log\n",
		"app.json": `{"name": "x", "processor_type": "python", "processor_entry": "app.py", "processor_path": "./", "data_image": "i"}`,
	} {
		if err := os.WriteFile(filepath.Join("demo", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// -o is a place and, for three words, a format.
func TestPysdkPackOutput(t *testing.T) {
	for _, c := range []struct {
		args     []string
		variable string
		place    string
		json     bool
	}{
		{nil, "", "demo.tar.gz", false},
		{[]string{"-o", "other.tgz"}, "", "other.tgz", false},
		{[]string{"-oother.tgz"}, "", "other.tgz", false},
		{[]string{"--output=./json"}, "", "json", false},
		{[]string{"-o", "json"}, "", "demo.tar.gz", true},
		{[]string{"-o", "json", "-o", "other.tgz"}, "", "other.tgz", true},
		{[]string{"-o", "other.tgz", "--output", "json"}, "", "other.tgz", true},
		{[]string{"-o", "other.tgz"}, "json", "other.tgz", true},
		{[]string{"-o", "other.tgz", "-o", "table"}, "json", "other.tgz", false},
	} {
		t.Run(strings.Join(c.args, " ")+" "+c.variable, func(t *testing.T) {
			processorDir(t)
			t.Setenv("EASCMD_OUTPUT", c.variable)
			got := runMain(t, "", append([]string{"pysdk", "pack", "demo"}, c.args...)...)
			if got.status != 0 {
				t.Fatalf("%+v", got)
			}
			path, err := filepath.Abs(c.place)
			if err != nil {
				t.Fatal(err)
			}
			if got.stderr != "[PYSDK] Creating package: "+path+"\n[PYSDK] Checking the package\n" {
				t.Errorf("talk: %q", got.stderr)
			}
			if format, err := pack.Detect(path); err != nil || format != pack.TarGzip {
				t.Errorf("%s is %v, %v", path, format, err)
			}
			if isJSON := json.Valid([]byte(got.stdout)); isJSON != c.json {
				t.Errorf("result: %q", got.stdout)
			} else if isJSON {
				follows(t, "pysdk pack", got.stdout)
			}
		})
	}
}

func TestPysdkPackExplain(t *testing.T) {
	processorDir(t)
	got := runMain(t, "", "pysdk", "pack", "demo", "--explain", "-o", "json")
	var result struct {
		Package string
		Biggest []struct{ Directory string }
		LeftOut []leftOutRow `json:"left_out"`
		Built   []any        `json:"compiled_in"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || got.status != 0 {
		t.Fatalf("%v: %+v", err, got)
	}
	follows(t, "pysdk pack", got.stdout)
	want := []leftOutRow{
		{".git (default)", 1, []string{".git/"}},
		{"*.log (.easignore:1)", 1, []string{"big.log"}},
		{"/.easignore (default)", 1, []string{".easignore"}},
	}
	slices.SortFunc(result.LeftOut, func(a, b leftOutRow) int { return strings.Compare(b.Names[0], a.Names[0]) })
	slices.SortFunc(want, func(a, b leftOutRow) int { return strings.Compare(b.Names[0], a.Names[0]) })
	if diff := cmp.Diff(want, result.LeftOut); diff != "" {
		t.Error(diff)
	}
	if len(result.Biggest) != 1 || result.Biggest[0].Directory != "." || result.Built == nil {
		t.Errorf("%+v", result)
	}
	got = runMain(t, "", "pysdk", "pack", "demo", "--explain", "--force")
	for _, want := range []string{"Package", "DIRECTORY", "LEFT OUT", "*.log (.easignore:1)"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %s", want, got.stdout)
		}
	}
}

func TestPysdkPackMistakes(t *testing.T) {
	processorDir(t)
	if got := runMain(t, "", "pysdk", "pack", "demo"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{}, 2, "the directory is missing"},
		{[]string{"demo", "more"}, 2, "too many"},
		{[]string{"nothing"}, 2, "there is no directory nothing"},
		{[]string{"demo/app.py"}, 2, "demo/app.py is not a directory"},
		{[]string{"demo"}, 2, "demo.tar.gz exists already\neascmd: hint: replace it with --force, or name another place with -o"},
		{[]string{"demo", "-o", "no/where.tgz"}, 2, "there is no directory"},
		{[]string{"demo", "--level", "0"}, 2, "the levels are 1 (fast) to 9 (small)"},
		{[]string{"demo", "--level", "10"}, 2, "the levels are 1 (fast) to 9 (small)"},
		{[]string{"demo", "-u"}, 3, "the profile has no upload_prefix"},
		{[]string{"demo", "--upload", "--to", "ftp://x"}, 2, "--to: \"ftp://x\" is no address"},
		{[]string{"demo", "--to", "oss://bucket/x"}, 2, "add --upload"},
	} {
		got := runMain(t, "", append([]string{"pysdk", "pack"}, c.args...)...)
		if got.status != c.status || got.stdout != "" || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
}
