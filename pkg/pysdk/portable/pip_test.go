package portable

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// A Python that is older than the distribution's has its own pip, whose wheel
// is one for Python 2 too, and not the distribution's.
func TestPipOfOldPython(t *testing.T) {
	i, err := python.Preferred(t.Context(), python.FindOptions{Version: "3.6"}, func(i *python.Interpreter) bool { return i.BasePrefix != "/usr" })
	if err != nil {
		t.Fatal(err)
	}
	if i == nil || !i.HasEnsurepip {
		t.Skip("missing: a Python 3.6 with ensurepip")
	}
	tree, err := Interpreter(t.Context(), i, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := materialize(t, tree)
	got := output(t, filepath.Join(dir, "bin", "pip"), "--version")
	if !strings.Contains(got, " "+dir+"/") || !strings.Contains(got, "(python 3.6)") {
		t.Errorf("pip says %q", got)
	}
}
