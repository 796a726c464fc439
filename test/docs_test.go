package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// The commands and flags of `eascmd` that our pages show exist, as the reference
// that is made from the program has them.
func TestDocumentedCommands(t *testing.T) {
	reference := readReference(t)
	shown := 0
	for _, page := range tracked(t, "*.md") {
		if page != "README.md" && filepath.Dir(page) != "docs" {
			continue // the reference is made, decisions and changes are of their time
		}
		data, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range commandsIn(string(data)) {
			shown++
			if err := reference.check(words); err != "" {
				t.Errorf("%s: eascmd %s: %s", page, strings.Join(words, " "), err)
			}
		}
	}
	if shown < 100 {
		t.Errorf("only %d commands were found in the documentation", shown)
	}
	// A test that finds nothing wrong proves little without one that does.
	for _, wrong := range []string{"deploy service.json", "create s.json --no-waiting", "config set --nothing x", "modify -q x"} {
		if reference.check(strings.Fields(wrong)) == "" {
			t.Errorf("eascmd %s is found to exist", wrong)
		}
	}
}

// reference is what the pages of docs/reference say: by command, such as
// "config set" or "" for the program itself, its flags and whether they take a
// value of their own word.
type reference map[string]map[string]bool

func readReference(t *testing.T) reference {
	t.Helper()
	pages, err := filepath.Glob("../docs/reference/eascmd*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no reference: %v", err)
	}
	row := regexp.MustCompile("(?m)^\\| `(-[^`]*)` \\|")
	r := reference{}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(page), ".md"), "eascmd")
		flags := map[string]bool{}
		for _, m := range row.FindAllStringSubmatch(string(data), -1) {
			var names []string
			value := ""
			for _, word := range strings.Fields(strings.ReplaceAll(m[1], ",", " ")) {
				if strings.HasPrefix(word, "-") {
					names = append(names, word)
				} else {
					value = word
				}
			}
			for _, name := range names {
				flags[name] = value != "" && !strings.Contains(value, "[=")
			}
		}
		r[strings.ReplaceAll(strings.TrimPrefix(name, "-"), "-", " ")] = flags
	}
	// The names of these have a dash themselves.
	r["dev control-plane"] = r["dev control plane"]
	return r
}

// aliases are the other names of commands.
var aliases = map[string]string{"ls": "list", "w": "showworkers", "dw": "deleteworkers", "logs": "log", "update": "modify", "describe": "desc"}

// check looks for a command and its flags, and says what does not exist.
func (r reference) check(words []string) string {
	command, whole := "", false
	var flags []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		if strings.HasPrefix(word, "-") && len(word) > 1 {
			name, _, attached := strings.Cut(word, "=")
			if !strings.HasPrefix(name, "--") && len(name) > 2 {
				name, attached = name[:2], true // -Dpath=value
			}
			flags = append(flags, name)
			if (r[command][name] || r[""][name]) && !attached {
				i++
			}
			continue
		}
		if whole {
			continue
		}
		if other, ok := aliases[word]; ok && command == "" {
			word = other
		}
		if _, ok := r[strings.TrimSpace(command+" "+word)]; ok {
			command = strings.TrimSpace(command + " " + word)
			continue
		}
		if command == "" && strings.ToUpper(word) != word {
			return "there is no command " + word
		}
		whole = true
	}
	for _, flag := range flags {
		_, own := r[command][flag]
		_, global := r[""][flag]
		if !own && !global {
			return "there is no flag " + flag
		}
	}
	return ""
}

// commandsIn returns the words after `eascmd` of the commands that a page shows,
// in blocks of code and in the text.
func commandsIn(page string) [][]string {
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	between := regexp.MustCompile(`\|\|?|&&?|;|\$\(|\)|[0-9]?>+|<|\{|\}`)
	var lines []string
	code := ""
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", " ")) {
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if code != "" {
				code = ""
			} else {
				code = "text " + fence
			}
			continue
		}
		switch code {
		case "":
			for i, span := range strings.Split(strings.ReplaceAll(line, `\|`, "|"), "`") {
				if i%2 == 1 {
					lines = append(lines, span)
				}
			}
		case "text console":
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				lines = append(lines, command)
			}
		case "text sh", "text yaml":
			line, _, _ = strings.Cut(line, " #")
			line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
			lines = append(lines, strings.TrimPrefix(line, "run: "))
		}
	}
	var found [][]string
	for _, line := range lines {
		for _, command := range between.Split(quoted.ReplaceAllString(line, "QUOTED"), -1) {
			words := strings.Fields(command)
			for len(words) > 0 && (strings.Contains(words[0], "=") || slices.Contains([]string{"if", "until", "do", "then", "!", "sudo"}, words[0])) {
				words = words[1:]
			}
			if len(words) > 1 && (words[0] == "eascmd" || words[0] == "./eascmd" || words[0] == "bin/eascmd") {
				found = append(found, words[1:])
			}
		}
	}
	return found
}

// The environment variables that our pages name exist.
func TestDocumentedVariables(t *testing.T) {
	name := regexp.MustCompile(`\bEASCMD_[A-Z0-9_]*[A-Z0-9]\b`)
	there := map[string]bool{}
	for _, file := range slices.Concat(tracked(t, "*.go"), tracked(t, "docs/reference/*.md"), tracked(t, "workers/*")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllString(string(data), -1) {
			there[m] = true
		}
	}
	for _, page := range slices.Concat(tracked(t, "README.md"), tracked(t, "docs/*.md")) {
		data, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllString(string(data), -1) {
			if !there[m] {
				t.Errorf("%s: there is no variable %s", page, m)
			}
		}
	}
}

// Every cause of a failure that is recognised has a section in the
// troubleshooting, by its name, and no other has.
func TestDocumentedCauses(t *testing.T) {
	names := func(pattern, path string) []string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	there := names(`Cause\{Name: "([a-z-]+)"`, "../pkg/deploy/cause.go")
	described := names("(?m)^### `([a-z-]+)`$", "../docs/troubleshooting-deploy.md")
	if len(there) == 0 {
		t.Fatal("no causes are found in pkg/deploy")
	}
	if diff := cmp.Diff(there, described); diff != "" {
		t.Errorf("causes, - recognised and + described:\n%s", diff)
	}
}
