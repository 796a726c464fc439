package eas

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operations lists all operations of the package.
var operations = []operation{
	createService, updateService, restartService, startService, stopService, deleteService, scaleService,
	releaseService, updateServiceVersion, deleteServiceInstances, createAutoScaler, updateAutoScaler,
	deleteAutoScaler, listServices, describeService, listServiceVersions, listServiceInstances,
	describeServiceEvent, describeServiceLog, describeAutoScaler,
}

// TestOperations holds method and path of every operation against the API
// reference.
func TestOperations(t *testing.T) {
	reference, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(reference)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			want[name] = rest
		}
	}
	got := map[string]string{}
	for _, o := range operations {
		got[o.name] = o.method + " " + o.path
		if (o.method == "GET") != (o.repeat == reads) {
			t.Errorf("%s with %s is repeated as if it were something else", o.name, o.method)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-reference +code):\n%s", diff)
	}

	// None is left out of the list above.
	file, err := parser.ParseFile(token.NewFileSet(), "operations.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "name" {
			name, err := strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
			if _, listed := got[name]; err != nil || !listed {
				t.Errorf("%s is no operation of this test", name)
			}
		}
		return true
	})
}
