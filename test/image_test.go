package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// imageExample sets $EXAMPLE to a copy of examples/image_classification, which all
// scripts share and none changes. What is named is made in it once a test run: the
// library and its package, or python/ENV, by a Python of this machine:
//
//	example cpp|python
func imageExample(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || imageParts[args[0]] == nil {
		ts.Fatalf("usage: example cpp|python")
	}
	dir, err := imageParts[args[0]]()
	ts.Check(err)
	ts.Setenv("EXAMPLE", dir)
}

var imageParts = map[string]func() (string, error){
	"cpp": sync.OnceValues(func() (string, error) {
		downloads, err := imageDownloads()
		if err != nil {
			return "", err
		}
		return makeImagePart("make", "package", "DOWNLOADS="+downloads)
	}),
	"python": sync.OnceValues(func() (string, error) {
		return makeImagePart(filepath.Join(built.dir, "bin", "eascmd"), "pysdk", "init", "python", "--env-only")
	}),
}

// makeImagePart runs a program in the copy of the example.
func makeImagePart(program string, args ...string) (string, error) {
	dir, err := imageCopy()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(built.dir, "cache"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return dir, nil
}

// imageSource is where the example lies.
var imageSource = filepath.Join("..", "examples", "image_classification")

// imageDownloads is where ONNX Runtime is kept, once a machine.
func imageDownloads() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "eascmd-test", "onnxruntime"), err
}

// imageCopy copies the example without what was made of it where it lies.
var imageCopy = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(built.dir, "image_classification")
	return dir, filepath.WalkDir(imageSource, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(imageSource, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"build", "obj", "ENV", "__pycache__", ".onnxruntime"}, d.Name()) {
				return filepath.SkipDir
			}
			return os.Mkdir(filepath.Join(dir, name), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o644)
	})
})

// haveJPEG reports whether programs are built here that decode JPEG files.
var haveJPEG = sync.OnceValue(func() bool {
	if !haveCompiler() {
		return false
	}
	cmd := exec.Command("g++", "-x", "c++", "-E", "-o", os.DevNull, "-")
	cmd.Stdin = strings.NewReader("#include <cstdio>\n#include <jpeglib.h>\n")
	return cmd.Run() == nil
})

// haveONNXRuntime reports whether the example's Makefile gets ONNX Runtime here.
var haveONNXRuntime = sync.OnceValue(func() bool {
	if !have("make", "unzip") {
		return false
	}
	downloads, err := imageDownloads()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, "make", "-C", imageSource, "fetch", "DOWNLOADS="+downloads).Run() == nil
})

// keptWorker is the process of a script's service that the model runs in.
type keptWorker struct {
	pid  string
	used int // kB of memory, when it was noted
}

var keptWorkers sync.Map // *testscript.TestScript -> keptWorker

// watchWorker watches the process that ONNX Runtime is in, of a service on the
// process engine. Only Linux tells.
//
//	worker note     notes which one it is, and how much memory it has
//	worker same     checks that it is still the same one
//	worker grew MB  checks that it never had more memory since then, but so much
func watchWorker(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "usage: worker note|same|grew MB"
	if neg || len(args) == 0 {
		ts.Fatalf(usage)
	}
	pid, err := onnxProcess(ts.Getenv("XDG_RUNTIME_DIR"))
	ts.Check(err)
	if args[0] == "note" && len(args) == 1 {
		// From now on the peak is of what comes.
		ts.Check(os.WriteFile(filepath.Join("/proc", pid, "clear_refs"), []byte("5"), 0))
		used, err := memoryOf(pid, "VmRSS")
		ts.Check(err)
		keptWorkers.Store(ts, keptWorker{pid, used})
		ts.Defer(func() { keptWorkers.Delete(ts) })
		return
	}
	noted, ok := keptWorkers.Load(ts)
	if !ok {
		ts.Fatalf("no worker was noted")
	}
	before := noted.(keptWorker)
	if pid != before.pid {
		ts.Fatalf("the worker is process %s, and was %s", pid, before.pid)
	}
	switch {
	case args[0] == "same" && len(args) == 1:
	case args[0] == "grew" && len(args) == 2:
		most, err := strconv.Atoi(args[1])
		ts.Check(err)
		peak, err := memoryOf(pid, "VmHWM")
		ts.Check(err)
		ts.Logf("the worker had %d kB, and %d at most since then", before.used, peak)
		if peak-before.used > most<<10 {
			ts.Fatalf("the worker grew by %d kB", peak-before.used)
		}
	default:
		ts.Fatalf(usage)
	}
}

// onnxProcess returns the id of a script's process that has ONNX Runtime loaded.
func onnxProcess(runtimeDir string) (string, error) {
	var found []string
	for _, p := range processesWith("XDG_RUNTIME_DIR=" + runtimeDir) {
		pid, _, _ := strings.Cut(p, " ")
		maps, err := os.ReadFile(filepath.Join("/proc", pid, "maps"))
		if err == nil && bytes.Contains(maps, []byte("onnxruntime")) {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("ONNX Runtime is in %d processes, not in one", len(found))
	}
	return found[0], nil
}

// memoryOf returns a number of /proc/PID/status, in kB.
func memoryOf(pid, name string) (int, error) {
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		return 0, fmt.Errorf("process %s: no %s", pid, name)
	}
	return strconv.Atoi(string(m[1]))
}

// writeModel writes an ONNX file that hands its input through:
//
//	model FILE INPUT TYPE SHAPE OUTPUT
//
// TYPE is float or int64, and SHAPE is like N,1,28,28.
func writeModel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: model FILE INPUT TYPE SHAPE OUTPUT")
	}
	kind, ok := map[string]uint64{"float": 1, "int64": 7}[args[2]]
	if !ok {
		ts.Fatalf("unknown type %s", args[2])
	}
	model, err := identity(args[1], kind, strings.Split(args[3], ","), args[4])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), model, 0o666))
}

// identity returns a model of one operator, in the format of protocol buffers. The
// numbers are those of ONNX's fields.
func identity(input string, kind uint64, shape []string, output string) ([]byte, error) {
	number := func(field, value uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(nil, field<<3), value)
	}
	message := func(field uint64, parts ...[]byte) []byte {
		data := bytes.Join(parts, nil)
		b := binary.AppendUvarint(binary.AppendUvarint(nil, field<<3|2), uint64(len(data)))
		return append(b, data...)
	}
	text := func(field uint64, s string) []byte { return message(field, []byte(s)) }
	var dimensions []byte
	for _, d := range shape {
		n, err := strconv.ParseUint(d, 10, 63)
		switch {
		case err == nil:
			dimensions = append(dimensions, message(1, number(1, n))...)
		case errors.Is(err, strconv.ErrSyntax):
			dimensions = append(dimensions, message(1, text(2, d))...) // it may be anything
		default:
			return nil, err
		}
	}
	value := func(field uint64, name string) []byte {
		tensor := message(1, number(1, kind), message(2, dimensions))
		return message(field, text(1, name), message(2, tensor))
	}
	graph := message(7,
		message(1, text(1, input), text(2, output), text(4, "Identity")), // the node
		text(2, "identity"),
		value(11, input), value(12, output))
	return bytes.Join([][]byte{number(1, 8), graph, message(8, number(2, 17))}, nil), nil
}
