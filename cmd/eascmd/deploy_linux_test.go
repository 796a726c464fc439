package main

import (
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/controlplane"
)

func TestDeleteAsks(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	t.Setenv("NO_COLOR", "1")
	must(t, 0, "create", describe(t, echoJSON, "t", "m", 1))
	const question = "Are you sure to delete the service [echo] in [cn-test]? [Y/n] "
	for _, test := range []struct{ answer, want string }{
		{"n\n", "service [echo] is left as it is"},
		{"y\n", "[OK] Service was deleted successfully"},
	} {
		got := atTerminal(t.Context(), t, [][2]string{{question, test.answer}}, "delete", "echo")
		if got.status != 0 || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%q: %+v", test.answer, got)
		}
	}
}
