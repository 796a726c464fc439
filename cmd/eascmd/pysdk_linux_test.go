package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/pysdk"
)

// At a terminal the version is asked for, until the answer is one.
func TestPysdkInitAsks(t *testing.T) {
	emptyHome(t)
	t.Setenv("NO_COLOR", "1")
	standard, err := pysdk.Default(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prompt := "[PYSDK] Please choose your python version [enter for " + standard + "]: "
	dir := filepath.Join(t.TempDir(), "demo")
	got := atTerminal(t.Context(), t, [][2]string{
		{prompt, "two\n"},
		{`"two" is no version of Python 3; versions look like 3.11 or 3.11.7`, ""},
		{prompt, "3.99\n"},
	}, "pysdk", "init", dir, "--backend", "copy")
	if got.status != 6 || !strings.Contains(got.stderr, "there is no Python 3.99 on this machine") {
		t.Errorf("%+v", got)
	}
	got = atTerminal(t.Context(), t, nil, "pysdk", "init", dir, "--backend", "copy", "--python", "3.99")
	if got.status != 6 || strings.Contains(got.stderr, "Please choose") {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}
