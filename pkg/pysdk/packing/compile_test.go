package packing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// A syntax error is found before anything is written.
func TestSyntaxErrors(t *testing.T) {
	env := environment(t)
	for _, c := range []struct{ name, program, want string }{
		{"syntax", "import not_there\ndef f(:\n", "app.py:2: SyntaxError: "},
		{"late", "x = 1\nreturn 1\n", "app.py:2: SyntaxError: 'return' outside function"},
		{"not UTF-8", "x = '\xff'\n", "SyntaxError: "},
		{"a zero byte", "x = 1\x00\n", "SyntaxError: source code string cannot contain null bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := project(t, env, map[string]string{"app.py": c.program})
			step := func(text string) {
				if strings.HasPrefix(text, "Creating package") {
					t.Error("a package was begun")
				}
			}
			_, err := Make(t.Context(), Options{Dir: dir, Step: step})
			if fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if diff := cmp.Diff([]string{"demo"}, beside(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
