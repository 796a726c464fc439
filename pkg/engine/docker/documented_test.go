package docker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every error and warning of this package has a section of the page about
// troubles, by its heading or as one of its other forms.
func TestMessagesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/troubleshooting-docker.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections []*regexp.Regexp
	for _, m := range regexp.MustCompile(`(?m)^###? (.+)$|\*([^*\n]+)\*`).FindAllStringSubmatch(string(page), -1) {
		if name := m[1] + m[2]; len(letters(name)) > 6 {
			sections = append(sections, regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(name), "…", ".*")))
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, expr := range messagesIn(file) {
			text := textOf(expr)
			if len(letters(text)) < 8 {
				continue // it passes on others' words
			}
			messages++
			if !slices.ContainsFunc(sections, func(r *regexp.Regexp) bool { return r.MatchString(text) }) {
				t.Errorf("%s: no section for: %s", set.Position(expr.Pos()), text)
			}
		}
	}
	if messages < 50 {
		t.Errorf("only %d messages were found", messages)
	}
}

// messagesIn returns the expressions that are the texts of errors and warnings.
func messagesIn(file *ast.File) []ast.Expr {
	var found []ast.Expr
	for _, d := range file.Decls {
		f, isFunc := d.(*ast.FuncDecl)
		// These say why something failed, and what to do: the last result but one.
		diagnoses := isFunc && strings.HasPrefix(f.Name.Name, "diagnose")
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ReturnStmt:
				if diagnoses && len(n.Results) >= 2 {
					found = append(found, n.Results[len(n.Results)-2])
				}
			case *ast.KeyValueExpr: // of a trouble
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "words" {
					found = append(found, n.Value)
				}
			case *ast.CallExpr:
				called, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					break
				}
				switch called.Sel.Name {
				case "New":
					if of, ok := called.X.(*ast.Ident); ok && of.Name == "fault" {
						found = append(found, n.Args[1])
					}
				case "missingGPU":
					found = append(found, n.Args[1])
				case "warn", "Warn":
					found = append(found, n.Args[0])
				}
			}
			return true
		})
	}
	return found
}

// textOf is the text that an expression gives, with "…" for what is only known
// when it is said.
func textOf(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return "…"
		}
		return regexp.MustCompile(`%[#+]?[a-z]`).ReplaceAllString(text, "…")
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	case *ast.CallExpr:
		if called, ok := e.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Sprintf" {
			return textOf(e.Args[0])
		}
	}
	return "…"
}

// letters is what of a text is its own.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, text)
}
