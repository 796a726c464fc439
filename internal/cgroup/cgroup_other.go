//go:build !linux

package cgroup

import (
	"fmt"
	"syscall"
)

// Create fails: control groups are Linux's.
func Create(name string, limit int64, announce func(dir string) error) (string, error) {
	return "", fmt.Errorf("%w: control groups are Linux's", ErrUnsupported)
}

// Own fails: control groups are Linux's.
func Own() (string, error) { return "", ErrUnsupported }

// Add fails: control groups are Linux's.
func Add(dir string, pid int) error { return ErrUnsupported }

// Join fails: control groups are Linux's.
func Join(dir string, attr *syscall.SysProcAttr) (done func(), err error) { return nil, ErrUnsupported }

// OOMKills fails: control groups are Linux's.
func OOMKills(dir string) (int, error) { return 0, ErrUnsupported }

// Remove does nothing: no group can exist.
func Remove(dir string) error { return nil }
