package localtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
)

func TestEntryExists(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		entry string
		want  string // in the text
		hint  string // in the hint
	}{
		{"another name", map[string]string{"libecho.so": ""}, "echo.so", "no file echo.so", "did you mean libecho.so?"},
		{"one level down", map[string]string{"release/libecho.so": ""}, "libecho.so", "no file libecho.so", "did you mean release/libecho.so?"},
		{"not built", map[string]string{"processor.cc": ""}, "libecho.so", "no file libecho.so", "build the processor first"},
		{"empty", nil, "libecho.so", "no file libecho.so", "the processor is empty"},
		{"directory", map[string]string{"libecho.so/x": ""}, "libecho.so", "libecho.so is a directory", ""},
		{"many", map[string]string{"1.so": "", "2.so": "", "3.so": "", "4.so": "", "5.so": "", "6.so.1": ""}, "x.so", "no file x.so", "and 1 more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tt.files)
			_, err := Check(t.Context(), &runplan.Plan{Processor: runplan.Processor{Dir: dir, Entry: filepath.Join(dir, tt.entry)}}, "")
			if fault.KindOf(err) != fault.Description || err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("kind %v of %v (hint %q)", fault.KindOf(err), err, fault.HintOf(err))
			}
		})
	}
}

func TestCheckFindsLibrariesAsTheWorkerDoes(t *testing.T) {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("missing: gcc")
	}
	dir, libraries := t.TempDir(), t.TempDir()
	write(t, dir, map[string]string{
		"friend.c": "int helper(void) { return 200; }",
		"lib.c": `int helper(void);
void *initialize(const char *e, const char *c, int *state) { *state = 0; return 0; }
int process(void *m, const void *i, int n, void **o, int *s) { return helper(); }`,
	})
	for _, args := range [][]string{
		{"-shared", "-fPIC", "-o", filepath.Join(libraries, "libfriend.so"), filepath.Join(dir, "friend.c")},
		{"-shared", "-fPIC", "-o", filepath.Join(dir, "lib.so"), filepath.Join(dir, "lib.c"), "-L" + libraries, "-lfriend"},
	} {
		if out, err := exec.CommandContext(t.Context(), compiler, args...).CombinedOutput(); err != nil {
			if strings.Contains(string(out), "unrecognized") || os.IsNotExist(err) {
				t.Skipf("missing: a compiler for shared objects (%v)", err)
			}
			t.Fatalf("%v\n%s", err, out)
		}
	}
	plan := &runplan.Plan{Processor: runplan.Processor{Dir: dir, Entry: filepath.Join(dir, "lib.so")}}
	if _, err := Check(t.Context(), plan, ""); fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), "libfriend.so") {
		t.Errorf("without the library: %v", err)
	}
	plan.Worker.Env = []runplan.Env{{Name: "LD_LIBRARY_PATH", Value: "/nowhere:" + libraries}}
	if _, err := Check(t.Context(), plan, ""); err != nil {
		t.Errorf("with LD_LIBRARY_PATH: %v", err)
	}
}
