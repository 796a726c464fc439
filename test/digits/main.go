// Command digits asks a running service that classifies handwritten digits, as
// examples/image_classification does, and checks its answers:
//
//	digits accuracy     how many digits it recognizes that the model was not trained with, as they are and changed
//	digits samples      whether it recognizes the pictures of a directory, named DIGIT-WHAT.jpg
//	digits upright      whether it looks at a picture as its Exif orientation says
//	digits refused      what it says to what it cannot take
//	digits cut          what it says to files that end too early
//	digits damaged      whether it lives on after damaged files
//	digits together     whether 100 requests at the same time are answered like one after the other
//	digits huge         pictures of 50 megapixels
//	digits progressive  files that cost a decoder the most, in memory and in time
//
// and
//
//	digits agree A B    whether two files have the same answers, which -answers has written
//
// The others take the address of the service, and its token from $DIGITS_TOKEN. The
// pictures are drawn from the held-out digits of the example; the same ones every
// time. Run it in the root of the repository, or name the example by -example:
//
//	DIGITS_TOKEN=... go run ./test/digits accuracy http://127.0.0.1:8080/api/predict/digits
//
// Its exit status is 0 only where every answer is what it has to be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "digits:", err)
		stop()
		os.Exit(1)
	}
}

// examination is what a command asks a service for.
type examination struct {
	service
	out     io.Writer
	example string // its directory

	every                int    // one of so many is asked for
	answers              string // where to write them
	plain, changed, each float64
	samples              string
}

var commands = map[string]func(*examination, context.Context) error{
	"accuracy":    (*examination).accuracy,
	"samples":     (*examination).sampled,
	"upright":     (*examination).upright,
	"refused":     (*examination).refused,
	"cut":         (*examination).cut,
	"damaged":     (*examination).damaged,
	"together":    (*examination).together,
	"huge":        (*examination).huge,
	"progressive": (*examination).progressive,
}

func run(ctx context.Context, args []string, out io.Writer) error {
	e := examination{out: out}
	var name string
	if len(args) > 0 {
		name = args[0]
		args = args[1:]
	}
	if name == "agree" && len(args) == 2 {
		return agree(args[0], args[1], out)
	}
	command, ok := commands[name]
	if !ok {
		return fmt.Errorf("usage: digits %s [FLAG...] URL", strings.Join(slices.Sorted(maps.Keys(commands)), "|"))
	}
	flags := flag.NewFlagSet("digits "+name, flag.ContinueOnError)
	flags.StringVar(&e.example, "example", filepath.Join("examples", "image_classification"), "directory of the example")
	connections := flags.Int("connections", 8, "requests at the same time")
	flags.IntVar(&e.every, "every", 1, "leave out all but one of so many digits, cut and damaged files")
	switch name {
	case "accuracy":
		flags.Float64Var(&e.plain, "plain", 98, "fail where less per cent of the plain ones are right")
		flags.Float64Var(&e.changed, "changed", 97, "fail where less per cent of the changed ones are right")
		flags.Float64Var(&e.each, "each", 92, "fail where less per cent of one kind of change are right")
		flags.StringVar(&e.answers, "answers", "", "write every answer to this file")
	case "damaged":
		flags.StringVar(&e.answers, "answers", "", "write every answer to this file")
	case "samples":
		flags.StringVar(&e.samples, "dir", "", "directory of the pictures; without it the example's")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("digits %s takes one address", name)
	}
	e.every = max(e.every, 1)
	e.service = newService(flags.Arg(0), os.Getenv("DIGITS_TOKEN"), *connections)
	return command(&e, ctx)
}

// sheet returns the held-out digits.
func (e *examination) sheet() ([]digit, error) {
	return readSheet(filepath.Join(e.example, "heldout.png"), filepath.Join(e.example, "heldout.txt"))
}

// write writes the answers, a line each, to the file that was asked for.
func (e *examination) write(lines []string) error {
	if e.answers == "" {
		return nil
	}
	return os.WriteFile(e.answers, []byte(strings.Join(lines, "\n")+"\n"), 0o666)
}

// differences is how many of a thousand answers two services with the same model
// may differ in: their decoders, and what they multiply with, need not round alike.
const differences = 2

// agree compares two files of answers.
func agree(a, b string, out io.Writer) error {
	var files [2][]string
	for i, path := range []string{a, b} {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[i] = strings.Split(strings.TrimSpace(string(data)), "\n")
	}
	all, differ := len(files[0]), 0
	if all != len(files[1]) {
		return fmt.Errorf("%s has %d answers, and %s has %d", a, all, b, len(files[1]))
	}
	for i, line := range files[0] {
		if line != files[1][i] {
			differ++
			fmt.Fprintf(out, "%s -- %s\n", line, files[1][i])
		}
	}
	fmt.Fprintf(out, "%d of %d answers differ\n", differ, all)
	if differ*1000 > differences*all {
		return fmt.Errorf("%d of %d answers differ, which is more than %d of 1000", differ, all, differences)
	}
	return nil
}
