package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// home gives the test a home directory and an environment of its own.
func home(t *testing.T, config string) (path string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	for _, key := range Keys() {
		for _, name := range EnvNames(key) {
			t.Setenv(name, "")
		}
	}
	path = filepath.Join(dir, ".eas", "config")
	if config != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestPrecedence(t *testing.T) {
	const stored = "access_id=file-id\naccess_key=file-key\nsts_token=file-token\nendpoint=pai-eas.cn-file.aliyuncs.com\n[profile bj]\naccess_id=bj-id\naccess_key=bj-key\nregion=cn-bj\n"
	type values struct {
		Credentials Credentials
		Endpoint    string
		Region      string
	}
	const fileEndpoint = "pai-eas.cn-file.aliyuncs.com"
	fileKey := Credentials{"file-id", "file-key", "file-token"}
	tests := []struct {
		name    string
		file    string
		profile string
		env     map[string]string
		flags   map[string]string
		want    values
		sources map[string]string // what differs from the file
		warning string
	}{
		{name: "file", file: stored, want: values{fileKey, fileEndpoint, "cn-file"}},
		{name: "default", file: "access_id=a\naccess_key=b\n", want: values{Credentials{"a", "b", ""}, DefaultEndpoint, "cn-shanghai"},
			sources: map[string]string{Endpoint: "default", STSToken: ""}},
		{name: "profile with a region", file: stored, profile: "BJ", want: values{Credentials{"bj-id", "bj-key", ""}, "pai-eas.cn-bj.aliyuncs.com", "cn-bj"},
			sources: map[string]string{STSToken: ""}},
		{name: "environment", file: stored,
			env:     map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "e-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "e-key", "EASCMD_ENDPOINT": "https://pai-eas-manage-vpc.cn-env.aliyuncs.com/"},
			want:    values{Credentials{"e-id", "e-key", ""}, "pai-eas-manage-vpc.cn-env.aliyuncs.com", "cn-env"},
			sources: map[string]string{AccessKeyID: "ALIBABA_CLOUD_ACCESS_KEY_ID", AccessKeySecret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", STSToken: "", Endpoint: "EASCMD_ENDPOINT"}},
		{name: "environment with a token", file: stored,
			env:     map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "e-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "e-key", "ALIBABA_CLOUD_SECURITY_TOKEN": "e-token"},
			want:    values{Credentials{"e-id", "e-key", "e-token"}, fileEndpoint, "cn-file"},
			sources: map[string]string{AccessKeyID: "ALIBABA_CLOUD_ACCESS_KEY_ID", AccessKeySecret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", STSToken: "ALIBABA_CLOUD_SECURITY_TOKEN"}},
		{name: "our variables before the cloud's", file: stored,
			env: map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "e-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "e-key", "ALIBABA_CLOUD_SECURITY_TOKEN": "e-token",
				"EASCMD_ACCESS_KEY_ID": "o-id", "EASCMD_ACCESS_KEY_SECRET": "o-key"},
			want:    values{Credentials{"o-id", "o-key", ""}, fileEndpoint, "cn-file"},
			sources: map[string]string{AccessKeyID: "EASCMD_ACCESS_KEY_ID", AccessKeySecret: "EASCMD_ACCESS_KEY_SECRET", STSToken: ""}},
		{name: "flags", file: stored, env: map[string]string{"EASCMD_ACCESS_KEY_ID": "o-id", "EASCMD_ACCESS_KEY_SECRET": "o-key", "EASCMD_ENDPOINT": "other"},
			flags:   map[string]string{AccessKeyID: "f-id", Endpoint: "127.0.0.1:8080"},
			want:    values{Credentials{"f-id", "o-key", ""}, "127.0.0.1:8080", ""},
			sources: map[string]string{AccessKeyID: "--access-key-id", AccessKeySecret: "EASCMD_ACCESS_KEY_SECRET", STSToken: "", Endpoint: "--endpoint", Region: ""}},
		{name: "a token without its key is no credential", file: stored, env: map[string]string{"ALIBABA_CLOUD_SECURITY_TOKEN": "stale"},
			want: values{fileKey, fileEndpoint, "cn-file"}, warning: "ALIBABA_CLOUD_SECURITY_TOKEN is set without access_key_id and access_key_secret and is ignored"},
		{name: "a profile behind the environment", file: stored, profile: "bj",
			env:     map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "e-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "e-key"},
			want:    values{Credentials{"e-id", "e-key", ""}, "pai-eas.cn-bj.aliyuncs.com", "cn-bj"},
			sources: map[string]string{AccessKeyID: "ALIBABA_CLOUD_ACCESS_KEY_ID", AccessKeySecret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", STSToken: ""},
			warning: `the access key of profile "bj" is not used`},
		{name: "a wrong stored endpoint does not matter behind a flag", file: "access_id=a\naccess_key=b\nendpoint=/x\n", flags: map[string]string{Endpoint: "h"},
			want: values{Credentials{"a", "b", ""}, "h", ""}, sources: map[string]string{STSToken: "", Endpoint: "--endpoint", Region: ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := home(t, test.file)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			s, err := Load(Options{Profile: test.profile, Flags: test.flags})
			if err != nil {
				t.Fatal(err)
			}
			credentials, err := s.Credentials()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, values{credentials, s.Endpoint(), s.Region()}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			file := fmt.Sprintf("%s [%s]", path, s.Profile)
			want := map[string]string{AccessKeyID: file, AccessKeySecret: file, STSToken: file, Endpoint: file, Region: "derived from the endpoint"}
			for key, source := range test.sources {
				want[key] = source
			}
			maps.DeleteFunc(want, func(_, source string) bool { return source == "" })
			got := map[string]string{}
			for _, v := range s.Values() {
				if (v.Value == "") != (v.Source == "") {
					t.Errorf("%s has the value %q from %q", v.Name, v.Value, v.Source)
				}
				if v.Source != "" {
					got[v.Name] = v.Source
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("sources: -want +got:\n%s", diff)
			}
			var warnings []string
			for _, w := range s.Warnings() {
				warnings = append(warnings, w.Text)
			}
			if all := strings.Join(warnings, "\n"); (test.warning == "") != (all == "") || !strings.Contains(all, test.warning) {
				t.Errorf("warnings %q, want %q", all, test.warning)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		name  string
		file  string
		opts  Options
		env   string
		kind  fault.Kind
		text  string
		creds bool // the error is that of Credentials
	}{
		{name: "no key anywhere", kind: fault.Description, text: "no access key", creds: true},
		{name: "half a key in the file", file: "access_id=a\n", kind: fault.Description, text: "has no access_key_secret", creds: true},
		{name: "half a key on the command line", file: "access_id=a\naccess_key=b\n", opts: Options{Flags: map[string]string{AccessKeyID: "x"}},
			kind: fault.Usage, text: "--access-key-id is given without access_key_secret", creds: true},
		{name: "a token alone on the command line", file: "access_id=a\naccess_key=b\n", opts: Options{Flags: map[string]string{STSToken: "x"}},
			kind: fault.Usage, text: "--sts-token is given without access_key_id and access_key_secret", creds: true},
		{name: "no such profile", file: "access_id=a\n[hz]\nendpoint=h\n", opts: Options{Profile: "bj"}, kind: fault.Description, text: `no profile "bj"`},
		{name: "no such file", opts: Options{Path: "/nonexistent/config"}, kind: fault.Description, text: "/nonexistent/config"},
		{name: "a directory", opts: Options{Path: "/"}, kind: fault.Description, text: "/"},
		{name: "wrong endpoint in the file", file: "endpoint = http:/x\n", kind: fault.Description, text: "[default]: endpoint"},
		{name: "wrong endpoint as a flag", opts: Options{Flags: map[string]string{Endpoint: "a b"}}, kind: fault.Usage, text: "--endpoint: endpoint"},
		{name: "wrong endpoint as a variable", env: "a/b", kind: fault.Usage, text: "EASCMD_ENDPOINT: endpoint"},
		{name: "some other file", file: strings.Repeat("x=y\n", 300_000), kind: fault.Description, text: "larger than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home(t, test.file)
			t.Setenv("EASCMD_ENDPOINT", test.env)
			s, err := Load(test.opts)
			if test.creds {
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.Credentials()
			}
			if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v of kind %d, want %q of kind %d", err, fault.KindOf(err), test.text, test.kind)
			}
		})
	}
}

func TestLooseModeIsWarnedAbout(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := home(t, "access_id=a\naccess_key=b\nnonsense\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Warning{
		{path + " may be read by other users (mode 0644)", "chmod 600 " + path},
		{path + ":3: ignored: neither a section, a comment nor key=value", ""},
	}
	if diff := cmp.Diff(want, s.Warnings()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	home(t, "access_id=LTAI5tSecretPart1234\naccess_key=topsecret\nsts_token=toptoken\n")
	s, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %v %+v %#v %s", s.Values(), c, c, c, c)
	for _, secret := range []string{"SecretPart", "topsecret", "toptoken"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is in %q", secret, shown)
		}
	}
	for id, want := range map[string]string{"": "", "short": "****", "LTAI5tSecretPart1234": "LTAI****1234"} {
		if got := Mask(id); got != want {
			t.Errorf("Mask(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestSplitEndpoint(t *testing.T) {
	tests := []struct{ text, want string }{
		{"pai-eas.cn-beijing.aliyuncs.com", "pai-eas.cn-beijing.aliyuncs.com"},
		{" HTTPS://PAI-EAS.cn-beijing.aliyuncs.com/ ", "pai-eas.cn-beijing.aliyuncs.com"},
		{"localhost:8080", "localhost:8080"},
		{"http://127.0.0.1:8080", "127.0.0.1:8080"},
		{"[::1]:80", "[::1]:80"},
		{"[::1]", "[::1]"},
		{"", ""}, {"http://", ""}, {"ftp://host", ""}, {"host/path", ""}, {"a b", ""}, {"-a.b", ""}, {"a..b", ""},
		{"host:99999", ""}, {"host:x", ""}, {"cn-beijing", ""}, {"user@host", ""}, {"hö.st", ""}, {"a\x1bb", ""},
	}
	for _, test := range tests {
		_, got, err := splitEndpoint(test.text)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("splitEndpoint(%q) = %q, %v, want %q", test.text, got, err, test.want)
		}
	}
}

func TestRegionOf(t *testing.T) {
	for endpoint, want := range map[string]string{
		"pai-eas.cn-beijing.aliyuncs.com":                "cn-beijing",
		"pai-eas-manage-vpc.ap-southeast-1.aliyuncs.com": "ap-southeast-1",
		"pai-eas.cn-beijing.aliyuncs.com:443":            "cn-beijing",
		"ecs.cn-beijing.aliyuncs.com":                    "",
		"localhost:80":                                   "",
		"pai-eas.aliyuncs.com":                           "",
		"pai-eas.cn-beijing.example.com":                 "",
	} {
		if got := RegionOf(endpoint); got != want {
			t.Errorf("RegionOf(%q) = %q, want %q", endpoint, got, want)
		}
	}
}

// TestWithoutHome is about machines where nobody has a home, as containers.
func TestWithoutHome(t *testing.T) {
	home(t, "")
	for _, name := range []string{"HOME", "USERPROFILE", "home"} {
		t.Setenv(name, "")
	}
	if _, err := Load(Options{}); fault.KindOf(err) != fault.Missing {
		t.Errorf("without an access key: %v", err)
	}
	t.Setenv("EASCMD_ACCESS_KEY_ID", "e-id")
	t.Setenv("EASCMD_ACCESS_KEY_SECRET", "e-key")
	s, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Credentials(); got != (Credentials{"e-id", "e-key", ""}) || err != nil {
		t.Errorf("%#v, %v", got, err)
	}
	if _, err := Load(Options{Profile: "bj"}); fault.KindOf(err) != fault.Missing {
		t.Errorf("with a profile: %v", err)
	}
}
