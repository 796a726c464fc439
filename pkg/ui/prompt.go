package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/openeas/eascmd/internal/fault"
)

// Confirm asks a question that is answered by yes or no; Enter means yes.
// With yes set it is not asked. Where nobody can answer it is an error of kind
// Usage that names the flag.
func (t *Terminal) Confirm(ctx context.Context, question string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	if !t.CanPrompt() {
		return false, fault.New(fault.Usage, "%s: nobody is there to answer", Printable(question)).
			WithHint("add -y to answer yes")
	}
	for {
		answer, err := t.ask(ctx, question+"? [Y/n] ", false)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "", "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		}
		t.Info("please answer y or n")
	}
}

// Secret asks for a value without showing what is typed. hint says how to give
// it where nobody can answer.
func (t *Terminal) Secret(ctx context.Context, name, hint string) (string, error) {
	if !t.CanPrompt() {
		return "", fault.New(fault.Usage, "%s is needed and nobody is there to type it", strings.ToLower(name)).WithHint("%s", hint)
	}
	answer, err := t.ask(ctx, name+": ", true)
	return strings.TrimSpace(answer), err
}

// Line asks for a value that is shown while it is typed.
func (t *Terminal) Line(ctx context.Context, name, hint string) (string, error) {
	if !t.CanPrompt() {
		return "", fault.New(fault.Usage, "%s is needed and nobody is there to type it", strings.ToLower(name)).WithHint("%s", hint)
	}
	answer, err := t.ask(ctx, name+": ", false)
	return strings.TrimSpace(answer), err
}

// ask prints a prompt and reads a line. When ctx ends first the terminal is
// put back as it was; the read itself cannot be interrupted and is left to the
// end of the program.
func (t *Terminal) ask(ctx context.Context, prompt string, hidden bool) (string, error) {
	if ctx.Err() != nil {
		return "", fault.New(fault.Interrupted, "interrupted: %w", context.Cause(ctx))
	}
	t.mu.Lock()
	t.bar.erase()
	io.WriteString(t.Err, Printable(prompt))
	t.mu.Unlock()

	read, restore := func() (string, error) { return readLine(t.In) }, func() {}
	if file, ok := t.In.(*os.File); ok && hidden {
		fd := int(file.Fd())
		read = func() (string, error) {
			line, err := term.ReadPassword(fd)
			return string(line), err
		}
		if state, err := term.GetState(fd); err == nil {
			restore = func() { _ = term.Restore(fd, state) }
		}
	}
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		line, err := read()
		replies <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		restore()
		t.talk("")
		return "", fault.New(fault.Interrupted, "interrupted: %w", context.Cause(ctx))
	case r := <-replies:
		if hidden {
			t.talk("") // the newline that was typed was not shown
		}
		if errors.Is(r.err, io.EOF) {
			if !hidden {
				t.talk("")
			}
			return "", fault.New(fault.Interrupted, "the input ended before the question was answered")
		}
		return r.line, r.err
	}
}

// readLine reads a line byte by byte, so that what follows it stays for the
// next reader.
func readLine(r io.Reader) (string, error) {
	var line bytes.Buffer
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n == 1 {
			if b[0] == '\n' {
				return strings.TrimSuffix(line.String(), "\r"), nil
			}
			line.WriteByte(b[0])
		}
		if err != nil {
			if errors.Is(err, io.EOF) && line.Len() > 0 {
				return line.String(), nil
			}
			return "", err
		}
	}
}

// ReadSecret reads a line of standard input, without showing it where it is
// typed. What follows the line stays for the next reader.
func (t *Terminal) ReadSecret(ctx context.Context, name string) (string, error) {
	if t.CanPrompt() {
		return t.Secret(ctx, name, "")
	}
	line, err := readLine(t.In)
	line = strings.TrimSpace(line)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return "", fault.New(fault.Failed, "%s: reading standard input: %w", strings.ToLower(name), err)
	case line == "":
		return "", fault.New(fault.Usage, "%s: standard input has no line for it", strings.ToLower(name))
	}
	return line, nil
}
