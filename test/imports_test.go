package test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path that all our packages begin with.
const module = "github.com/openeas/eascmd"

// goPackage is what `go list` tells of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string // of the package, without its tests
	Deps       []string // all that it imports, directly or not
}

// rel is the package's path inside the module.
func (p goPackage) rel() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// packages lists our own packages as they are built for an operating system.
func packages(t *testing.T, goos string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports,Deps", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(out); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return list
}

// under reports whether the package at path is dir or below it.
func under(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// Who may import whom. Each rule says what a package and those below it must
// not import.
var importRules = []struct {
	packages []string // paths inside the module
	not      []string // paths inside the module, or of other modules
	deep     bool     // nor through others
	except   []string // of packages
	why      string
}{
	{
		packages: []string{"pkg", "internal", "templates", "workers"},
		not:      []string{"cmd"},
		why:      "libraries do not know the command line",
	},
	{
		packages: []string{"pkg/localtest"},
		not:      []string{"pkg/deploy"}, deep: true,
		why: "running here and deploying are independent",
	},
	{
		packages: []string{"pkg/deploy"},
		not:      []string{"pkg/localtest", "pkg/source"}, deep: true,
		why: "running here and deploying are independent",
	},
	{
		packages: []string{"pkg/source"},
		not:      []string{"pkg/deploy"}, deep: true,
		why: "what is deployed is in its place before a target is asked",
	},
	{
		packages: []string{"pkg/deploy"},
		except:   []string{"pkg/deploy/eas"},
		not:      []string{"pkg/deploy/eas"}, deep: true,
		why: "what targets share knows none of them",
	},
	{
		packages: []string{"pkg/controlplane"},
		not:      []string{"pkg/deploy", "pkg/source", "pkg/invoke"}, deep: true,
		why: "the control plane follows the API's reference; made of the client's parts it would share their mistakes",
	},
	{
		packages: []string{"pkg/deploy", "pkg/invoke", "pkg/localtest", "pkg/source", "pkg/store"},
		not:      []string{"pkg/controlplane"}, deep: true,
		why: "a client does not know the server's inside",
	},
	{
		packages: []string{"pkg/invoke"},
		not:      []string{"pkg"}, deep: true,
		why: "a service is called by its address and token, wherever it runs",
	},
	{
		packages: []string{"pkg/doctor"},
		not:      []string{"pkg/localtest", "pkg/deploy", "pkg/pack"},
		why:      "the report is made from engines, configuration and store alone",
	},
	{
		packages: []string{"pkg/localtest", "pkg/deploy", "pkg/engine"},
		not:      []string{"pkg/doctor"}, deep: true,
		why: "a check of the machine stands above what it checks",
	},
	{
		packages: []string{"pkg/serving"},
		not: []string{
			"cmd", "pkg/localtest", "pkg/deploy", "pkg/engine/docker",
			"github.com/docker", "github.com/moby", "github.com/aliyun", "github.com/alibabacloud-go", "github.com/minio", "github.com/aws",
		}, deep: true,
		why: "the runtime is what an image runs: no Docker, no cloud, no command line",
	},
	{
		packages: []string{"pkg/service", "pkg/config", "pkg/ui"},
		not:      []string{"pkg"}, deep: true,
		why: "these stand alone",
	},
	{
		packages: []string{"internal", "pkg", "templates", "workers"},
		except:   []string{"pkg/config"},
		not:      []string{"github.com/spf13/cobra", "github.com/spf13/viper", "github.com/spf13/pflag"},
		why:      "Cobra and Viper stay in cmd and config",
	},
	{
		packages: []string{"cmd", "internal", "pkg", "templates", "workers"},
		except:   []string{"pkg/engine/docker"},
		not:      []string{"github.com/docker", "github.com/moby"},
		why:      "a successor of Docker's client is a change of one place",
	},
	{
		packages: []string{"cmd", "internal", "pkg", "templates", "workers"},
		except:   []string{"pkg/store"},
		not:      []string{"github.com/aliyun/aliyun-oss-go-sdk", "github.com/minio"},
		why:      "a successor of an object store's client is a change of one place",
	},
	{
		packages: []string{"cmd", "internal", "pkg", "templates", "workers"},
		except:   []string{"pkg/deploy/eas", "pkg/config/credentials"},
		not:      []string{"github.com/alibabacloud-go", "github.com/aliyun/credentials-go"},
		why:      "the cloud's API and its credentials are known in one place each",
	},
	{
		packages: []string{"cmd", "internal", "pkg", "templates", "workers"},
		not:      []string{"test"},
		why:      "what is there to test against does not ship",
	},
	{
		packages: []string{"cmd"},
		not:      []string{"google.golang.org/protobuf"}, deep: true,
		why: "it looks methods up by name, so that the linker keeps them all: 10 MB",
	},
	{
		packages: []string{"cmd", "internal", "pkg", "templates", "workers"},
		not:      []string{"text/template", "html/template"},
		why:      "they call methods by name, so that the linker keeps them all: 10 MB",
	},
	{
		packages: []string{"pkg", "internal", "workers"},
		not:      []string{"pkg/ui"},
		except:   []string{"pkg/ui"},
		why:      "libraries return errors and call back; only commands print",
	},
}

func TestImportRules(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			t.Parallel()
			for _, p := range packages(t, goos) {
				for _, fault := range brokenRules(p) {
					t.Error(fault)
				}
			}
		})
	}
}

// brokenRules returns a sentence for each rule that a package breaks.
func brokenRules(p goPackage) []string {
	in := func(dirs []string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return under(p.rel(), dir) })
	}
	var faults []string
	for _, rule := range importRules {
		if !in(rule.packages) || in(rule.except) {
			continue
		}
		imports := p.Imports
		if rule.deep {
			imports = p.Deps
		}
		for _, imp := range imports {
			name := strings.TrimPrefix(imp, module+"/")
			own := component(name) == component(p.rel())
			for _, not := range rule.not {
				if own && component(not) == not {
					continue // its own parts are no other package
				}
				if under(name, not) {
					faults = append(faults, p.rel()+" imports "+name+": "+rule.why)
				}
			}
		}
	}
	return faults
}

// component returns the first two elements of a path: pkg/serving of
// pkg/serving/wire.
func component(name string) string {
	elems := strings.SplitN(name, "/", 3)
	return path.Join(elems[:min(2, len(elems))]...)
}

// The rules themselves are tested too: a rule that matches nothing would
// never fail.
func TestImportRulesCatch(t *testing.T) {
	own := func(s string) string { return module + "/" + s }
	for _, tt := range []struct {
		pkg, imports string
		broken       bool
	}{
		{"pkg/localtest", own("pkg/deploy"), true},
		{"pkg/deploy/eas", own("pkg/localtest/check"), true},
		{"pkg/localtest", own("pkg/localtest/check"), false},
		{"pkg/localtest", own("pkg/serving"), false},
		{"pkg/serving/wire", "github.com/docker/docker/client", true},
		{"pkg/serving", own("pkg/localtest"), true},
		{"pkg/serving", own("pkg/serving/wire"), false},
		{"pkg/serving", own("pkg/runplan"), false},
		{"pkg/service", own("pkg/runplan"), true},
		{"pkg/service", own("internal/fault"), false},
		{"pkg/ui", own("pkg/config"), true},
		{"pkg/config", "github.com/spf13/viper", false},
		{"pkg/pack", "github.com/spf13/viper", true},
		{"internal/rundir", "github.com/spf13/cobra", true},
		{"cmd/eascmd", "github.com/spf13/cobra", false},
		{"cmd/eascmd", own("pkg/deploy"), false},
		{"cmd/eascmd", "github.com/docker/docker/api/types", true},
		{"pkg/engine/docker", "github.com/docker/docker/client", false},
		{"pkg/engine/process", "github.com/docker/docker/client", true},
		{"pkg/localtest", own("pkg/ui"), true},
		{"pkg/doctor", own("pkg/localtest"), true},
		{"pkg/doctor", own("pkg/deploy"), true},
		{"pkg/doctor", own("pkg/engine/docker"), false},
		{"pkg/engine/process", own("pkg/doctor"), true},
		{"pkg/doctor", "github.com/docker/docker/client", true},
		{"pkg/store", own("cmd/eascmd"), true},
		{"pkg/deploy/follow", own("pkg/deploy"), false},
		{"pkg/deploy/follow", own("pkg/deploy/eas"), true},
		{"pkg/deploy/eas", own("pkg/deploy/follow"), false},
		{"pkg/deploy/eas", own("pkg/controlplane"), true},
		{"pkg/controlplane/onengine", own("pkg/controlplane"), false},
		{"pkg/controlplane", own("pkg/deploy/eas"), true},
		{"pkg/controlplane/onengine", own("pkg/localtest"), false},
		{"pkg/invoke", own("pkg/deploy"), true},
		{"pkg/invoke", own("internal/fault"), false},
		{"pkg/source", own("pkg/deploy"), true},
		{"pkg/source", own("pkg/localtest"), false},
		{"pkg/source", "github.com/minio/minio-go/v7", true},
		{"pkg/store", "github.com/aliyun/credentials-go/credentials", true},
		{"pkg/config/credentials", "github.com/aliyun/credentials-go/credentials", false},
	} {
		p := goPackage{ImportPath: own(tt.pkg), Imports: []string{tt.imports}, Deps: []string{tt.imports}}
		if faults := brokenRules(p); (len(faults) > 0) != tt.broken {
			t.Errorf("%s importing %s: broken %v, want %v", tt.pkg, tt.imports, faults, tt.broken)
		}
	}
}

// A name like "utils" says nothing about what is inside.
func TestPackageNames(t *testing.T) {
	for _, p := range packages(t, "linux") {
		for _, word := range []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"} {
			if p.Name == word || path.Base(p.ImportPath) == word {
				t.Errorf("%s: a package is named after what it does, not %q", p.rel(), word)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t, "linux") {
		documented := false
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || describes(f, p.Name)
		}
		if !documented && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.rel())
		}
	}
}

// describes reports whether a file carries a package comment in the usual form.
func describes(f *ast.File, name string) bool {
	text := f.Doc.Text()
	if name == "main" {
		return strings.HasPrefix(text, "Command ") || strings.HasPrefix(text, "Eascmd ") || strings.HasPrefix(text, "eascmd ")
	}
	return strings.HasPrefix(text, "Package "+name+" ")
}

// The house has the rooms that the design gives it, and no others.
func TestTopLevelDirectories(t *testing.T) {
	want := []string{"cmd", "docs", "examples", "internal", "pkg", "templates", "test", "workers"}
	seen := make(map[string]bool)
	for _, name := range tracked(t, ".") {
		if dir, _, ok := strings.Cut(name, "/"); ok && !strings.HasPrefix(dir, ".") {
			seen[dir] = true
		}
	}
	for dir := range seen {
		if !slices.Contains(want, dir) {
			t.Errorf("top-level directory %s is not in the layout", dir)
		}
	}
}
