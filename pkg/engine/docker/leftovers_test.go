//go:build unix

package docker

import (
	"testing"

	"github.com/openeas/eascmd/internal/rundir"
)

func rootOf(t *testing.T) *rundir.Root {
	t.Helper()
	root, err := rundir.Runtime()
	if err != nil {
		t.Fatal(err)
	}
	return root
}
