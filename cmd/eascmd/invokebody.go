package main

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/invoke"
	"github.com/openeas/eascmd/pkg/ui"
)

// take puts the body of an answer where it belongs. A file only ever holds
// the body of a request that was answered 200.
func (c *invokeCalls) take(answer *invoke.Answer, row *invokeAnswer) error {
	switch {
	case c.file != "" && answer.StatusCode == http.StatusOK:
		n, err := writeBody(c.file, answer.Body)
		row.Bytes, row.File = n, c.file
		return err
	case c.output != ui.Table:
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		row.Bytes = int64(len(body))
		if utf8.Valid(body) {
			row.Body = string(body)
		} else {
			row.BodyBase64 = body
		}
		return nil
	case c.term.OutTTY:
		screen := &screenWriter{w: c.term.Out}
		n, err := io.Copy(screen, answer.Body)
		row.Bytes = n
		if errors.Is(err, errBinary) {
			c.term.Warn("the answer is binary and is not printed on the terminal")
			c.term.Hint("-o FILE writes it to a file, and a pipe passes it on")
			return nil
		}
		return cmp.Or(err, screen.end())
	}
	n, err := io.Copy(c.term.Out, answer.Body)
	row.Bytes = n
	return err
}

// writeBody writes a body to a file, which appears when it is whole.
func writeBody(path string, body io.Reader) (n int64, err error) {
	failed := func(err error) error { return fault.New(fault.Failed, "write the answer: %w", err) }
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // a device or a pipe
		if err != nil {
			return 0, failed(err)
		}
		defer file.Close()
		return io.Copy(file, body)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return 0, failed(err)
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	if n, err = io.Copy(file, body); err != nil {
		return n, err
	}
	if err := file.Close(); err != nil {
		return n, failed(err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		os.Remove(file.Name())
		return n, failed(err)
	}
	return n, nil
}

// errBinary is why a body is not shown on a terminal.
var errBinary = errors.New("binary")

// screenWriter shows a body on a terminal as it comes: what is no text is
// refused, and nothing in it controls the terminal.
type screenWriter struct {
	w    io.Writer
	rest []byte // the beginning of a character
	open bool   // the last line has no end yet
}

// end ends the last line, so that what comes next begins one.
func (s *screenWriter) end() error {
	if !s.open {
		return nil
	}
	_, err := io.WriteString(s.w, "\n")
	return err
}

func (s *screenWriter) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, 0) >= 0 {
		return 0, errBinary
	}
	text := append(s.rest, p...)
	whole := len(text)
	// A character may be cut: at most three bytes of it are there.
	for cut := 1; cut < utf8.UTFMax && cut <= len(text); cut++ {
		if last := text[len(text)-cut:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= cut
			}
			break
		}
	}
	s.rest = bytes.Clone(text[whole:])
	if _, err := io.WriteString(s.w, ui.Printable(string(text[:whole]))); err != nil {
		return 0, err
	}
	if whole > 0 {
		s.open = text[whole-1] != '\n'
	}
	return len(p), nil
}

// headerLines lists headers by name.
func headerLines(header http.Header) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(header)) {
		lines = append(lines, name+": "+strings.Join(header[name], ", "))
	}
	return lines
}

func sortedKeys(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }

// roundTime is a time with about three digits.
func roundTime(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
