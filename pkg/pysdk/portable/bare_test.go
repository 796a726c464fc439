package portable

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// bareRoot unpacks a Debian without Python, takes away what Pythons are usually
// linked with, and returns what runs a program in it with nothing in its
// environment.
func bareRoot(t *testing.T) (root string, run func(t *testing.T, args ...string) string) {
	t.Helper()
	archive := dockertest.BaseFiles(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("missing: unshare")
	}
	root = t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-C", root, "--no-same-owner", "-xzf", archive).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", archive, err, out)
	}
	gone := regexp.MustCompile(`^lib(ssl|crypto|ffi|lzma|sqlite3|expat)\.so`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), "python3"):
			t.Errorf("there is a Python: %s", path)
		case gone.MatchString(d.Name()):
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	command := func(t *testing.T, args ...string) *exec.Cmd {
		options := []string{"--mount", "--pid", "--fork"}
		if os.Getuid() != 0 {
			options = append(options, "--map-root-user")
		}
		const inside = `mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env -i "$@"`
		cmd := exec.CommandContext(t.Context(), unshare, append(append(options, "sh", "-c", inside, root), args...)...)
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		return cmd
	}
	if out, err := command(t, "/bin/true").CombinedOutput(); err != nil {
		t.Skipf("missing: namespaces and chroot (%v: %s)", err, out)
	}
	return root, func(t *testing.T, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := command(t, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: %v\n%s%s", args, err, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
}

// says is what a Python tells of itself.
type says struct {
	Prefix      string            `json:"prefix"`
	Path        []string          `json:"path"`
	Outside     []string          `json:"outside"` // mapped files that are not the environment's
	Authorities int               `json:"authorities"`
	Paths       map[string]string `json:"paths"`
	Distutils   string            `json:"distutils"` // directory of packages
	Bytecode    bool              `json:"bytecode"`  // of the standard library is used
	Answer      float64           `json:"answer"`    // of numpy or scikit-learn
	Words       []string          `json:"words"`     // sysconfig's variables with directories
}

// question makes a Python load what uses shared libraries.
const question = `
import sys, json
import ssl, ctypes, lzma, sqlite3, bz2, zlib, uuid, hashlib, decimal, curses, pyexpat, xml.dom.minidom, sysconfig, socket, multiprocessing
try:
    import readline
except ImportError as e:
    if "built without" not in str(e):
        raise
sqlite3.connect(":memory:").execute("select 1")
lzma.decompress(lzma.compress(b"x")); bz2.compress(b"x"); ctypes.CDLL(None).getpid(); uuid.uuid1()
xml.dom.minidom.parseString("<a/>")
answer = 0.0
if "numpy" in sys.argv:
    import numpy
    answer = float(numpy.linalg.solve(numpy.eye(3), [1, 2, 3])[2])
if "scikit-learn" in sys.argv:
    import numpy, sklearn.linear_model
    answer = float(sklearn.linear_model.LinearRegression().fit(numpy.eye(3), [1, 2, 3]).predict(numpy.eye(3))[2])
directory = ""
if sys.version_info < (3, 12):
    import warnings
    warnings.simplefilter("ignore")
    import distutils.sysconfig
    directory = distutils.sysconfig.get_python_lib()
import json.decoder
mapped = {l.split(None, 5)[5].strip() for l in open("/proc/self/maps") if len(l.split(None, 5)) > 5}
variables = sysconfig.get_config_vars()
print(json.dumps({
    "prefix": sys.prefix, "path": sys.path[1:],
    "outside": sorted(m for m in mapped if m.startswith("/") and not m.startswith(sys.prefix + "/")),
    "authorities": len(ssl.create_default_context().get_ca_certs()),
    "paths": sysconfig.get_paths(), "distutils": directory,
    "bytecode": json.decoder.__spec__.loader.__class__.__name__ == "SourceFileLoader" and __import__("os").path.exists(json.decoder.__cached__),
    "answer": answer,
    "words": [str(variables[k]) for k in ("prefix", "LIBDIR", "INCLUDEPY", "LIBDEST", "BINDIR") if k in variables],
}))
`

// glibc's files: its libraries, locales and character sets.
var ofGlibc = regexp.MustCompile(`^(/usr)?/lib(64)?/([a-z0-9_]+-linux-gnu/)?((lib(c|m|dl|pthread|rt|util|resolv|anl|nss_[a-z]+)|ld-linux[a-z0-9-]*)[.-][^/]*|gconv/.*)$|^/usr/lib/locale/`)

func (s says) check(t *testing.T, prefix string) {
	t.Helper()
	if s.Prefix != prefix {
		t.Errorf("sys.prefix is %s, want %s", s.Prefix, prefix)
	}
	for _, file := range s.Outside {
		if !ofGlibc.MatchString(file) {
			t.Errorf("the process has %s, which is outside of the environment", file)
		}
	}
	for _, dir := range append(append(s.Path, s.Distutils), s.Words...) {
		if dir != "" && !strings.HasPrefix(dir+"/", prefix+"/") {
			t.Errorf("a directory is %s, outside of %s", dir, prefix)
		}
	}
	for _, name := range []string{"purelib", "platlib"} {
		if dir := s.Paths[name]; !strings.HasPrefix(dir, prefix+"/lib") || !strings.HasSuffix(dir, "/site-packages") {
			t.Errorf("%s is %s, want site-packages in %s", name, dir, prefix)
		}
	}
	if dir := s.Paths["scripts"]; dir != prefix+"/bin" {
		t.Errorf("scripts go to %s", dir)
	}
	if !s.Bytecode {
		t.Error("the bytecode of the standard library did not come along")
	}
}

func ask(t *testing.T, run func(*testing.T, ...string) string, args ...string) says {
	t.Helper()
	out := run(t, args...)
	var s says
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// wheel is a package without dependencies, as a wheel.
func wheel(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "probe-1.0-py3-none-any.whl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, file := range [][2]string{
		{"probe.py", "def main():\n    print('probed', __file__)\n"},
		{"probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n"},
		{"probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"probe-1.0.dist-info/entry_points.txt", "[console_scripts]\nprobe = probe:main\n"},
		{"probe-1.0.dist-info/RECORD", "probe.py,,\nprobe-1.0.dist-info/METADATA,,\nprobe-1.0.dist-info/WHEEL,,\nprobe-1.0.dist-info/entry_points.txt,,\nprobe-1.0.dist-info/RECORD,,\n"},
	} {
		w, err := z.Create(file[0])
		if err == nil {
			_, err = w.Write([]byte(file[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// interpreters are those that the tests copy, by a name.
func interpreters(t *testing.T) map[string]*python.Interpreter {
	t.Helper()
	found := map[string]*python.Interpreter{}
	list, err := python.Find(t.Context(), python.FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		switch name := i.Name(); {
		case i.BasePrefix == "/usr":
			found["distribution"] = i
		case found[name] == nil && (name == "3.8" || name == "3.11" || name == "3.13"):
			found[name] = i
		}
	}
	return found
}

// An environment runs where there is no Python, under any path.
func TestBareMachine(t *testing.T) {
	root, run := bareRoot(t)
	if err := os.WriteFile(filepath.Join(root, "question.py"), []byte(question), 0o644); err != nil {
		t.Fatal(err)
	}
	wheel(t, root)
	found := interpreters(t)
	for _, name := range []string{"3.8", "3.11", "3.13", "distribution"} {
		t.Run(name, func(t *testing.T) {
			i := found[name]
			if i == nil {
				t.Skipf("missing: Python %s", name)
			}
			tree, err := Interpreter(t.Context(), i, Options{})
			if err != nil {
				t.Fatal(err)
			}
			env := filepath.Join(t.TempDir(), "ENV")
			if err := Materialize(t.Context(), tree, env, nil); err != nil {
				t.Fatal(err)
			}
			// scipy alone has thousands of files: once is enough.
			packages := "numpy"
			if name == "3.11" {
				packages = "scikit-learn"
			}
			pip := exec.CommandContext(t.Context(), filepath.Join(env, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:", packages)
			pip.Env = python.Environ(os.Environ())
			if out, err := pip.CombinedOutput(); err != nil {
				t.Logf("missing: %s (%v: %s)", packages, err, out)
				packages = "none"
			}
			tree, err = Environment(t.Context(), env, Options{Name: "ENV"})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range tree.Findings {
				if f.Severity > Note {
					t.Errorf("finding: %+v", f)
				}
			}
			where := "/opt/" + strings.ReplaceAll(t.Name(), "/", "_")
			if err := Materialize(t.Context(), tree, root+where, nil); err != nil {
				t.Fatal(err)
			}
			prefix := where + "/ENV"
			args := []string{prefix + "/bin/python", "-I", "/question.py", packages}
			s := ask(t, run, args...)
			s.check(t, prefix)
			if packages != "none" && (s.Answer < 2.99 || s.Answer > 3.01) {
				t.Errorf("%s says %v, want 3", packages, s.Answer)
			}
			if s.Authorities == 0 {
				t.Error("no certificate authorities came along")
			}

			// Elsewhere, under a name with a space.
			other := where + " moved/twice"
			if err := os.MkdirAll(root+other, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(root+prefix, root+other+"/ENV"); err != nil {
				t.Fatal(err)
			}
			prefix = other + "/ENV"
			args[0] = prefix + "/bin/python"
			ask(t, run, args...).check(t, prefix)

			// pip, and the programs that it makes.
			run(t, prefix+"/bin/pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", "/probe-1.0-py3-none-any.whl")
			want := fmt.Sprintf("probed %s/lib/python%s/", prefix, i.Name())
			if got := run(t, prefix+"/bin/python", "-c", "import probe; probe.main()"); !strings.HasPrefix(got, want) {
				t.Errorf("pip installed it elsewhere: %q, want %q", got, want)
			}
			if _, err := os.Stat(root + prefix + "/lib/python" + i.Name() + "/site-packages/probe.py"); err != nil {
				t.Error(err)
			}
			if packages != "none" {
				run(t, prefix+"/bin/f2py", "-v")
			}

			// The machine's authorities win where it has some.
			if name == "3.11" {
				machine := filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")
				if err := os.MkdirAll(filepath.Dir(machine), 0o755); err != nil {
					t.Fatal(err)
				}
				pem, err := os.ReadFile(filepath.Join(root+prefix, "ssl/cert.pem"))
				if err != nil {
					t.Fatal(err)
				}
				const end = "-----END CERTIFICATE-----\n"
				first, _, _ := strings.Cut(string(pem), end)
				if err := os.WriteFile(machine, []byte(first+end), 0o644); err != nil {
					t.Fatal(err)
				}
				if s := ask(t, run, args...); s.Authorities != 1 {
					t.Errorf("%d authorities, want the machine's one", s.Authorities)
				}
				if err := os.Remove(machine); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
