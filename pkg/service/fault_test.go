package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

// TestFaults checks the whole report on descriptions with many faults.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			file = filepath.ToSlash(file)
			_, err := Load(file)
			if err == nil {
				t.Fatal("no error")
			}
			if kind := fault.KindOf(err); kind != fault.Description {
				t.Errorf("kind is %d", kind)
			}
			if fault.HintOf(err) == "" {
				t.Error("no hint")
			}
			golden(t, strings.TrimSuffix(file, ".json")+".golden", []byte(err.Error()+"\n"))
		})
	}
}

// TestDeployRules checks what is asked for only before a deployment.
func TestDeployRules(t *testing.T) {
	const text = `{"name": "x",
"model_path": "./model",
"processor_path": "file:///srv/p.so",
"warm_up_data_path": "s3://b/k",
"processor_entry": "p.so", "processor_type": "cpp",
"metadata": {"cpu": 1}}`
	if _, err := Parse("s.json", []byte(text)); err != nil {
		t.Fatalf("refused on this machine: %v", err)
	}
	_, err := Options{ForDeploy: true}.Parse("s.json", []byte(text))
	golden(t, "testdata/deploy.golden", []byte(errorText(err)))
}

// TestSyntax checks that each mistake is named where it is.
func TestSyntax(t *testing.T) {
	var report strings.Builder
	for _, text := range []string{
		``,
		" \n\t\n",
		"\xef\xbb\xbf",
		`[]`,
		`"name"`,
		`{`,
		`{"a": [1, 2`,
		"{\"a\": {\n  \"b\": 1\n",
		`{"a": 1} }`,
		`{"a": 1}, "b": 2`,
		`{"a": 1]`,
		`{"a": [1}`,
		"{\"a\": 1\n \"b\": 2}",
		`{"a": 1 "b": 2}`,
		`{"a": [1 2]}`,
		`{"a" 1}`,
		`{"a"; 1}`,
		`{"a": }`,
		`{"a": , "b": 1}`,
		`{,}`,
		`{a: 1}`,
		`{"a": 1, b: 2}`,
		`{'a': 1}`,
		`{"a": 'b'}`,
		`{"a": “b”}`,
		`{"a"：1}`,
		`{"a": 1，"b": 2}`,
		`{"a": True}`,
		`{"a": None}`,
		`{"a": yes}`,
		`{"a": NaN}`,
		`{"a": 01}`,
		`{"a": 1.}`,
		`{"a": -}`,
		`{"a": abc}`,
		`{"a": =}`,
		"{\"a\": \"b\n}",
		`{"a": "b`,
		`{"a": "\d"}`,
		`{"a": "C:\users"}`,
		"{\"a\": \"b\tc\"}",
		`{"a": 1 /* }`,
		`{"a": 1} /`,
		`{"a": 1} // done`,
		`{"a": 1} # done`,
		"{\"a\": \"\xff\"}",
		"\xff\xfe{\x00}\x00",
		strings.Repeat("[", 1000),
		strings.Repeat(`{"a":`, 101),
		"{\n\t\"größer\": 1, ü}",
	} {
		_, err := Parse("s.json", []byte(text))
		if err == nil {
			t.Errorf("no error for %q", text)
			continue
		}
		if _, ok := errors.AsType[*InvalidError](err); !ok {
			t.Errorf("%T for %q", err, text)
		}
		if len(text) > 100 {
			text = text[:20] + "..."
		}
		report.WriteString(quote(text) + "\n\t" + strings.ReplaceAll(err.Error(), "\n", "\n\t") + "\n")
	}
	golden(t, "testdata/syntax.golden", []byte(report.String()))
}

// quote makes a text one visible line.
func quote(s string) string {
	return strings.NewReplacer("\n", "↵", "\t", "⇥", "\xff", "<ff>", "\xfe", "<fe>", "\x00", "<00>", "\xef\xbb\xbf", "<BOM>").Replace(s)
}

func errorText(err error) string {
	if err == nil {
		return "no error\n"
	}
	return err.Error() + "\n"
}

// TestLoadRefuses checks files that cannot be a description.
func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.json")
	f, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	// 100 MB, sparse: reading it would show in the allocations below.
	if err := f.Truncate(100 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, want string }{
		{"large", big, "larger than 1 MiB"},
		{"directory", dir, "is a directory"},
		{"missing", filepath.Join(dir, "none.json"), "does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
				t.Errorf("error is %v, want one about %s that says %q", err, tt.path, tt.want)
			}
			if kind := fault.KindOf(err); kind != fault.Description {
				t.Errorf("kind is %d", kind)
			}
			if fault.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = Load(big)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("refusing a file of 100 MB took %d bytes of memory", n)
	}
}

// TestHostile parses texts that are large in every way that is allowed. One
// that takes time beyond proportion runs into the test's time limit.
func TestHostile(t *testing.T) {
	const head = `{"name":"x","processor":"pmml","model_path":"oss://b/m","metadata":{"rpc":{}},`
	fill := func(unit string) string { return strings.Repeat(unit, (MaxSize-len(head)-100)/len(unit)) }
	numbered := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < MaxSize-len(head)-100; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"dotted name":         head + `"` + fill("metadata.") + `":1}`,
		"unknown fields":      head + numbered(`"f%d":1,`) + `}`,
		"near fields":         head + numbered(`"nam%d":1,`) + `}`,
		"same fields":         head + fill(`"cpu":1,`) + `}`,
		"different fields":    head + numbered(`"cpu":%d,`) + `}`,
		"dotted fields":       head + numbered(`"metadata.rpc.k%d":1,`) + `}`,
		"conflicting fields":  head + numbered(`"metadata.rpc.keepalive":%d,"rpc.keepalive":2,`) + `}`,
		"labels":              head + numbered(`"labels.l%d":"",`) + `}`,
		"nested same objects": head + `"a":` + strings.Repeat(`{"b":1,"b":1,"a":`, 90) + `1` + strings.Repeat(`}`, 90) + `}`,
		"list":                head + `"x":[` + fill(`{},`) + `]}`,
		"environment":         head + `"processor_envs":[` + fill(`{"name":"A"},`) + `]}`,
		"comments":            head + fill("#\n") + `}`,
		"open comments":       head + fill("/*"),
		"open strings":        head + fill("\"\n"),
		"brackets":            fill("["),
		"closing brackets":    head + fill("]"),
		"number":              head + `"metadata.cpu":` + fill("9") + `}`,
		"exponent":            head + `"metadata.cpu":1e` + fill("9") + `}`,
		"escapes":             head + `"token":"` + fill(`\u0061`) + `"}`,
		"long word":           head + fill("x"),
		"long message":        head + `"processor_envs":[{"name":"` + fill("=") + `"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(text) > MaxSize {
				t.Fatalf("the text has %d bytes", len(text))
			}
			d, err := Parse("s.json", []byte(text))
			if err != nil && len(err.Error()) > 100_000 {
				t.Errorf("the report has %d bytes", len(err.Error()))
			}
			if err == nil && len(d.Warnings) > 3*maxProblems {
				t.Errorf("%d warnings", len(d.Warnings))
			}
		})
	}
}

// TestManyProblems checks that a file that is wrong everywhere gives a report
// that can still be read, and soon.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"name":"x","processor":"pmml","model_path":"oss://b/m","processor_envs":[`)
	for b.Len() < MaxSize-100 {
		b.WriteString(`1,`)
	}
	b.WriteString(`]}`)
	_, err := Parse("s.json", []byte(b.String()))
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	if len(invalid.Problems) != maxProblems || !invalid.More {
		t.Errorf("%d problems, more: %v", len(invalid.Problems), invalid.More)
	}
	if n := len(err.Error()); n > 100_000 {
		t.Errorf("the report has %d bytes", n)
	}
}

func TestNameTooLongForADirectory(t *testing.T) {
	for length, refused := range map[int]bool{255: false, 256: true} {
		_, err := Parse("s.json", []byte(`{"name":"`+strings.Repeat("x", length)+`","processor":"pmml","model_path":"oss://b/m"}`))
		if (err != nil) != refused {
			t.Errorf("%d characters: %v", length, err)
		}
	}
}
