//go:build unix

package pysdk

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// checkEnvironment goes through what every environment has to be, whatever made
// it.
func checkEnvironment(t *testing.T, env *Environment, sdk *SDK) {
	t.Helper()
	if env.SDK != sdk.Version || !env.Pip || env.Interpreter != Executable(env.Path) {
		t.Errorf("%+v", env)
	}
	want := Marker{Backend: env.Backend, Python: env.Python, SDK: sdk.Version, Creator: "1.2.3"}
	if got, err := ReadMarker(env.Path); err != nil || got != want {
		t.Errorf("marker %+v, %v; want %+v", got, err, want)
	}
	i, err := python.Ask(t.Context(), env.Interpreter)
	if err != nil {
		t.Fatal(err)
	}
	if i.Version != env.Python || i.Prefix != env.Path {
		t.Errorf("Python %s of %s, want %s of %s", i.Version, i.Prefix, env.Python, env.Path)
	}
	if got := strings.TrimSpace(output(t, env.Interpreter, "-c", checkInstalled)); got != sdk.Version {
		t.Errorf("allspark %q, want %q", got, sdk.Version)
	}
	// Its programs run, too, not only its modules.
	if got := output(t, filepath.Join(env.Path, "bin", "pip"), "--version"); !strings.Contains(got, env.Path) {
		t.Errorf("bin/pip is that of %s", got)
	}
	namesStage(t, env.Path)
	for _, name := range []string{stageName, lockName, trustName} {
		if exists(filepath.Join(filepath.Dir(env.Path), name)) {
			t.Errorf("%s is left", name)
		}
	}
}

// namesStage complains of files and links that name the place where an
// environment was made.
func namesStage(t *testing.T, env string) {
	t.Helper()
	stage := filepath.Join(filepath.Dir(env), stageName)
	err := filepath.WalkDir(env, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		has := false
		switch {
		case e.Type().IsRegular():
			has, err = contains(path, []byte(stage))
		case e.Type()&fs.ModeSymlink != 0:
			var target string
			target, err = os.Readlink(path)
			has = strings.Contains(target, stageName)
		}
		if has {
			t.Errorf("%s names the place where it was made", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCreate(t *testing.T) {
	sdk := bundled(t)
	for _, backend := range backends() {
		for n, i := range several(t) {
			if backend == Venv && n > 0 {
				break // what differs between versions is in the copies
			}
			t.Run(string(backend)+" "+i.Version, func(t *testing.T) {
				if backend == Venv && !i.HasVenv {
					t.Skip("missing: venv of Python " + i.Version)
				}
				t.Setenv("PATH", filepath.Dir(i.Executable)+":"+os.Getenv("PATH"))
				dir := filepath.Join(realTempDir(t), "new", "with a space")
				env := create(t, Options{Dir: dir, Version: i.Version, Backend: backend, SDK: sdk, Creator: "1.2.3"})
				if env.Path != filepath.Join(dir, EnvName) || env.Backend != backend || env.Python != i.Version {
					t.Errorf("%+v", env)
				}
				checkEnvironment(t, env, sdk)
				output(t, env.Interpreter, "-m", "pip", "uninstall", "-y", "allspark")
				if left, _ := filepath.Glob(filepath.Join(env.Path, "lib/python3*/site-packages/allspark*")); len(left) > 0 {
					t.Errorf("left behind by pip uninstall: %v", left)
				}
			})
		}
	}
}

// realTempDir is a directory without links in its path.
func realTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAuto(t *testing.T) {
	interpreter(t, "")
	want := Copy
	if runtime.GOOS != "linux" {
		want = Venv
	}
	t.Setenv("PATH", pathWithout(t, "conda", "mamba", "micromamba", "uv"))
	t.Setenv("CONDA_EXE", "")
	t.Setenv("MAMBA_EXE", "")
	env := create(t, Options{Dir: t.TempDir()})
	if env.Backend != want || env.SDK != "" {
		t.Errorf("%+v", env)
	}
	version, err := Default(t.Context())
	if err != nil || !strings.HasPrefix(env.Python, version+".") {
		t.Errorf("Python %s, but the default is %s (%v)", env.Python, version, err)
	}
}

// pathWithout is PATH without the directories that hold some programs.
func pathWithout(t *testing.T, programs ...string) string {
	t.Helper()
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		has := false
		for _, name := range programs {
			has = has || exists(filepath.Join(dir, name))
		}
		if !has {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

func TestUV(t *testing.T) {
	i := interpreter(t, "")
	if program("uv") == "" {
		fetchUV(t, i)
	}
	sdk := bundled(t)
	t.Setenv("UV_OFFLINE", "1")
	t.Setenv("UV_FIND_LINKS", wheel(t, "greeting"))
	t.Setenv("UV_NO_INDEX", "1")
	dir := realTempDir(t)
	req := write(t, filepath.Join(t.TempDir(), "r.txt"), "greeting\n", 0o666)
	env := create(t, Options{Dir: dir, Version: i.Version, Backend: UV, SDK: sdk, Creator: "1.2.3", Requirements: req})
	checkEnvironment(t, env, sdk)
	if got := output(t, filepath.Join(env.Path, "bin", "greeting")); got != "greeting "+env.Path+"\n" {
		t.Errorf("the installed program says %q", got)
	}
}

// fetchUV puts uv on PATH, from the package index, or skips.
func fetchUV(t *testing.T, i *python.Interpreter) {
	t.Helper()
	if !i.HasPip {
		t.Skip("missing: uv, and pip to fetch it")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), i.Executable, "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "10",
		"--only-binary", ":all:", "--disable-pip-version-check", "--target", dir, "uv")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("missing: uv, and a package index to fetch it from: %s", out)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
}

// conda makes an environment as conda does: its own path stands in text, in
// links and, with room behind it, in programs; some files are shared with a
// cache. It needs a Python for the rest.
func conda(t *testing.T, i *python.Interpreter, more string) (cached string) {
	t.Helper()
	dir := t.TempDir()
	cached = write(t, filepath.Join(t.TempDir(), "cached"), "shared", 0o644)
	write(t, filepath.Join(dir, "conda"), `#!/bin/sh
set -e
[ "$1 $2 $3" = "create -y -p" ]
prefix=$4; [ "$5" = "python=`+i.Version+`" ]
echo "Collecting package metadata: done"
"`+i.Executable+`" -I -m venv --without-pip "$prefix"
mkdir -p "$prefix/conda-meta" "$prefix/share"
printf '{"name": "python", "prefix": "%s"}' "$prefix" >"$prefix/conda-meta/python.json"
printf '\177ELF\0%s/share\0\0\0\0\0tail' "$prefix" >"$prefix/share/program"
chmod 755 "$prefix/share/program"
ln "`+cached+`" "$prefix/share/linked"
ln -s "$prefix/share/program" "$prefix/share/link"
`+more, 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return cached
}

func TestConda(t *testing.T) {
	i := interpreter(t, "")
	cached := conda(t, i, "")
	sdk := bundled(t)
	dir := realTempDir(t)
	env := create(t, Options{Dir: dir, Version: i.Version, Backend: Conda, SDK: sdk, Creator: "1.2.3"})
	checkEnvironment(t, env, sdk)
	got := listing(t, filepath.Join(env.Path, "share"))
	if want := "\x7fELF\x00" + env.Path + "/share\x00\x00\x00\x00\x00tail"; !strings.HasSuffix(got["/program"], want) || !strings.HasPrefix(got["/program"], "-rwxr-xr-x") {
		t.Errorf("program: %q", got["/program"])
	}
	if !strings.HasSuffix(got["/link"], " "+env.Path+"/share/program") {
		t.Errorf("link: %q", got["/link"])
	}
	if data, err := os.ReadFile(cached); err != nil || string(data) != "shared" {
		t.Errorf("the cache was changed: %q, %v", data, err)
	}
	var meta struct{ Prefix string }
	data, err := os.ReadFile(filepath.Join(env.Path, "conda-meta", "python.json"))
	if err != nil || json.Unmarshal(data, &meta) != nil || meta.Prefix != env.Path {
		t.Errorf("%s: %s, %v", data, meta.Prefix, err)
	}
}

// What misleads pip and Python elsewhere does not here.
func TestCallersSettings(t *testing.T) {
	i := interpreter(t, "")
	elsewhere, home := t.TempDir(), t.TempDir()
	write(t, filepath.Join(home, ".config/pip/pip.conf"), "[install]\nuser = true\n[global]\nrequire-virtualenv = true\n", 0o666)
	write(t, filepath.Join(elsewhere, "pip.py"), "raise SystemExit('not mine')\n", 0o666)
	write(t, filepath.Join(elsewhere, "sitecustomize.py"), "raise SystemExit('not mine')\n", 0o666)
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"),
		"PYTHONHOME": elsewhere, "PYTHONPATH": elsewhere, "PYTHONUSERBASE": elsewhere, "PYTHONSTARTUP": "x",
		"PIP_TARGET": elsewhere, "PIP_USER": "1", "PIP_PREFIX": elsewhere, "VIRTUAL_ENV": elsewhere,
		"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheel(t, "greeting"), "PYENV_VERSION": i.Version,
	} {
		t.Setenv(name, value)
	}
	t.Setenv("PATH", filepath.Dir(i.Executable)+":"+os.Getenv("PATH"))
	t.Chdir(elsewhere)
	before := listing(t, elsewhere)
	req := write(t, filepath.Join(t.TempDir(), "r.txt"), "greeting==1.0\n", 0o666)
	env := create(t, Options{Dir: realTempDir(t), Version: i.Version, SDK: bundled(t), Requirements: req})
	if got := output(t, filepath.Join(env.Path, "bin", "greeting")); got != "greeting "+env.Path+"\n" {
		t.Errorf("the installed program says %q", got)
	}
	if diff := cmp.Diff(before, listing(t, elsewhere)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	full := t.TempDir()
	write(t, filepath.Join(full, EnvName, "mine"), "x", 0o666)
	none := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		name string
		opts Options
		kind fault.Kind
		want string
	}{
		{"environment there", Options{Dir: full}, fault.Usage, "there is an environment already"},
		{"no directory", Options{}, fault.Usage, "the name of the directory is empty"},
		{"not UTF-8", Options{Dir: none + "\xe9"}, fault.Usage, "is not UTF-8"},
		{"no version", Options{Dir: none, Version: "three"}, fault.Usage, `"three" is no version of Python 3`},
		{"Python 2", Options{Dir: none, Version: "2.7"}, fault.Usage, `"2.7" is no version of Python 3`},
		{"unknown version", Options{Dir: none, Version: "3.99", Backend: Copy}, fault.Missing, "there is no Python 3.99 on this machine"},
		{"too old", Options{Dir: none, Version: "3.6", SDK: bundled(t)}, fault.Usage, "allspark needs Python 3.8 or newer, not 3.6"},
		{"unknown back end", Options{Dir: none, Backend: "pipenv"}, fault.Usage, `there is no back end "pipenv"`},
		{"no requirements", Options{Dir: none, Requirements: none}, fault.Usage, "no such file"},
		{"requirements a directory", Options{Dir: none, Requirements: full}, fault.Usage, "is a directory"},
		{"no package", Options{Dir: none, SDK: fileSource(none)}, fault.Usage, "no such file"},
		{"no CA bundle", Options{Dir: none, CABundle: none}, fault.Description, "no such file"},
		{"no certificate", Options{Dir: none, CABundle: filepath.Join(full, EnvName, "mine")}, fault.Description, "holds no certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := listing(t, full)
			_, err := Create(t.Context(), test.opts)
			if fault.KindOf(err) != test.kind || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v (kind %v), want %q", err, fault.KindOf(err), test.want)
			}
			if exists(none) {
				t.Error("something was made")
			}
			if diff := cmp.Diff(before, listing(t, full)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CONDA_EXE", "")
	t.Setenv("MAMBA_EXE", "")
	// pip of a distribution's Python refuses to install a program.
	for backend, hint := range map[Backend]string{Conda: "install Miniforge", UV: "`pipx install uv`"} {
		_, err := Create(t.Context(), Options{Dir: t.TempDir(), Backend: backend, Version: "3.11"})
		if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), string(backend)) || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: %v\nhint: %s", backend, err, fault.HintOf(err))
		}
	}
}

// A version that is not here is named with those that are.
func TestFoundAreNamed(t *testing.T) {
	i := interpreter(t, "")
	_, err := Create(t.Context(), Options{Dir: t.TempDir(), Backend: Copy, Version: "3.99"})
	if err == nil || !strings.Contains(err.Error(), i.Version+" (") {
		t.Errorf("%v does not name %s", err, i.Version)
	}
}

// The package comes from elsewhere: from a file, a directory, an address.
func TestOtherSDK(t *testing.T) {
	i := interpreter(t, "")
	sdk := bundled(t)
	path, err := sdk.WriteWheel(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := create(t, Options{Dir: t.TempDir(), Version: i.Version, Backend: quick(), SDK: fileSource(path)})
	if env.SDK != sdk.Version {
		t.Errorf("%+v", env)
	}
	wrong := filepath.Join(wheel(t, "greeting"), "greeting-1.0-py3-none-any.whl")
	dir := t.TempDir()
	_, err = Create(t.Context(), Options{Dir: dir, Version: i.Version, Backend: quick(), SDK: fileSource(wrong)})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "does not bring the package allspark") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestNewProject(t *testing.T) {
	i := interpreter(t, "")
	req := write(t, filepath.Join(t.TempDir(), "mine.txt"), "# nothing\n", 0o666)
	dir := filepath.Join(t.TempDir(), "My-Demo")
	p, err := NewProject(t.Context(), "", Options{Dir: dir, Version: i.Version, Backend: quick(), SDK: bundled(t), Requirements: req})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app.py", "app.json", "requirements.txt", ".easignore", "request.txt"} {
		if !exists(filepath.Join(dir, name)) {
			t.Errorf("there is no %s", name)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "requirements.txt")); err != nil || string(data) != "# nothing\n" {
		t.Errorf("requirements.txt: %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "app.json")); err != nil || !strings.Contains(string(data), `"name": "my_demo"`) {
		t.Errorf("app.json: %s, %v", data, err)
	}
	cmd := exec.CommandContext(t.Context(), p.Environment.Interpreter, "-m", "py_compile", "app.py")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("app.py: %v\n%s", err, out)
	}
}

func TestNewProjectRefuses(t *testing.T) {
	full := t.TempDir()
	write(t, filepath.Join(full, "app.py"), "mine", 0o666)
	file := write(t, filepath.Join(t.TempDir(), "file"), "", 0o666)
	for _, test := range []struct {
		name, dir, service, want string
	}{
		{"directory that is not empty", full, "demo", "is not empty: it has app.py"},
		{"file", file, "demo", "not a directory"},
		{"name", filepath.Join(t.TempDir(), "a"), "Not Good", "must be a small letter"},
		{"directory's name", filepath.Join(t.TempDir(), "9lives"), "", "makes no service name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := listing(t, full)
			_, err := NewProject(t.Context(), test.service, Options{Dir: test.dir, SDK: bundled(t)})
			if fault.KindOf(err) != fault.Usage || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if diff := cmp.Diff(before, listing(t, full)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
			if test.dir != full && test.dir != file && exists(test.dir) {
				t.Errorf("%s was made", test.dir)
			}
		})
	}
}
