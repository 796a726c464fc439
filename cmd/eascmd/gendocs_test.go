package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestReferenceIsUpToDate(t *testing.T) {
	emptyHome(t)
	dir := t.TempDir()
	if got := runMain(t, "", "gen-docs", dir); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	const committed = "../../docs/reference"
	want, got := pages(t, dir), pages(t, committed)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run `make docs`; -generated +committed:\n%s", diff)
	}
}

func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "eascmd*.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(data)
	}
	return all
}

func TestGenDocsRemovesOldPages(t *testing.T) {
	emptyHome(t)
	dir := t.TempDir()
	for _, name := range []string{"eascmd-gone.md", "other.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := runMain(t, "", "gen-docs", dir); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "eascmd-gone.md")); err == nil {
		t.Error("the page of a command that is gone is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "other.md")); err != nil {
		t.Error("a page that is not ours was removed")
	}
}

func TestManPages(t *testing.T) {
	emptyHome(t)
	dir := t.TempDir()
	if got := runMain(t, "", "gen-docs", "--man", dir); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "eascmd*.1"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d pages, %v", len(paths), err)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff to read the pages with")
	}
	for _, path := range paths {
		output, err := exec.CommandContext(t.Context(), groff, "-man", "-ww", "-z", path).CombinedOutput()
		if err != nil || len(output) > 0 {
			t.Errorf("%s: %v: %s", path, err, output)
		}
	}
}

// TestEveryCommandTeaches keeps what the help of each command must have.
func TestEveryCommandTeaches(t *testing.T) {
	root := newRootCommand(newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}))
	for _, cmd := range documented(root) {
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || cmd.Short[:1] != strings.ToUpper(cmd.Short[:1]) {
			t.Errorf("%s: the short text must begin with a capital and have no full stop: %q", name, cmd.Short)
		}
		if cmd.HasParent() && !cmd.Parent().HasParent() && cmd.GroupID == "" {
			t.Errorf("%s is in no group", name)
		}
		if cmd.Annotations[exitAnnotation] == "" {
			t.Errorf("%s does not say how it may fail", name)
		}
		if strings.Contains(cmd.Example, "\t") || (cmd.Example != "" && !strings.HasPrefix(cmd.Example, "  ")) {
			t.Errorf("%s: examples are indented by two spaces", name)
		}
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if strings.HasSuffix(flag.Usage, ".") || flag.Usage == "" {
				t.Errorf("%s --%s: a usage is no sentence: %q", name, flag.Name, flag.Usage)
			}
		})
		var help bytes.Buffer
		writeHelp(&help, cmd, 100)
		for _, part := range []string{"Usage:\n  " + name, "Exit status:\n  0    done\n"} {
			if !strings.Contains(help.String(), part) {
				t.Errorf("the help of %s lacks %q:\n%s", name, part, help.String())
			}
		}
	}
}

func TestHelp(t *testing.T) {
	emptyHome(t)
	for _, args := range [][]string{{"config", "--help"}, {"help", "config"}, {"config", "-h"}} {
		got := runMain(t, "", args...)
		for _, part := range []string{"Usage:\n  eascmd config -i ID", "Examples:\n  eascmd config", "Commands:\n", "EASCMD_CONFIG_SECRET_STDIN", "ALIBABA_CLOUD_ACCESS_KEY_ID", "Exit status:\n"} {
			if !strings.Contains(got.stdout, part) {
				t.Errorf("%q: %q is missing in\n%s", args, part, got.stdout)
			}
		}
		if got.status != 0 || got.stderr != "" {
			t.Errorf("%q: status %d, standard error %q", args, got.status, got.stderr)
		}
	}
	got := runMain(t, "")
	for _, part := range []string{"Settings and help:\n", "  config ", "  help ", "  130  interrupted\n"} {
		if !strings.Contains(got.stdout, part) {
			t.Errorf("%q is missing in\n%s", part, got.stdout)
		}
	}
}
