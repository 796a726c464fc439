package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

func TestVersionOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "false"}}
	tests := []struct {
		name                  string
		version, commit, date string // from the linker
		info                  debug.BuildInfo
		want                  versionInfo
	}{
		{name: "nothing is known", want: versionInfo{Version: "devel"}},
		{name: "go build", info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs}, want: versionInfo{Version: "devel", Commit: "abc", Date: "2026-01-02T03:04:05Z"}},
		{name: "go build with changes", info: debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}}}, want: versionInfo{Version: "devel", Commit: "abc with changes"}},
		{name: "go install", info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, want: versionInfo{Version: "v1.2.3"}},
		{name: "release", version: "1.2.3", commit: "def", date: "2026-02-02T00:00:00Z", info: debug.BuildInfo{Main: debug.Module{Version: "v0.0.0"}, Settings: vcs},
			want: versionInfo{Version: "1.2.3", Commit: "def", Date: "2026-02-02T00:00:00Z"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func(v, c, d string) { buildVersion, buildCommit, buildDate = v, c, d }(buildVersion, buildCommit, buildDate)
			buildVersion, buildCommit, buildDate = test.version, test.commit, test.date
			test.want.Go = runtime.Version()
			test.want.Platform = runtime.GOOS + "/" + runtime.GOARCH
			test.want.WorkerProtocol = protocol{wire.MinVersion, wire.MaxVersion}
			if diff := cmp.Diff(test.want, versionOf(&test.info)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestVersionCommand(t *testing.T) {
	emptyHome(t)
	var fields map[string]any
	got := runMain(t, "", "version", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"version", "go", "platform", "workerProtocol"} {
		if fields[name] == nil {
			t.Errorf("there is no %s in %s", name, got.stdout)
		}
	}
	if got, want := runMain(t, "", "--version"), "eascmd "+fields["version"].(string)+"\n"; got.stdout != want {
		t.Errorf("--version prints %q, want %q", got.stdout, want)
	}
}
