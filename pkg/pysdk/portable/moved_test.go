package portable

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The scripts of an environment that was moved name a place before, and start
// its own interpreter all the same.
func TestMoved(t *testing.T) {
	base := anInterpreter(t)
	env := filepath.Join(t.TempDir(), "ENV")
	output(t, base.Executable, "-m", "venv", "--without-pip", env)
	const script = "import sys\nprint(sys.prefix)\n"
	const first = "#!/home/someone/demo/ENV/bin/python\n" + script
	packages := "lib/python" + base.Name() + "/site-packages"
	stay := map[string]string{
		"bin/system":       "#!/usr/bin/python3\n" + script,
		"bin/local":        "#!/usr/local/bin/python3.11\n" + script,
		"bin/env":          "#!/usr/bin/env python3\n" + script,
		"bin/relative":     "#!ENV/bin/python\n" + script,
		"bin/shell":        "#!/home/someone/demo/ENV/bin/bash\necho\n",
		"bin/text":         "/home/someone/demo/ENV/bin/python\n",
		packages + "/tool": first,
	}
	files(t, env, stay)
	files(t, env, map[string]string{
		"bin/first":                              first,
		"bin/versioned":                          "#!/home/someone/demo/ENV/bin/python" + base.Name() + "\n" + script,
		"bin/long":                               "#!/bin/sh\n'''exec' \"/home/someone/my demo/ENV/bin/python\" \"$0\" \"$@\"\n' '''\n" + script,
		packages + "/moved-1.0.dist-info/RECORD": hashLine("../../../bin/first", first) + "moved-1.0.dist-info/RECORD,,\n",
	})
	tree, err := Environment(t.Context(), env, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := materialize(t, tree)
	for _, name := range []string{"first", "versioned", "long"} {
		if diff := cmp.Diff(dir+"\n", output(t, filepath.Join(dir, "bin", name))); diff != "" {
			t.Errorf("bin/%s runs in (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range stay {
		if diff := cmp.Diff(want, tree.content(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want := hashLine("../../../bin/first", tree.content(t, "bin/first")) + "moved-1.0.dist-info/RECORD,,\n"
	if diff := cmp.Diff(want, tree.content(t, packages+"/moved-1.0.dist-info/RECORD")); diff != "" {
		t.Errorf("RECORD (-want +got):\n%s", diff)
	}
}
