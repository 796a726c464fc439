package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/config"
)

func TestStoreAndShow(t *testing.T) {
	home := emptyHome(t)
	path := filepath.Join(home, ".eas", "config")
	got := runMain(t, "hush\n", "config", "-i", "LTAI5tabcdef1234", "-k", "-", "-e", "https://pai-eas.cn-beijing.aliyuncs.com/")
	want := outcome{"", "[OK] Stored access_key_id, access_key_secret, endpoint of profile [default] in " + path + "\n", 0}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("access_key_id = LTAI5tabcdef1234\naccess_key_secret = hush\nendpoint = pai-eas.cn-beijing.aliyuncs.com\n", string(data)); diff != "" {
		t.Errorf("file: -want +got:\n%s", diff)
	}

	t.Setenv("EASCMD_ENDPOINT", "pai-eas.cn-hangzhou.aliyuncs.com")
	got = runMain(t, "", "config", "show", "-o", "json")
	var shown settingsView
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	file := path + " [default]"
	wantView := settingsView{path, "default", []config.Value{
		{Name: "config", Value: path, Source: "default"},
		{Name: "profile", Value: "default", Source: "default"},
		{Name: "access_key_id", Value: "LTAI****1234", Source: file},
		{Name: "access_key_secret", Value: "****", Source: file},
		{Name: "sts_token"},
		{Name: "endpoint", Value: "pai-eas.cn-hangzhou.aliyuncs.com", Source: "EASCMD_ENDPOINT"},
		{Name: "region", Value: "cn-hangzhou", Source: "derived from the endpoint"},
		{Name: "role_arn"},
		{Name: "ecs_role"},
		{Name: "upload_prefix"},
		{Name: "oss_endpoint"},
		{Name: "s3_endpoint"},
		{Name: "s3_region"},
	}}
	if diff := cmp.Diff(wantView, shown); diff != "" {
		t.Errorf("show: -want +got:\n%s", diff)
	}
	if strings.Contains(got.stdout+got.stderr, "hush") {
		t.Errorf("the secret is shown: %+v", got)
	}
}

func TestGlobalFlagsBeforeTheCommand(t *testing.T) {
	home := emptyHome(t)
	file := filepath.Join(home, "own.conf")
	got := runMain(t, "hush\ntoken\n", "-c", file, "--profile", "Beijing", "-i", "LTAI5tabcdef1234", "-k", "-", "-t", "-", "-e", "127.0.0.1:8080", "config")
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "[profile beijing]\naccess_key_id = LTAI5tabcdef1234\naccess_key_secret = hush\nsts_token = token\nendpoint = 127.0.0.1:8080\n"
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	t.Setenv("EASCMD_CONFIG", file)
	t.Setenv("EASCMD_PROFILE", "beijing")
	got = runMain(t, "", "config", "show")
	for _, part := range []string{"| config            | " + file, "| EASCMD_CONFIG ", "| EASCMD_PROFILE ", file + " [beijing]"} {
		if !strings.Contains(got.stdout, part) {
			t.Errorf("%q is missing in\n%s", part, got.stdout)
		}
	}
	got = runMain(t, "", "config", "list")
	if !strings.Contains(got.stdout, "| beijing | LTAI****1234 | 127.0.0.1:8080 |        |              | *       |") {
		t.Errorf("list:\n%s", got.stdout)
	}
}

func TestNewKeyRemovesOldToken(t *testing.T) {
	home := emptyHome(t)
	for _, args := range [][]string{{"-i", "a", "-k", "-", "-t", "-"}, {"-i", "b", "-k", "-"}} {
		if got := runMain(t, "secret\ntoken\n", append([]string{"config"}, args...)...); got.status != 0 {
			t.Fatalf("%+v", got)
		}
	}
	data, err := os.ReadFile(filepath.Join(home, ".eas", "config"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("access_key_id = b\naccess_key_secret = secret\n", string(data)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConfigRefuses(t *testing.T) {
	home := emptyHome(t)
	tests := []struct {
		name  string
		stdin string
		args  []string
		want  string // a part of standard error
	}{
		{"nothing", "", nil, "nothing to store is given"},
		{"an id without its secret", "", []string{"-i", "a"}, "access key secret is needed"},
		{"a secret without its id", "x\n", []string{"--secret-stdin"}, "access key id is needed"},
		{"an empty secret", "\n", []string{"-i", "a", "-k", "-"}, "standard input has no line for it"},
		{"a token alone", "", []string{"-t", "t"}, "a security token belongs to its own access key"},
		{"the secret twice", "x\n", []string{"-i", "a", "-k", "b", "--secret-stdin"}, "given twice"},
		{"a wrong endpoint", "", []string{"-e", "http://a/b"}, `endpoint "http://a/b"`},
		{"a region in place of an endpoint", "", []string{"-e", "cn-beijing"}, "its endpoint is pai-eas.cn-beijing.aliyuncs.com"},
		{"a wrong profile", "", []string{"--profile", "a b", "-e", "h"}, `profile "a b"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := runMain(t, test.stdin, append([]string{"config"}, test.args...)...)
			if got.status != 2 || got.stdout != "" || !strings.Contains(got.stderr, test.want) {
				t.Errorf("%+v, want status 2 and %q", got, test.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, ".eas")); err == nil {
		t.Error("something was written")
	}
}

func TestSecretOnTheCommandLineIsWarnedAboutOnce(t *testing.T) {
	emptyHome(t)
	got := runMain(t, "", "-i", "a", "-k", "hush", "config", "show")
	if n := strings.Count(got.stderr, "[WARN] a secret on the command line"); n != 1 || strings.Contains(got.stderr+got.stdout, "hush") {
		t.Errorf("%d warnings in %+v", n, got)
	}
	for _, args := range [][]string{{"-i", "a", "-k", "-", "config", "show"}, {"config", "show"}} {
		if got := runMain(t, "hush\n", args...); strings.Contains(got.stderr, "a secret on the command line") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestShowTellsOfHalfAKey(t *testing.T) {
	emptyHome(t)
	got := runMain(t, "", "-i", "a", "config", "show")
	if !strings.Contains(got.stderr, "--access-key-id is given without access_key_secret") || got.status != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSetAndUnset(t *testing.T) {
	home := emptyHome(t)
	path := filepath.Join(home, ".eas", "config")
	run := func(stdin string, args ...string) string {
		t.Helper()
		got := runMain(t, stdin, append([]string{"config"}, args...)...)
		if got.status != 0 || got.stdout != "" {
			t.Fatalf("%q: %+v", args, got)
		}
		return strings.TrimSuffix(strings.ReplaceAll(got.stderr, path, "FILE"), "\n")
	}
	wantFile := func(want string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(data)); diff != "" {
			t.Errorf("file: -want +got:\n%s", diff)
		}
	}
	said := []string{
		run("secret\n", "-i", "LTAI5tabcdef1234", "-k", "-"),
		run("", "set", "upload-prefix", "oss://my-bucket/eas"),
		run("", "set", "endpoint", "HTTP://127.0.0.1:8099/"),
		run("", "set", "region", "cn-local"),
		run("", "set", "--profile", "CI", "role_arn", "acs:ram::1234567890:role/deployer"),
	}
	wantFile("access_key_id = LTAI5tabcdef1234\naccess_key_secret = secret\nupload_prefix = oss://my-bucket/eas\nendpoint = http://127.0.0.1:8099\nregion = cn-local\n" +
		"\n[profile ci]\nrole_arn = acs:ram::1234567890:role/deployer\n")
	list := runMain(t, "", "config", "list", "-o", "json")
	var rows []profileRow
	if err := json.Unmarshal([]byte(list.stdout), &rows); err != nil {
		t.Fatalf("%v in %+v", err, list)
	}
	if diff := cmp.Diff([]profileRow{
		{"default", "LTAI****1234", "http://127.0.0.1:8099", "cn-local", "oss://my-bucket/eas", true},
		{"ci", "", config.DefaultEndpoint, "cn-shanghai", "", false},
	}, rows); diff != "" {
		t.Errorf("list: -want +got:\n%s", diff)
	}
	said = append(said,
		run("", "unset", "sts_token", "upload_prefix"), // the token takes its key along
		run("", "unset", "access_key_id", "s3_region"),
	)
	wantFile("endpoint = http://127.0.0.1:8099\nregion = cn-local\n\n[profile ci]\nrole_arn = acs:ram::1234567890:role/deployer\n")
	want := []string{
		"[OK] Stored access_key_id, access_key_secret of profile [default] in FILE",
		"[OK] Stored upload_prefix of profile [default] in FILE",
		"[OK] Stored endpoint of profile [default] in FILE",
		"[OK] Stored region of profile [default] in FILE",
		"[OK] Stored role_arn of profile [ci] in FILE",
		"[OK] Removed access_key_id, access_key_secret, upload_prefix from profile [default] in FILE",
		"profile [default] sets nothing of that",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSetRefuses(t *testing.T) {
	home := emptyHome(t)
	for _, test := range []struct {
		args []string
		want string // a part of standard error
	}{
		{[]string{"set", "upload_prefix"}, "value is missing"},
		{[]string{"set", "upload_prefix", "a", "b"}, "an argument too many"},
		{[]string{"set", "nonsense", "x"}, `there is no setting "nonsense"`},
		{[]string{"unset", "nonsense"}, `there is no setting "nonsense"`},
		{[]string{"unset"}, "a setting is missing"},
		{[]string{"set", "access_key_secret", "hush"}, "is part of an access key"},
		{[]string{"set", "access_key_id", "x"}, "config -i ID -k -"},
		{[]string{"set", "upload_prefix", "my-bucket/eas"}, "oss://BUCKET/PREFIX"},
		{[]string{"set", "endpoint", "cn-beijing"}, "its endpoint is pai-eas.cn-beijing.aliyuncs.com"},
		{[]string{"set", "role_arn", "deployer"}, "acs:ram::ACCOUNT:role/NAME"},
		{[]string{"set", "ecs_role", "a b"}, "the name of a role"},
		{[]string{"set", "oss_endpoint", "ftp://x"}, "oss_endpoint: "},
		{[]string{"set", "s3_region", "EU WEST"}, "a region is a name"},
	} {
		got := runMain(t, "", append([]string{"config"}, test.args...)...)
		if got.status != 2 || got.stdout != "" || !strings.Contains(got.stderr, test.want) || strings.Contains(got.stderr, "hush") {
			t.Errorf("%q: %+v, want status 2 and %q", test.args, got, test.want)
		}
	}
	if _, err := os.Stat(filepath.Join(home, ".eas")); err == nil {
		t.Error("something was written")
	}
}

// A role of the machine stands in for the access key, so its lack is no news.
func TestShowWithARoleOfTheMachine(t *testing.T) {
	emptyHome(t)
	if got := runMain(t, "", "config", "set", "ecs_role", "auto"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	got := runMain(t, "", "config", "show")
	if got.stderr != "" || !strings.Contains(got.stdout, "| ecs_role          | auto ") {
		t.Errorf("%+v", got)
	}
}
