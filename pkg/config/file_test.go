package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseValues(t *testing.T) {
	tests := []struct {
		name, text string
		profile    string
		want       map[string]string
	}{
		{"our own form", "access_key_id = id\naccess_key_secret = sec\nsts_token = tok\nendpoint = host\nregion = cn-x\n", "default",
			map[string]string{AccessKeyID: "id", AccessKeySecret: "sec", STSToken: "tok", Endpoint: "host", Region: "cn-x"}},
		{"the first client", "access_id=id\naccess_key=sec\n", "default", map[string]string{AccessKeyID: "id", AccessKeySecret: "sec"}},
		{"the OSS credential file", "[OSSCredentials]\nhost = h\naccessid = id\naccesskey = sec\n", "default",
			map[string]string{"host": "h", AccessKeyID: "id", AccessKeySecret: "sec"}},
		{"colons and case", "AccessKeyId: id\nAccessKeySecret: sec\nSecurity-Token: tok\n", "default",
			map[string]string{AccessKeyID: "id", AccessKeySecret: "sec", STSToken: "tok"}},
		{"quotes", "access_id = \"i d\" # note\naccess_key='s\"e#c'\n", "default", map[string]string{AccessKeyID: "i d", AccessKeySecret: `s"e#c`}},
		{"comments", "# c\n ; c\naccess_id=id # c\naccess_key=a#b;c\tx ; c\nendpoint=#\n", "default",
			map[string]string{AccessKeyID: "id", AccessKeySecret: "a#b;c\tx"}},
		{"separators in values", "access_key=a=b:c==\nendpoint: http://h:80/\n", "default", map[string]string{AccessKeySecret: "a=b:c==", Endpoint: "http://h:80/"}},
		{"CRLF", "access_id=id\r\naccess_key=sec\r\n", "default", map[string]string{AccessKeyID: "id", AccessKeySecret: "sec"}},
		{"byte order mark", "\xef\xbb\xbfaccess_id=id\n", "default", map[string]string{AccessKeyID: "id"}},
		{"UTF-16", "\xff\xfea\x00c\x00c\x00e\x00s\x00s\x00_\x00i\x00d\x00=\x00x\x00\n\x00", "default", map[string]string{AccessKeyID: "x"}},
		{"big-endian UTF-16", "\xfe\xff\x00a\x00k\x00=\x00x", "default", map[string]string{"ak": "x"}},
		{"JSON, a key a line", "{\n  \"access_key_id\": \"id\",\n  \"access_key_secret\": \"sec\"\n}\n", "default", map[string]string{AccessKeyID: "id", AccessKeySecret: "sec"}},
		{"environment names", "ALIBABA_CLOUD_ACCESS_KEY_ID=id\n", "default", map[string]string{AccessKeyID: "id"}},
		{"a profile", "access_id=a\n[profile Beijing]\naccess_id=b\n[profile \"two\"]\naccess_id=c\n", "beijing", map[string]string{AccessKeyID: "b"}},
		{"a quoted profile", "[profile \"two\"] # c\naccess_id=c\n", "two", map[string]string{AccessKeyID: "c"}},
		{"a section that is only a name", "[hz]\naccess_id=c\n", "hz", map[string]string{AccessKeyID: "c"}},
		{"a profile in two places", "[a]\naccess_id=1\n[b]\n[a]\naccess_id=2\naccess_key=3\n", "a", map[string]string{AccessKeyID: "2", AccessKeySecret: "3"}},
		{"back to the default profile", "[a]\naccess_id=1\n[default]\naccess_id=2\n", "default", map[string]string{AccessKeyID: "2"}},
		{"nothing", "", "default", map[string]string{}},
		{"empty values", "access_id=\naccess_key = \"\"\n", "default", map[string]string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := parse([]byte(test.text))
			if diff := cmp.Diff(test.want, f.values(test.profile)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(f.problems) > 0 {
				t.Errorf("problems: %v", f.problems)
			}
		})
	}
}

func TestParseProblems(t *testing.T) {
	text := "access_id=id\nLTAIsecret\n[open\n=x\naccess_key='open\n{\"access_id\":\"x\",\"access_key\":\"y\"}\n[a] b\n"
	f := parse([]byte(text))
	var lines []int
	for _, p := range f.problems {
		lines = append(lines, p.line)
		if strings.Contains(p.what, "LTAI") {
			t.Errorf("the problem quotes the line: %q", p.what)
		}
	}
	if diff := cmp.Diff([]int{2, 3, 4, 5, 6, 7}, lines); diff != "" {
		t.Errorf("lines: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{AccessKeyID: "id"}, f.values("default")); diff != "" {
		t.Errorf("values: -want +got:\n%s", diff)
	}
}

func TestSetKeepsTheRest(t *testing.T) {
	tests := []struct {
		name, before        string
		profile, key, value string
		unset               string
		want                string
	}{
		{"empty file", "", "default", AccessKeyID, "id", "", "access_key_id = id\n"},
		{"new profile in an empty file", "", "bj", Endpoint, "h", "", "[profile bj]\nendpoint = h\n"},
		{"new profile", "access_id=a\n", "bj", Endpoint, "h", "", "access_id=a\n\n[profile bj]\nendpoint = h\n"},
		{"the old spelling stays", "# mine\naccess_id=a  # note\nother = 1\n", "default", AccessKeyID, "b", "", "# mine\naccess_id=b  # note\nother = 1\n"},
		{"quotes stay", "\"access_id\": 'a',\n", "default", AccessKeyID, "b", "", "\"access_id\": 'b',\n"},
		{"quotes change where they must", "access_id: 'a'\n", "default", AccessKeyID, "it's", "", "access_id: it's\n"},
		{"quotes come where they must", "access_id=a\n", "default", AccessKeyID, "a #b", "", "access_id=\"a #b\"\n"},
		{"an empty value is filled", "access_id=\naccess_key=k\n", "default", AccessKeyID, "b", "", "access_id=b\naccess_key=k\n"},
		{"an empty value with a comment", "access_id= # none\n", "default", AccessKeyID, "b", "", "access_id= b # none\n"},
		{"below the profile's last key", "[bj]\nendpoint=h\n\n[sh]\nendpoint=i\n", "bj", AccessKeyID, "b", "", "[bj]\nendpoint=h\naccess_key_id = b\n\n[sh]\nendpoint=i\n"},
		{"default before the first section", "# top\n\n[bj]\nendpoint=h\n", "default", AccessKeyID, "b", "", "# top\n\naccess_key_id = b\n[bj]\nendpoint=h\n"},
		{"CRLF stays", "access_id=a\r\n", "default", Endpoint, "h", "", "access_id=a\r\nendpoint = h\r\n"},
		{"of two lines the last", "access_id=a\naccess_id=b\n", "default", AccessKeyID, "c", "", "access_id=a\naccess_id=c\n"},
		{"unset", "access_id=a\nsts_token=t\nststoken=u\n[bj]\nsts_token=v\n", "default", AccessKeyID, "b", STSToken, "access_id=b\n[bj]\nsts_token=v\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := parse([]byte(test.before))
			if test.unset != "" {
				f.unset(test.profile, test.unset)
			}
			f.set(test.profile, test.key, test.value)
			if diff := cmp.Diff(test.want, string(f.bytes())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := parse(f.bytes()).values(test.profile)[test.key]; got != test.value {
				t.Errorf("reads back as %q, want %q", got, test.value)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	f := parse([]byte("[Zoo]\nendpoint=h\n[alpha]\n[default]\nendpoint=h\n"))
	if diff := cmp.Diff([]string{"default", "alpha", "zoo"}, f.profiles()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// FuzzFile checks that no file makes the parser fail and that what set writes
// is read back and disturbs nothing else.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"", "a=b", "[x]\na: 'b'\r\n", "\xff\xfea", "access_id = # x\n[", "\"k\"=\"v\",\n}", "access_id=\"\n", "[profile ]\n=\n", "x\x00=\x00"} {
		f.Add([]byte(seed), "value")
	}
	f.Add([]byte("access_id='x'"), "a'b")
	f.Add([]byte("access_id=\"x\"y"), `a"b #`)
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		if value == "" || checkValue(value) != nil {
			t.Skip("a value that is refused")
		}
		for _, profile := range []string{DefaultProfile, "bj"} {
			before := parse(data)
			others := map[string]map[string]string{}
			for _, name := range before.profiles() {
				others[name] = before.values(name)
			}
			before.set(profile, AccessKeyID, value)
			written := before.bytes()
			after := parse(written)
			if got := after.values(profile)[AccessKeyID]; got != value {
				t.Fatalf("wrote %q, read %q in:\n%q", value, got, written)
			}
			for name, want := range others {
				got := after.values(name)
				if name == profile {
					delete(got, AccessKeyID)
					delete(want, AccessKeyID)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("profile %q: -before +after:\n%s", name, diff)
				}
			}
		}
	})
}
