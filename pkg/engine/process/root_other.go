//go:build !linux

package process

import (
	"context"

	"github.com/openeas/eascmd/internal/fault"
)

func (c *command) startPrivate(ctx context.Context, workspace string) error {
	return errNoPrivateRoot
}

// EnterPrivateRoot fails: mount namespaces are Linux's.
func EnterPrivateRoot(spec, runtimeDir string) error {
	return errNoPrivateRoot
}

var errNoPrivateRoot = fault.New(fault.Missing, "private mount namespaces are Linux's")
