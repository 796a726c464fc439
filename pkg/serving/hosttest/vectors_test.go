package hosttest

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/workers"
)

func TestParseVector(t *testing.T) {
	const text = `# a comment

hello
start threads=2 model_config="state \"4\""
> 0a "b\0\n\\"  "c"*3 ff*2 # what is sent
<? "x # no comment"
exit 3
exit
`
	got, err := parseVector([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{line: 3, verb: "hello", exit: -1},
		{line: 4, verb: "start", exit: -1, props: map[string]string{"threads": "2", "model_config": `state "4"`}},
		{line: 5, verb: ">", exit: -1, bytes: []byte("\x0ab\x00\n\\ccc\xff\xff")},
		{line: 6, verb: "<?", exit: -1, bytes: []byte("x # no comment")},
		{line: 7, verb: "exit", exit: 3},
		{line: 8, verb: "exit", exit: -1},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"hallo", "> 0", "> 0g", `> "open`, `> "\x"`, "> 00*x", "> 00*-1", "start threads", "exit soon"} {
		if steps, err := parseVector([]byte("hello\n" + wrong)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: got %v and %v, want an error for line 2", wrong, steps, err)
		}
	}
}

func FuzzParseVector(f *testing.F) {
	names, err := fs.Glob(workers.Vectors, "vectors/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(workers.Vectors, name)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseVector(text); err != nil {
			f.Errorf("%s: %v", name, err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		steps, err := parseVector(text)
		if err != nil && steps != nil {
			t.Errorf("steps %v beside the error %v", steps, err)
		}
	})
}
