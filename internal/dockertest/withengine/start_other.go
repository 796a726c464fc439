//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

func start(context.Context, io.Writer) (host string, end func() error, err error) {
	return "", func() error { return nil }, errors.New("needs Linux")
}
