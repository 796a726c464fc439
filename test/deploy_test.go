package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/test/s3server"
)

// TestDeployingFromS3 runs the script of a short life with a real S3 server for
// the packages, in place of a directory.
func TestDeployingFromS3(t *testing.T) {
	server := s3server.Start(t)
	runScripts(t, []string{filepath.Join("scripts", "deploy", "short-life.txtar")}, map[string]string{
		"PLACE":                 "s3://" + server.Bucket + "/team",
		"PLACE_DIRECTORY":       filepath.Join(server.Dir, server.Bucket),
		"EASCMD_S3_ENDPOINT":    server.URL,
		"AWS_ACCESS_KEY_ID":     server.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": server.AccessKeySecret,
	})
}

// keepControlPlane keeps `eascmd dev control-plane` running while a script goes on:
//
//	controlplane start [FLAG...]             starts it, with the access key of the environment; sets $API and $SERVICES
//	controlplane fault KIND [ACTION [TIMES]] has it fail; see controlplane.Fault
//	controlplane slow ACTION TIMES DURATION  has it take its time
//	controlplane stop                        ends it, as service stop
func keepControlPlane(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "usage: controlplane start [FLAG...] | fault KIND [ACTION [TIMES]] | slow ACTION TIMES DURATION | stop"
	if neg || len(args) == 0 {
		ts.Fatalf(usage)
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "start":
		startControlPlane(ts, rest)
	case verb == "fault" && len(rest) >= 1 && len(rest) <= 3:
		f := controlplane.Fault{Kind: controlplane.FaultKind(rest[0])}
		if len(rest) > 1 {
			f.Action = rest[1]
		}
		if len(rest) > 2 {
			times, err := strconv.Atoi(rest[2])
			ts.Check(err)
			f.Times = times
		}
		ts.Check(injectFault(ts.Getenv("API"), f))
	case verb == "slow" && len(rest) == 3:
		times, err := strconv.Atoi(rest[1])
		ts.Check(err)
		delay, err := time.ParseDuration(rest[2])
		ts.Check(err)
		ts.Check(injectFault(ts.Getenv("API"), controlplane.Fault{Kind: controlplane.Slow, Action: rest[0], Times: times, Delay: delay}))
	case verb == "stop" && len(rest) == 0:
		current(ts, controlPlaneRole).stop(ts, nil)
	default:
		ts.Fatalf(usage)
	}
}

func startControlPlane(ts *testscript.TestScript, args []string) {
	b := launch(ts, controlPlaneRole, append([]string{"dev", "control-plane", "--faults", "-o", "json"}, args...))
	b.wait(ts, regexp.MustCompile(`(?m)^end it: `))
	b.wait(ts, regexp.MustCompile(`(?m)^}$`)) // the object comes through another pipe
	var result struct{ Endpoint, PredictEndpoint string }
	ts.Check(json.Unmarshal([]byte(b.out.String()), &result))
	ts.Setenv("API", result.Endpoint)
	ts.Setenv("SERVICES", result.PredictEndpoint)
}

// injectFault asks a control plane in another process for a fault.
func injectFault(endpoint string, f controlplane.Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	resp, err := http.Post(endpoint+"/faults", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("POST %s/faults: %s", endpoint, resp.Status)
	}
	return nil
}

// secrets looks for what must not be told:
//
//	secrets watch                begins to note the command lines of the script's processes
//	secrets check DIR VALUE...   checks that no VALUE is in one of them, in what commands run by status, job,
//	                             service and controlplane have said on standard error, or in a file below DIR
func secrets(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && len(args) == 1 && args[0] == "watch":
		w := &watcher{runtimeDir: "XDG_RUNTIME_DIR=" + ts.Getenv("XDG_RUNTIME_DIR"), others: map[string]bool{}, lines: map[string]bool{}}
		watchers.Store(ts, w)
		end := make(chan struct{})
		var stopped sync.WaitGroup
		stopped.Go(func() { w.watch(end) })
		ts.Defer(func() {
			close(end)
			stopped.Wait()
			watchers.Delete(ts)
		})
	case !neg && len(args) >= 3 && args[0] == "check":
		found, ok := watchers.Load(ts)
		if !ok {
			ts.Fatalf("secrets check: nothing is watched")
		}
		w := found.(*watcher)
		if w.count() == 0 {
			ts.Fatalf("secrets check: no process of the script was seen")
		}
		for _, value := range args[2:] {
			if value == "" {
				ts.Fatalf("secrets check: a value is empty")
			}
			if line := w.find(value); line != "" {
				ts.Fatalf("a secret is in a command line:\n%s", line)
			}
			if text := said(ts); strings.Contains(text, value) {
				ts.Fatalf("a secret is said:\n%s", text)
			}
			if file := fileWith(ts, ts.MkAbs(args[1]), value); file != "" {
				ts.Fatalf("a secret is in %s", file)
			}
		}
	default:
		ts.Fatalf("usage: secrets watch | check DIR VALUE...")
	}
}

// watchers holds each script's watcher.
var watchers sync.Map // *testscript.TestScript -> *watcher

// watcher notes the command lines of a script's processes. Only Linux tells.
type watcher struct {
	runtimeDir string          // marks them, in their environment
	others     map[string]bool // ids of processes that are somebody else's

	mu    sync.Mutex
	lines map[string]bool
}

func (w *watcher) watch(end <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// look looks at processes that are new, and again at those of the script, which
// may have become another program.
func (w *watcher) look() {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' || w.others[name] {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", name, "environ"))
		if err != nil || len(environ) == 0 {
			continue // it ends, or begins
		}
		if !slices.Contains(strings.Split(string(environ), "\x00"), w.runtimeDir) {
			w.others[name] = true
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", name, "cmdline"))
		w.mu.Lock()
		w.lines[strings.ReplaceAll(string(line), "\x00", " ")] = true
		w.mu.Unlock()
	}
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lines)
}

// find returns a command line with text in it.
func (w *watcher) find(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range w.lines {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// fileWith returns a file below dir that has text in it. Files may go meanwhile.
func fileWith(ts *testscript.TestScript, dir, text string) (found string) {
	files := 0
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		files++
		if bytes.Contains(data, []byte(text)) {
			found = path
			return fs.SkipAll
		}
		return nil
	}))
	if files == 0 {
		ts.Fatalf("there is no file below %s", dir)
	}
	return found
}

// talk holds what the commands of each script have said on standard error.
var talk sync.Map // *testscript.TestScript -> *output

// talked adds to what was said.
func talked(ts *testscript.TestScript, text string) {
	all, had := talk.LoadOrStore(ts, &output{})
	if !had {
		ts.Defer(func() { talk.Delete(ts) })
	}
	_, _ = all.(*output).Write([]byte(text)) // it never fails
}

// said is all of it.
func said(ts *testscript.TestScript) string {
	all, ok := talk.Load(ts)
	if !ok {
		return ""
	}
	return all.(*output).String()
}
