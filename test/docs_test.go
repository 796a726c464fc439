package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A link from one of our pages to another, or to a file, must lead somewhere.
func TestDocumentationLinks(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range tracked(t, "*.md") {
		if strings.HasPrefix(page, "templates/") {
			continue // written into a project of its own
		}
		data, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range links.FindAllStringSubmatch(string(data), -1) {
			link, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(link, "://") {
				continue
			}
			target := filepath.Join("..", filepath.Dir(page), filepath.FromSlash(link))
			if link == "" {
				target = filepath.Join("..", page)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
				continue
			}
			if fragment != "" && !hasHeading(t, target, fragment) {
				t.Errorf("%s: %s has no heading %q", page, link, fragment)
			}
		}
	}
}

// hasHeading reports whether a page has a heading that fragment leads to.
func hasHeading(t *testing.T, page, fragment string) bool {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	drop := regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
	for line := range strings.Lines(string(data)) {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		anchor := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		if strings.ReplaceAll(anchor, " ", "-") == fragment {
			return true
		}
	}
	return false
}

// The processor that the documentation shows is compiled and run as it stands
// there, with the commands that stand there.
func TestDocumentedProcessor(t *testing.T) {
	if !haveCompiler() {
		t.Skip("needs g++ on Linux")
	}
	data, err := os.ReadFile("../docs/cpp-processors.md")
	if err != nil {
		t.Fatal(err)
	}
	page, dir := string(data), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("mirror.cc", block(t, page, "cpp", "*initialize"))
	write("service.json", block(t, page, "json", `"mirror"`))
	var out []byte
	for _, script := range []string{block(t, page, "sh", "libmirror.so"), block(t, page, "sh", "--data 'hello'")} {
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+binDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
		var talk strings.Builder
		cmd.Stderr = &talk
		if out, err = cmd.Output(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, talk.String())
		}
	}
	if string(out) != "hello" {
		t.Errorf("the answer is %q, want hello", out)
	}
}

// The Python programs that the documentation shows are run as they stand there:
// the first with the command that stands there, the others in its place.
func TestDocumentedPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("missing: python3")
	}
	data, err := os.ReadFile("../docs/python-processors.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	command := block(t, page, "sh", "--data 'hello'")
	for _, tt := range []struct{ name, word, want string }{
		{"a processor", "class Mirror", "olleh"},
		{"the asynchronous mode", "class Batches", "HELLO"},
		{"the queue", "queued_service", "olleh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{
				"mirror.py":    block(t, page, "python", tt.word),
				"service.json": block(t, page, "json", `"mirror"`),
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", command)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "EASCMD_TEST_ENGINE=process", "PATH="+binDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
			var talk strings.Builder
			cmd.Stderr = &talk
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, talk.String())
			}
			if string(out) != tt.want {
				t.Errorf("the answer is %q, want %q", out, tt.want)
			}
		})
	}
}

// block returns the first block of code in a language that contains a word.
func block(t *testing.T, page, language, word string) string {
	t.Helper()
	rest := page
	for {
		_, after, ok := strings.Cut(rest, "\n```"+language+"\n")
		if !ok {
			t.Fatalf("no block of %s with %q", language, word)
		}
		code, after, _ := strings.Cut(after, "\n```")
		if strings.Contains(code, word) {
			return code + "\n"
		}
		rest = after
	}
}

// The page about the built-in API lists every metric that there is, and no
// other.
func TestDocumentedMetrics(t *testing.T) {
	names := func(pattern string, paths ...string) map[string]bool {
		found := map[string]bool{}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
				found[m[1]] = true
			}
		}
		if len(found) == 0 {
			t.Fatalf("%s name no metrics", paths)
		}
		return found
	}
	sources, err := filepath.Glob("../pkg/serving/*.go")
	if err != nil {
		t.Fatal(err)
	}
	sources = slices.DeleteFunc(sources, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
	there := names(`"(eascmd_[a-z_]+)"`, sources...)
	listed := names("(?m)^\\| `(eascmd_[a-z_]+)`", "../docs/built-in-api.md")
	for name := range there {
		if !listed[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range listed {
		if !there[name] {
			t.Errorf("%s is documented and not there", name)
		}
	}
}
