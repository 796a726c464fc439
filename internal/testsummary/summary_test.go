package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is a package of its own that a real `go test` runs.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		source  string // of x_test.go
		closing string
		want    []string // in the output
		absent  []string
		fails   bool
	}{
		{
			name:    "all pass",
			source:  `func TestA(t *testing.T) { t.Log("quiet") }; func TestB(t *testing.T) { t.Run("1", func(*testing.T) {}); t.Run("2", func(*testing.T) {}) }`,
			closing: "3 passed, 0 failed, 0 skipped",
			absent:  []string{"quiet", "skipped:"},
		},
		{
			name:    "a failure is shown in full",
			source:  `func TestA(t *testing.T) { t.Log("what happened"); t.Error("wrong answer") }; func TestB(t *testing.T) {}`,
			closing: "1 passed, 1 failed, 0 skipped",
			want:    []string{"--- failed: sample TestA", "what happened", "wrong answer"},
			fails:   true,
		},
		{
			name:    "a failed subtest counts once",
			source:  `func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("wrong") }) }`,
			closing: "0 passed, 1 failed, 0 skipped",
			want:    []string{"--- failed: sample TestA/sub"},
			fails:   true,
		},
		{
			name:    "a parent that fails by itself counts",
			source:  `func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) {}); t.Error("wrong") }`,
			closing: "1 passed, 1 failed, 0 skipped",
			fails:   true,
		},
		{
			name:    "a skipped test is named with its reason",
			source:  `func TestA(t *testing.T) { t.Log("a word before"); t.Skip("needs a teapot: none here") }; func TestB(t *testing.T) {}`,
			closing: "1 passed, 0 failed, 1 skipped",
			want:    []string{"  sample TestA: needs a teapot: none here"},
		},
		{
			name:    "a build that fails",
			source:  `func TestA(t *testing.T) { undefinedName() }`,
			closing: "0 passed, 1 failed, 0 skipped",
			want:    []string{"--- failed: sample (build)", "undefinedName"},
			fails:   true,
		},
		{
			name:    "a panic",
			source:  `func TestA(t *testing.T) {}; func TestB(t *testing.T) { panic("out of tea") }`,
			closing: "1 passed, 1 failed, 0 skipped",
			want:    []string{"TestB", "out of tea"},
			fails:   true,
		},
		{
			name:    "an early exit",
			source:  `func TestA(t *testing.T) { os.Exit(3) }`,
			closing: "0 passed, 1 failed, 0 skipped",
			fails:   true,
		},
		{
			name:    "a time limit",
			source:  `func TestA(t *testing.T) {}; func TestB(t *testing.T) { select {} }`,
			closing: "1 passed, 1 failed, 0 skipped",
			want:    []string{"TestB", "timed out"},
			fails:   true,
		},
		{
			name:    "a package that fails without a failed test",
			source:  `func TestMain(m *testing.M) { m.Run(); os.Exit(1) }; func TestA(t *testing.T) {}`,
			closing: "1 passed, 1 failed, 0 skipped",
			fails:   true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "go.mod"), "module sample\n\ngo 1.24\n")
			put(t, filepath.Join(dir, "x_test.go"),
				"package sample\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"+tt.source+"\n")
			var out bytes.Buffer
			limit := "2m"
			if tt.name == "a time limit" {
				limit = "1s"
			}
			err := run(t.Context(), dir, []string{"-timeout", limit, "./..."}, &out)
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want failure %v", err, tt.fails)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.closing {
				t.Errorf("closing line %q, want %q", last, tt.closing)
			}
			for _, w := range tt.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q", w)
				}
			}
			for _, w := range tt.absent {
				if strings.Contains(out.String(), w) {
					t.Errorf("output has %q", w)
				}
			}
			if t.Failed() {
				t.Logf("output:\n%s", out.String())
			}
		})
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
