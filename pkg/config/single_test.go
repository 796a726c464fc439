package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// single is what the settings say that depend on no other.
type single struct{ UploadPrefix, OSSEndpoint, S3Endpoint, S3Region, RoleARN, ECSRole string }

func singleOf(s *Settings) single {
	return single{s.UploadPrefix(), s.OSSEndpoint(), s.S3Endpoint(), s.S3Region(), s.RoleARN(), s.ECSRole()}
}

func TestSingleSettings(t *testing.T) {
	const stored = `upload_prefix = oss://bucket/file
oss-endpoint = HTTP://127.0.0.1:9000/
S3_ENDPOINT: minio.example.com:9000
s3_region = eu-1
ramRoleArn = acs:ram::1234567890:role/deployer
ecs_role = auto
[other]
upload_prefix = file:///srv/eas
`
	fromFile := single{"oss://bucket/file", "http://127.0.0.1:9000", "minio.example.com:9000", "eu-1", "acs:ram::1234567890:role/deployer", "auto"}
	tests := []struct {
		name    string
		profile string
		env     map[string]string
		flags   map[string]string
		want    single
		sources map[string]string // those that are not the file
		warning string
	}{
		{name: "file", want: fromFile},
		{name: "another profile", profile: "other", want: single{UploadPrefix: "file:///srv/eas"}},
		{name: "environment",
			env: map[string]string{
				"EASCMD_UPLOAD_PREFIX": "s3://bucket/env", "EASCMD_OSS_ENDPOINT": "oss.example.com", "AWS_ENDPOINT_URL_S3": "https://s3.example.com", "AWS_DEFAULT_REGION": "us-2",
				"EASCMD_ROLE_ARN": "acs:ram::1:role/env", "EASCMD_ECS_ROLE": "worker",
			},
			want: single{"s3://bucket/env", "oss.example.com", "s3.example.com", "us-2", "acs:ram::1:role/env", "worker"},
			sources: map[string]string{UploadPrefix: "EASCMD_UPLOAD_PREFIX", OSSEndpoint: "EASCMD_OSS_ENDPOINT", S3Endpoint: "AWS_ENDPOINT_URL_S3",
				S3Region: "AWS_DEFAULT_REGION", RoleARN: "EASCMD_ROLE_ARN", ECSRole: "EASCMD_ECS_ROLE"}},
		{name: "our variables before Amazon's",
			env:     map[string]string{"EASCMD_S3_ENDPOINT": "http://ours", "AWS_ENDPOINT_URL_S3": "http://theirs", "AWS_ENDPOINT_URL": "http://any", "EASCMD_S3_REGION": "ours-1", "AWS_REGION": "theirs-1"},
			want:    single{"oss://bucket/file", "http://127.0.0.1:9000", "http://ours", "ours-1", "acs:ram::1234567890:role/deployer", "auto"},
			sources: map[string]string{S3Endpoint: "EASCMD_S3_ENDPOINT", S3Region: "EASCMD_S3_REGION"}},
		{name: "what other programs' variables say wrongly does not matter", env: map[string]string{"AWS_ENDPOINT_URL": "http://host/path"},
			want: single{"oss://bucket/file", "http://127.0.0.1:9000", "", "eu-1", "acs:ram::1234567890:role/deployer", "auto"}, warning: "AWS_ENDPOINT_URL is ignored"},
		{name: "flags", flags: map[string]string{UploadPrefix: "oss://bucket/flag"}, env: map[string]string{"EASCMD_UPLOAD_PREFIX": "oss://bucket/env"},
			want:    single{"oss://bucket/flag", "http://127.0.0.1:9000", "minio.example.com:9000", "eu-1", "acs:ram::1234567890:role/deployer", "auto"},
			sources: map[string]string{UploadPrefix: "--upload-prefix"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := home(t, stored)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			s, err := Load(Options{Profile: test.profile, Flags: test.flags})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, singleOf(s)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, key := range singleKeys() {
				want := test.sources[key]
				if want == "" && s.single[key] != "" {
					want = path + " [" + s.Profile + "]"
				}
				if got := s.Source(key); got != want {
					t.Errorf("%s comes from %q, want %q", key, got, want)
				}
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
	home(t, stored)
	profiles, err := Profiles("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]single{fromFile, {UploadPrefix: "file:///srv/eas"}}, []single{singleOf(profiles[0]), singleOf(profiles[1])}); diff != "" {
		t.Errorf("profiles: -want +got:\n%s", diff)
	}
}

func TestSingleSettingsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"upload_prefix = bucket/x":        "oss://BUCKET/PREFIX",
		"upload_prefix = http://host/x":   "oss://BUCKET/PREFIX",
		"upload_prefix = oss:///x":        "no bucket",
		"upload_prefix = file://x":        "absolute",
		"oss_endpoint = ftp://host":       "oss_endpoint: ",
		"s3_endpoint = host/path":         "s3_endpoint: ",
		"s3_region = a b":                 "a region is a name",
		"role_arn = deployer":             "acs:ram::ACCOUNT:role/NAME",
		"role_arn = acs:ram::x:role/y":    "acs:ram::ACCOUNT:role/NAME",
		"ecs_role = a/b":                  "the name of a role",
		"ecs_role = ../../latest/user-id": "the name of a role",
	} {
		path := home(t, text+"\n")
		_, err := Load(Options{})
		if err == nil || fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+" [default]: ") {
			t.Errorf("%q: %v of kind %d", text, err, fault.KindOf(err))
		}
		if _, err := Profiles(""); fault.KindOf(err) != fault.Description {
			t.Errorf("%q: Profiles: %v", text, err)
		}
	}
	home(t, "")
	t.Setenv("EASCMD_UPLOAD_PREFIX", "x")
	if _, err := Load(Options{}); fault.KindOf(err) != fault.Usage || !strings.HasPrefix(err.Error(), "EASCMD_UPLOAD_PREFIX: ") {
		t.Errorf("a wrong variable: %v", err)
	}
}

func TestScheme(t *testing.T) {
	for _, test := range []struct {
		endpoint, scheme, host string
		warned                 bool
	}{
		{"pai-eas.cn-beijing.aliyuncs.com", "https", "pai-eas.cn-beijing.aliyuncs.com", false},
		{"https://127.0.0.1:8080", "https", "127.0.0.1:8080", false},
		{"http://127.0.0.1:8080", "http", "127.0.0.1:8080", false},
		{"HTTP://[::1]:8080/", "http", "[::1]:8080", false},
		{"http://localhost:1", "http", "localhost:1", false},
		{"http://eas.localhost", "http", "eas.localhost", false},
		{"http://192.168.7.1", "http", "192.168.7.1", false},
		{"http://10.0.0.1:80", "http", "10.0.0.1:80", false},
		{"http://[fd00::1]", "http", "[fd00::1]", false},
		{"http://pai-eas.cn-beijing.aliyuncs.com", "http", "pai-eas.cn-beijing.aliyuncs.com", true},
		{"http://8.8.8.8:80", "http", "8.8.8.8:80", true},
		{"http://localhost.example.com", "http", "localhost.example.com", true},
	} {
		home(t, "")
		s, err := Load(Options{Flags: map[string]string{Endpoint: test.endpoint}})
		if err != nil {
			t.Errorf("%s: %v", test.endpoint, err)
			continue
		}
		if s.Scheme() != test.scheme || s.Endpoint() != test.host {
			t.Errorf("%s: %s, %s", test.endpoint, s.Scheme(), s.Endpoint())
		}
		warned := slices.ContainsFunc(s.Warnings(), func(w Warning) bool { return strings.Contains(w.Text, "not encrypted") && w.Hint != "" })
		if warned != test.warned {
			t.Errorf("%s: the warnings are %v", test.endpoint, s.Warnings())
		}
		// As it is shown it can be given again.
		again, err := Load(Options{Flags: map[string]string{Endpoint: s.GivenEndpoint()}})
		if err != nil || again.Scheme() != s.Scheme() || again.Endpoint() != s.Endpoint() {
			t.Errorf("%s: shown as %s, which is %v, %v", test.endpoint, s.GivenEndpoint(), again, err)
		}
	}
}

// The region of a control plane of one's own is the profile's.
func TestRegionOfTheProfile(t *testing.T) {
	home(t, "endpoint = http://127.0.0.1:8099\nregion = cn-local\n")
	s, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Region() != "cn-local" || s.Endpoint() != "127.0.0.1:8099" || s.Scheme() != "http" {
		t.Errorf("%s, %s, %s", s.Region(), s.Endpoint(), s.Scheme())
	}
}

func TestRoleBehindTheEnvironment(t *testing.T) {
	home(t, "[ci]\necs_role = auto\n")
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")
	for profile, warnings := range map[string]int{"ci": 1, "": 0} {
		s, err := Load(Options{Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Warnings()) != warnings {
			t.Errorf("profile %q: the warnings are %v", profile, s.Warnings())
		}
	}
}

func TestStored(t *testing.T) {
	path := home(t, "access_id = x\nnonsense = y\nupload_prefix = oss://b/p\n[CI]\nendpoint = h\nregion =\n")
	for profile, want := range map[string][]string{"default": {AccessKeyID, UploadPrefix}, "ci": {Endpoint}, "none": {}} {
		got, err := Stored("", profile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", profile, diff)
		}
	}
	if got, err := Stored(path+".none", "default"); err != nil || len(got) != 0 {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestCanonicalKey(t *testing.T) {
	for name, want := range map[string]string{"Upload-Prefix": UploadPrefix, "s3.endpoint": S3Endpoint, "ROLE_ARN": RoleARN, "ecsRamRole": ECSRole, "nonsense": ""} {
		key, known := CanonicalKey(name)
		if known != (want != "") || known && key != want {
			t.Errorf("%s: %s, %v", name, key, known)
		}
	}
	for _, key := range Keys() {
		if got, known := CanonicalKey(key); got != key || !known {
			t.Errorf("%s is %s, %v", key, got, known)
		}
	}
}
