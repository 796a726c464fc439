package pysdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// relocate replaces one path by another of the same length in all files and
// links below dir: first lines of scripts, configuration, bytecode, and what is
// compiled into programs. A file that is changed becomes a new one with the old
// one's mode and times, so that files which it shares with a package cache by
// hard links stay as they are.
func relocate(ctx context.Context, dir, from, to string) error {
	if len(from) != len(to) {
		return errors.New("paths of different length")
	}
	old, now := []byte(from), []byte(to)
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case e.Type().IsRegular():
			return relocateFile(path, old, now)
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil || !strings.Contains(target, from) {
				return err
			}
			return relink(path, strings.ReplaceAll(target, from, to))
		}
		return nil
	})
}

// relink replaces a link by one that leads elsewhere.
func relink(path, target string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func relocateFile(path string, old, now []byte) error {
	has, err := contains(path, old)
	if err != nil || !has {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".eascmd-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if _, err := temp.Write(bytes.ReplaceAll(data, old, now)); err != nil {
		return err
	}
	if err := temp.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	// Bytecode goes by the time of its source.
	if err := os.Chtimes(temp.Name(), info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// contains reports whether a file contains some bytes, without holding all of
// it: libraries of several GB are usual.
func contains(path string, what []byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	kept := 0 // bytes of the last block, in which it may have begun
	for {
		n, err := io.ReadFull(f, buf[kept:])
		block := buf[:kept+n]
		if bytes.Contains(block, what) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buf, block[max(0, len(block)-len(what)+1):])
	}
}
