package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/follow"
	"github.com/openeas/eascmd/pkg/pysdk"
	"github.com/openeas/eascmd/pkg/pysdk/packing"
	"github.com/openeas/eascmd/pkg/ui"
)

// clock reads times as they are written in a zone: tables are compared in the
// one of this machine, JSON in UTC.
type clock struct{ zone *time.Location }

func (c clock) at(text string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, text, c.zone)
	if err != nil {
		panic(err)
	}
	return t
}

func someTime(text string) time.Time { return clock{time.UTC}.at(text) }

func TestTableTime(t *testing.T) {
	at := someTime("2026-02-21 08:35:41")
	if got, want := tableTime(at), at.Local().Format("2006-01-02 15:04:05"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := tableTime(time.Time{}); got != "" {
		t.Errorf("an unknown time is %q", got)
	}
}

const someDescription = `{"name":"scorer","token":"c2VjcmV0","generate_token":"false","metadata":{"instance":2,"cpu":1,"memory":1000},
	"processor_path":"oss://models/scorer/pack-0123456789abcdef.tar.gz","processor_type":"python","processor_entry":"./app.py",
	"processor_envs":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"LEVEL","value":"info"}]}`

func someService(c clock) *deploy.Service {
	return &deploy.Service{
		Name: "scorer", ID: "eas-m-abc", Region: "cn-shanghai", Status: deploy.Running, Reason: "RUNNING", Message: "Service start successfully",
		CreateTime: c.at("2026-02-21 08:35:41"), UpdateTime: c.at("2026-02-21 18:00:00"),
		TotalInstances: 2, RunningInstances: 2, CPU: 1, MemoryMB: 1000, Image: "registry-vpc.cn-shanghai.aliyuncs.com/eas/scorer_cn-shanghai:v0.0.1-20260221",
		Weight: 100, LatestVersion: 3, CurrentVersion: 2, Labels: map[string]string{"team": "search", "env": "prod"},
		InternetEndpoint: "http://1.cn-shanghai.pai-eas.aliyuncs.com/api/predict/scorer", IntranetEndpoint: "http://1.vpc.cn-shanghai.pai-eas.aliyuncs.com/api/predict/scorer",
		AccessToken: "YjQxZDYz", Description: json.RawMessage(someDescription),
	}
}

// someResults are results with everything that is hard to print.
func someResults(c clock) map[string]ui.Result {
	reply := deploy.Reply{RequestID: "83945D4E-ED3E-4D35-A989-831E36BB1234", Message: "done"}
	failed := deploy.Service{Name: "half\x1b[31m", Region: "cn-shanghai", Status: deploy.Failed, Weight: 5, TotalInstances: 10,
		CreateTime: c.at("2026-02-21 08:35:41"), UpdateTime: c.at("2026-02-21 08:35:41"), AccessToken: "none of your business", Description: json.RawMessage(someDescription)}
	waiting := someService(c)
	waiting.Status, waiting.Reason, waiting.Message = deploy.Waiting, "WAITING", "no resources"
	waiting.Image, waiting.IntranetEndpoint, waiting.InternetEndpoint, waiting.Labels, waiting.ID = "", "", "", nil, ""
	waiting.SafetyLock, waiting.Group, waiting.TrafficState, waiting.Autoscaled = "dangerous", "search", "grouping", true
	up := 0
	rules := &deploy.Autoscaler{Min: 2, Max: 5, ScaleUpDelay: &up,
		Strategies: []deploy.Strategy{{Metric: "qps", Threshold: 10}, {Metric: "cpu", Threshold: 0.5, Service: "other"}},
		Current:    []deploy.Strategy{{Metric: "qps", Threshold: 7.25}}}
	packed := packResult{Package: packing.Package{Path: "/work/demo.tar.gz", Size: 25_000_000, SHA256: strings.Repeat("0c", 32), Content: 100_000_000, Files: 4321, Millis: 4321, Checked: true, Python: "3.11.7"}}
	return map[string]ui.Result{
		"list":       newServiceList([]deploy.Service{failed, *someService(c)}, reply),
		"list-empty": newServiceList(nil, reply),
		"desc":       newServiceDetails(someService(c)),
		"desc-other": newServiceDetails(waiting),
		"versions": newVersionList(someService(c), []deploy.Version{
			{ID: 3, BuildTime: c.at("2026-02-21 18:00:00"), Image: "r/i:3", ImageAvailable: true, Message: "crashed\nat once", Description: json.RawMessage(someDescription)},
			{ID: 2, BuildTime: c.at("2026-02-21 17:00:00"), ImageAvailable: true, Runnable: true, Description: json.RawMessage(`{"containers":[{"image":"r/own:1"}]}`)},
			{ID: 1, Runnable: true},
		}, reply),
		"start":        actedOn{Reply: reply, Service: "scorer", Region: "cn-shanghai", Status: deploy.Running, Version: 3},
		"scale":        actedOn{Reply: reply, Service: "scorer", Region: "cn-shanghai", Status: deploy.Running, Version: 3},
		"autoscale-rm": actedOn{Reply: reply, Service: "scorer", Region: "cn-shanghai"},
		"upload": &uploadResult{Endpoint: "https://oss-cn-shanghai.aliyuncs.com", Prefix: "oss://models/x/", Total: 1, Size: 1234567, Failed: []failedFile{}, scheme: "oss",
			Files: []uploadedFile{{File: "m.bin", Address: "oss://models/x/m.bin", Size: 1234567, SHA256: strings.Repeat("0a", 32), CRC64: "1", Confirmed: "crc64", Sent: 1234567, Retries: 1, Millis: 10}}},
		"upload-failed": &uploadResult{Endpoint: "https://oss-cn-shanghai.aliyuncs.com", Prefix: "oss://models/x/", Total: 3, Size: 30, scheme: "oss",
			Files:  []uploadedFile{{File: "a", Address: "oss://models/x/a", Size: 10, SHA256: strings.Repeat("0a", 32), Present: true}, {File: "b", Address: "oss://models/x/b", Size: 10, SHA256: strings.Repeat("0b", 32), Sent: 10}},
			Failed: []failedFile{{"c\x1b[31m", "the network is down"}}},
		"dev-control-plane": runningControlPlane{Endpoint: "http://127.0.0.1:1", PredictEndpoint: "http://127.0.0.1:2", Region: "cn-shanghai", UploadPrefix: "file:///tmp/objects",
			OSSEndpoint: "http://127.0.0.1:3", AccessKeyID: "LTAI5tRandom", AccessKeySecret: "shown once"},
		"dev-control-plane-profile": runningControlPlane{Endpoint: "http://127.0.0.1:1", PredictEndpoint: "http://127.0.0.1:2", Region: "cn-shanghai", Profile: "local", UploadPrefix: "file:///tmp/objects", AccessKeyID: "LTAI5tRandom"},
		"showworkers": instanceList{reply.RequestID, "scorer", []deploy.Instance{
			{Name: "scorer-69cf5dd6c7-5abcd", InnerIP: "10.240.0.12", HostIP: "10.224.0.3", StartTime: c.at("2026-02-21 08:35:41"), Restarts: 1, Status: "Running", ReadyProcesses: 1, TotalProcesses: 1,
				Last: &deploy.LastState{ExitCode: 247, Reason: "Error", StartedAt: someTime("2026-02-21 05:36:56"), FinishedAt: someTime("2026-02-21 07:04:21")}},
			{Name: "scorer-69cf5dd6c7-9xyzw", Status: "Pending", TotalProcesses: 1, Reason: "Unschedulable"},
		}},
		"deleteworkers": deletedInstances{reply.RequestID, "scorer", "cn-shanghai", []string{"scorer-69cf5dd6c7-5abcd"}},
		"log":           logLines{reply.RequestID, "scorer", []follow.Line{{Instance: "a", Text: "one"}, {Instance: "b", Text: "two\ttabs \x1b[2J"}, {Instance: "b", Text: ""}}},
		"log-one":       logLines{reply.RequestID, "scorer", []follow.Line{{Instance: "a", Text: "one"}, {Instance: "a", Text: "two"}}},
		"log-empty":     logLines{reply.RequestID, "scorer", []follow.Line{}},
		"events": eventList{reply.RequestID, "scorer", []deploy.Event{
			{Time: c.at("2026-02-21 06:30:00"), Type: "Normal", Reason: "Updating", Resource: "Service", Message: `{"versionId":1,"message":"Stage scale complete","availableInstance":1}`},
			{Time: c.at("2026-02-21 06:31:00"), Type: "Warning", Reason: "BackOff", Resource: "Pod", Message: "Instance scorer-5abcd not healthy: Instance crashed"},
		}},
		"pysdk-pack": packResult{Package: packed.Package, Upload: &uploadResult{Endpoint: "https://oss-cn-shanghai.aliyuncs.com", Prefix: "oss://models/x/", Total: 1, Size: 25_000_000, Failed: []failedFile{}, scheme: "oss",
			Files: []uploadedFile{{File: "/work/demo.tar.gz", Address: "oss://models/x/demo.tar.gz", Size: 25_000_000, SHA256: strings.Repeat("0c", 32), Sent: 25_000_000}}}},
		"pysdk-pack-explain": packExplained{packResult: packed,
			Biggest: []packing.Directory{{Name: "ENV/lib", Bytes: 90_000_000, Files: 4000}}, LeftOut: []leftOutRow{{".git (default)", 1, []string{".git/"}}},
			Built: []packing.Built{{File: "ENV/bin/python", Directory: "/opt/py", Times: 2}}, Findings: []packing.Finding{{File: "ENV/lib/x.so", Severity: "note", Text: "needs libz"}}},
		"pysdk-init": pysdkProject{Directory: "/work/demo", Files: []string{"demo/app.py", "demo/app.json"},
			Environment: pysdk.Environment{Path: "/work/demo/ENV", Backend: "copy", Python: "3.11.7", SDK: "1.0", Pip: true, Interpreter: "/work/demo/ENV/bin/python"}},
		"pysdk-wheel": wheelResult{"/work/allspark-1.0-py3-none-any.whl", "1.0"},
		"image-build": madeImage{Image: "registry.example/team/env:1", ID: "sha256:" + strings.Repeat("1d", 32), Layer: "sha256:" + strings.Repeat("2e", 32), Size: 300_000_000, Digest: "sha256:" + strings.Repeat("3f", 32)},
		"release":     released{reply, "scorer", "cn-shanghai", trafficRule{100, "grouping"}, trafficRule{10, "grouping"}},
		"autoscale":   newScalerResult("scorer", deploy.Where{Region: "cn-shanghai"}, reply, rules),
		"invoke": invokeResult{"http://host/api/predict/scorer", []invokeAnswer{
			{Status: 200, Milliseconds: 12.5, Attempts: 1, Headers: map[string][]string{"Content-Type": {"text/plain"}}, Bytes: 5, Body: "<hi>\n"},
			{Status: 503, Milliseconds: 1, Attempts: 3, Headers: map[string][]string{}, Bytes: 2, BodyBase64: []byte{0xff, 0}},
		}},
	}
}

func TestReadingGolden(t *testing.T) {
	for extension, format := range map[string]ui.Format{".txt": ui.Table, ".json": ui.JSON, ".yaml": ui.YAML} {
		c := clock{time.UTC}
		if format == ui.Table {
			c = clock{time.Local}
		}
		for name, result := range someResults(c) {
			var out, talk bytes.Buffer
			term := ui.New(strings.NewReader(""), &out, &talk, func(string) (string, bool) { return "", false })
			if err := term.Print(format, result); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"hunter2", "c2VjcmV0", "none of your business"} {
				if strings.Contains(out.String(), secret) {
					t.Errorf("%s%s shows %s", name, extension, secret)
				}
			}
			golden := filepath.Join("testdata", "reading", name+extension)
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("%s: -want +got:\n%s", golden, diff)
			}
			if talk.Len() > 0 {
				t.Errorf("%s: on standard error: %s", golden, talk.String())
			}
		}
	}
}

func TestParseSince(t *testing.T) {
	now, here := someTime("2026-03-01 12:00:00"), clock{time.Local}
	for text, want := range map[string]time.Time{
		"10m":                       someTime("2026-03-01 11:50:00"),
		"24h":                       someTime("2026-02-28 12:00:00"),
		"2026-03-01 12:00:00":       here.at("2026-03-01 12:00:00"),
		"2026-03-01T12:00:00":       here.at("2026-03-01 12:00:00"),
		"2026-03-01 12:00":          here.at("2026-03-01 12:00:00"),
		"2026-03-01":                here.at("2026-03-01 00:00:00"),
		"2026-03-01T12:00:00Z":      now,
		"2026-03-01T20:00:00+08:00": now,
		"-5m":                       {},
		"yesterday":                 {},
		"2999-01-01":                {},
		"10":                        {},
	} {
		got, err := parseSince(text, now)
		if (err == nil) == want.IsZero() || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestLogRequest(t *testing.T) {
	now := someTime("2026-03-01 12:00:00")
	for _, tt := range []struct {
		name  string
		o     logOptions
		given bool
		want  deploy.LogsRequest
		err   string
	}{
		{"nothing", logOptions{tail: usualTail}, false, deploy.LogsRequest{Tail: usualTail}, ""},
		{"since", logOptions{tail: usualTail, since: "1h"}, false, deploy.LogsRequest{Since: now.Add(-time.Hour)}, ""},
		{"since and tail", logOptions{tail: 5, since: "1h"}, true, deploy.LogsRequest{Since: now.Add(-time.Hour), Tail: 5}, ""},
		{"the rest", logOptions{worker: "w", container: "c", keyword: "k", previous: true}, true, deploy.LogsRequest{Instance: "w", Container: "c", Keyword: "k", Previous: true}, ""},
		{"negative", logOptions{tail: -1}, true, deploy.LogsRequest{}, "--tail -1"},
		{"both", logOptions{follow: true, previous: true}, false, deploy.LogsRequest{}, "exclude each other"},
		{"no time", logOptions{since: "x"}, false, deploy.LogsRequest{}, "--since x"},
	} {
		got, err := tt.o.request(func(string) bool { return tt.given }, now)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", tt.name, err, diff)
		}
	}
}

func TestScreenWriter(t *testing.T) {
	var out strings.Builder
	s := &screenWriter{w: &out}
	for _, part := range []string{"a\xe4", "\xb8\xad\x1b[2Jb\xe4\xb8", "\xad\n"} {
		if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := out.String(), ui.Printable("a中\x1b[2Jb中\n"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// What is said next begins a line of its own.
	for text, want := range map[string]string{"": "", "a": "a\n", "a\n": "a\n", "a\nb": "a\nb\n"} {
		out.Reset()
		s := &screenWriter{w: &out}
		_, writeErr := s.Write([]byte(text))
		if err := s.end(); err != nil || writeErr != nil || out.String() != want {
			t.Errorf("%q is shown as %q, %v, %v", text, out.String(), writeErr, err)
		}
	}
	if _, err := s.Write([]byte("\x00")); err != errBinary {
		t.Errorf("%v", err)
	}
}

func TestBelow(t *testing.T) {
	const address = "http://h/api/predict/x"
	for _, tt := range []struct{ address, path, want string }{
		{address, "", address},
		{address, "/sub", address + "/sub"},
		{address + "/", "sub?a=1", address + "/sub?a=1"},
		{address, "?a=1", address + "?a=1"},
		{address + "?a=1", "", address + "?a=1"},
		{address + "?a=1", "/sub", ""},
		{"ftp://h/x", "", ""},
		{"http://", "", ""},
	} {
		got, err := below(tt.address, tt.path)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s and %s: %s, %v", tt.address, tt.path, got, err)
		}
	}
}
