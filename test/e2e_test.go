package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openeas/eascmd/internal/dockertest"

	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/gpu"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

func TestMain(m *testing.M) {
	testscript.Main(program{m}, nil)
}

// program builds eascmd for the tests that want it and removes it after them.
type program struct{ m *testing.M }

func (p program) Run() int {
	code := p.m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	return code
}

var built struct {
	once sync.Once
	dir  string // holds the program and the cache that all scripts share
	err  error
}

// binDir returns a directory with the program, built as it is released, and with
// programs that only scripts need.
func binDir(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		built.dir, built.err = os.MkdirTemp("", "eascmd-e2e-")
		if built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
			"-o", filepath.Join(built.dir, "bin")+string(filepath.Separator), "./cmd/eascmd", "./test/digits")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build eascmd: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "bin")
}

// TestScripts runs every script below scripts/, each in a directory and with a
// home of its own. Besides testscript's commands they have those of
// commands_test.go. To run one: go test ./test -run TestScripts/NAME
func TestScripts(t *testing.T) {
	var files []string
	err := filepath.WalkDir("scripts", func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".txtar") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no scripts found")
	}
	runScripts(t, files, nil)
}

// runScripts runs scripts, with more variables in their environment.
func runScripts(t *testing.T, files []string, variables map[string]string) {
	bin := binDir(t)
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files:              files,
		RequireUniqueNames: true,
		Cmds:               scriptCommands,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "compiler":
				return haveCompiler(), nil
			case "python":
				return havePython(), nil
			case "pypi":
				return havePyPI(), nil
			case "jpeg":
				return haveJPEG(), nil
			case "onnxruntime":
				return haveONNXRuntime(), nil
			case "javac":
				return have("java", "javac", "jar"), nil
			case "maven":
				return haveMaven(), nil
			case "root":
				return os.Getuid() == 0, nil
			case "container":
				return variables != nil, nil
			case "s3":
				return variables["AWS_ACCESS_KEY_ID"] != "", nil
			case "docker":
				host, err := engineWithBase()
				return err == nil && host != "", nil
			case "nvcc":
				return have("nvcc", "make"), nil
			case "gpu":
				return haveGPU(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			if err := os.Mkdir(home, 0o700); err != nil {
				return err
			}
			// Sockets live here: the path has to be short. It also marks the
			// processes of this script, by their environment.
			runtimeDir, err := os.MkdirTemp("", "eas-")
			if err != nil {
				return err
			}
			env.Defer(func() {
				defer os.RemoveAll(runtimeDir)
				if left := leftovers(runtimeDir, env.Getenv("TMPDIR")); len(left) > 0 {
					env.T().Log("left behind:\n" + strings.Join(left, "\n"))
					env.T().FailNow()
				}
			})
			env.Setenv("HOME", home)
			env.Setenv("XDG_RUNTIME_DIR", runtimeDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(built.dir, "cache"))
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("REPO", repo)
			if home, err := os.UserHomeDir(); err == nil {
				// What Maven has fetched once is there for the next time.
				env.Setenv("MAVEN_REPOSITORY", filepath.Join(home, ".m2", "repository"))
			}
			// The machine's own settings must not reach a script.
			for _, name := range []string{"NO_COLOR", "CI", "TERM"} {
				env.Setenv(name, "")
			}
			if host, err := engineWithBase(); err == nil {
				env.Setenv("DOCKER_HOST", host)
			}
			for name, value := range variables {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}

// engineWithBase returns the address of a Docker Engine that has the base image.
var engineWithBase = sync.OnceValues(func() (string, error) {
	if why := os.Getenv(dockertest.EnvMissing); why != "" {
		return "", errors.New(why)
	}
	host, err := dockertest.Find(context.Background())
	if err == nil {
		err = dockertest.EnsureBase(context.Background(), host, io.Discard)
	}
	return host, err
})

// TestScriptsInContainers runs the scripts of runs on the Docker engine: what
// holds on one engine holds on the other.
func TestScriptsInContainers(t *testing.T) {
	dockertest.Base(t)
	var files []string
	for _, name := range alikeEverywhere {
		files = append(files, filepath.Join("scripts", "run", name+".txtar"))
	}
	runScripts(t, files, map[string]string{"EASCMD_TEST_ENGINE": "docker"})
}

// alikeEverywhere are the scripts whose runs are the same on every engine.
var alikeEverywhere = []string{
	"check", "crash", "echo", "ended", "ends", "fetch", "flags", "java-calls", "java-ends", "java-mistakes", "java-options", "java-places",
	"killed", "mistakes", "places", "ports", "project", "python", "pythonends", "service",
}

// leftovers returns the directories and processes of a script that are still
// there. Processes get a while to end.
func leftovers(runtimeDir, tmpDir string) []string {
	var left []string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if left = processesWith("XDG_RUNTIME_DIR=" + runtimeDir); len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, pattern := range []string{filepath.Join(runtimeDir, "eascmd", "run-*"), filepath.Join(tmpDir, "eascmd-*", "run-*")} {
		found, _ := filepath.Glob(pattern)
		left = append(left, found...)
	}
	return left
}

// processesWith returns the command lines of the processes with a variable in
// their environment. Only Linux tells.
func processesWith(variable string) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		data, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(data), "\x00"), variable) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found = append(found, filepath.Base(filepath.Dir(path))+" "+strings.ReplaceAll(string(line), "\x00", " "))
	}
	return found
}

func haveCompiler() bool { return runtime.GOOS == "linux" && have("g++", "make") }

// havePython reports whether a Python is here that an environment can be made
// of.
var havePython = sync.OnceValue(func() bool {
	found, err := python.Find(context.Background(), python.FindOptions{})
	return err == nil && runtime.GOOS == "linux" && len(found) > 0
})

// have reports whether programs are here.
func have(programs ...string) bool {
	return !slices.ContainsFunc(programs, func(name string) bool {
		_, err := exec.LookPath(name)
		return err != nil
	})
}

// havePyPI reports whether pip gets packages here.
var havePyPI = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "eascmd-pypi-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", dir, "threadpoolctl").Run() == nil
})

// haveMaven reports whether Maven builds Java here, with packages of Maven Central.
var haveMaven = sync.OnceValue(func() bool {
	if !have("mvn", "javac") {
		return false
	}
	dir, err := os.MkdirTemp("", "eascmd-maven-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	// A project whose parent is there, and a repository in which nothing is yet.
	project := `<project><modelVersion>4.0.0</modelVersion><artifactId>a</artifactId><packaging>pom</packaging>
<parent><groupId>org.apache</groupId><artifactId>apache</artifactId><version>35</version><relativePath/></parent></project>`
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(project), 0o600); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "-B", "-q", "-Dmaven.repo.local="+filepath.Join(dir, "repository"), "validate")
	cmd.Dir = dir
	return cmd.Run() == nil
})

// haveGPU reports whether a processor can use a GPU of NVIDIA's here.
var haveGPU = sync.OnceValue(func() bool {
	here := nvidia.Look(context.Background(), nvidia.Options{})
	return here.LibCUDA != "" && gpu.CheckDriver(gpu.Request{All: true}, here) == nil
})
