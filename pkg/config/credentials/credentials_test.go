package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

const baseKey = "access_key_id = LTAI5tBaseKey00001\naccess_key_secret = base secret+/\n"

// identity loads a configuration and returns the identity it describes.
func identity(t *testing.T, text string, opts Options) (*Identity, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, text)
	settings, err := config.Load(config.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return New(settings, opts)
}

func mustIdentity(t *testing.T, text string, opts Options) *Identity {
	t.Helper()
	i, err := identity(t, text, opts)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nowhere is a proxy that refuses connections.
func nowhere(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func TestStoredKeys(t *testing.T) {
	home(t)
	for _, test := range []struct {
		name, text string
		want       config.Credentials
	}{
		{"a key", baseKey, config.Credentials{AccessKeyID: "LTAI5tBaseKey00001", AccessKeySecret: "base secret+/"}},
		{"a temporary key", baseKey + "sts_token = tok\n", config.Credentials{AccessKeyID: "LTAI5tBaseKey00001", AccessKeySecret: "base secret+/", STSToken: "tok"}},
		{"a key before the machine's role", baseKey + "ecs_role = auto\n", config.Credentials{AccessKeyID: "LTAI5tBaseKey00001", AccessKeySecret: "base secret+/"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := mustIdentity(t, test.text, Options{})
			got, err := i.Credentials(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if source := i.Source(); !strings.HasSuffix(source, "[default]") {
				t.Errorf("source %q", source)
			}
			if id := i.MaskedID(); id != "LTAI****0001" {
				t.Errorf("id %q", id)
			}
		})
	}
	if _, err := identity(t, "access_key_id = x\n", Options{}); err == nil || !strings.Contains(err.Error(), "has no access_key_secret") {
		t.Errorf("half a key: %v", err)
	}
}

func TestStatic(t *testing.T) {
	want := config.Credentials{AccessKeyID: "a", AccessKeySecret: "b", STSToken: "c"}
	var p Provider = Static(want)
	if got, err := p.Credentials(t.Context()); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRole(t *testing.T) {
	home(t)
	sts := newSTS(t)
	i := mustIdentity(t, baseKey+"role_arn = "+someRole+"\n", Options{STSEndpoint: sts.host()})
	var wait sync.WaitGroup
	keys := make([]config.Credentials, 8)
	errs := make([]error, len(keys))
	for n := range keys {
		wait.Go(func() { keys[n], errs[n] = i.Credentials(t.Context()) })
	}
	wait.Wait()
	for n, key := range keys {
		if errs[n] != nil || key != keys[0] || key.STSToken != "token of "+key.AccessKeyID || key.AccessKeySecret != "secret of "+key.AccessKeyID {
			t.Errorf("%d: %v, %v", n, key, errs[n])
		}
	}
	if diff := cmp.Diff([]string{"AssumeRole"}, sts.asked()); diff != "" {
		t.Errorf("asked: -want +got:\n%s", diff)
	}
	if source := i.Source(); !strings.HasPrefix(source, "role "+someRole+", taken by ") {
		t.Errorf("source %q", source)
	}
	if id := i.MaskedID(); !strings.HasPrefix(id, "STS.****") {
		t.Errorf("id %q", id)
	}
}

// A role of a role: the first one's token is part of what is signed.
func TestRoleByTemporaryKey(t *testing.T) {
	home(t)
	sts := newSTS(t)
	sts.secrets["STS.NFirst00000001"], sts.tokens["STS.NFirst00000001"] = "s e/c", "to k+en"
	sts.roles[someRole] = "STS.NFirst00000001"
	i := mustIdentity(t, "access_key_id = STS.NFirst00000001\naccess_key_secret = s e/c\nsts_token = to k+en\nrole_arn = "+someRole+"\n", Options{STSEndpoint: sts.host()})
	if key, err := i.Credentials(t.Context()); err != nil || key.STSToken == "" {
		t.Errorf("%v, %v", key, err)
	}
}

func TestTemporaryKeysAreReplacedBeforeTheyExpire(t *testing.T) {
	home(t)
	sts := newSTS(t)
	machine := newMetadata(t, "worker")
	for _, test := range []struct {
		name, text string
		lifetime   *time.Duration
		locker     sync.Locker
	}{
		{"role", baseKey + "role_arn = " + someRole + "\n", &sts.lifetime, &sts.mu},
		{"machine", "ecs_role = worker\n", &machine.lifetime, &machine.mu},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := mustIdentity(t, test.text, Options{STSEndpoint: sts.host(), proxy: machine.URL})
			next := func(lifetime time.Duration) string {
				test.locker.Lock()
				*test.lifetime = lifetime
				test.locker.Unlock()
				key, err := i.Credentials(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return key.AccessKeyID
			}
			first := next(time.Minute) // which leaves too little for a request
			second := next(time.Hour)
			third := next(time.Hour)
			if first == second || second != third {
				t.Errorf("the keys were %s, %s, %s", first, second, third)
			}
		})
	}
}

func TestMachine(t *testing.T) {
	home(t)
	machine := newMetadata(t, "worker")
	for text, source := range map[string]string{
		"ecs_role = worker\n": "role worker of this machine",
		"ecs_role = auto\n":   "the role of this machine",
	} {
		i := mustIdentity(t, text, Options{proxy: machine.URL})
		if got := i.Source(); got != source {
			t.Errorf("source %q, want %q", got, source)
		}
		key, err := i.Credentials(t.Context())
		if err != nil || key.STSToken != "machine token" || i.MaskedID() != config.Mask(key.AccessKeyID) {
			t.Errorf("%v (%s), %v", key, i.MaskedID(), err)
		}
	}
}

// The vendor's own places are looked at in the order of its programs, and the
// first that has something is the one.
func TestChain(t *testing.T) {
	dir := home(t)
	sts := newSTS(t)
	machine := newMetadata(t, "worker")
	give := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"STS.FromTheAddress","AccessKeySecret":"s","SecurityToken":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	address := httptest.NewServer(http.HandlerFunc(give))
	t.Cleanup(address.Close)
	opts := Options{STSEndpoint: sts.host(), proxy: machine.URL}

	var got []string
	look := func() {
		t.Helper()
		i := mustIdentity(t, "", opts)
		if source := i.Source(); source != "" {
			t.Errorf("before anything is asked the source is %q", source)
		}
		key, err := i.Credentials(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if again, err := i.Credentials(t.Context()); err != nil || again != key {
			t.Errorf("%v, then %v, %v", key, again, err)
		}
		got = append(got, key.AccessKeyID+" "+strings.ReplaceAll(i.Source(), dir, "~"))
	}
	look() // the machine
	t.Setenv("ALIBABA_CLOUD_CREDENTIALS_URI", address.URL)
	look()
	write(t, filepath.Join(dir, ".alibabacloud", "credentials"), "[default]\ntype = access_key\naccess_key_id = FromTheFile\naccess_key_secret = s\n")
	look()
	write(t, filepath.Join(dir, ".aliyun", "config.json"), `{"current":"none","profiles":[{"name":"none","mode":"AK"}]}`) // as it is before anybody has filled it in
	look()
	write(t, filepath.Join(dir, ".aliyun", "config.json"), `{"current":"x","profiles":[{"name":"x","mode":"AK","access_key_id":"FromTheCommandLine","access_key_secret":"s"}]}`)
	look()
	write(t, filepath.Join(dir, "token"), "a-signed-token")
	t.Setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", filepath.Join(dir, "token"))
	t.Setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", oidcProvider)
	t.Setenv("ALIBABA_CLOUD_ROLE_ARN", someRole)
	look()
	want := []string{
		"STS.NMachine000001 the role of this machine",
		"STS.FromTheAddress ALIBABA_CLOUD_CREDENTIALS_URI",
		"FromTheFile ~/.alibabacloud/credentials",
		"FromTheFile ~/.alibabacloud/credentials",
		"FromTheCommandLine ~/.aliyun/config.json",
		"STS.NTemporary0001 the OIDC token of the environment",
	}
	if filepath.Separator != '/' {
		t.Skip("the paths are written for Unix")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFailuresInWords(t *testing.T) {
	role := baseKey + "role_arn = " + someRole + "\n"
	tests := []struct {
		name   string
		config string
		sts    func(*securityTokenService)
		file   string // ~/.aliyun/config.json
		ini    string // ~/.alibabacloud/credentials
		role   string // of the machine; "-": it has no metadata
		env    map[string]string
		kind   fault.Kind
		want   []string // parts of the text
		hint   string
	}{
		{name: "no key anywhere", role: "-", kind: fault.Description, hint: "eascmd config -i ID -k -", want: []string{
			"no access key is given", "command line", "environment", `profile "default"`, "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set",
			"config.json: there is no such file", "credentials: there is no such file", "ALIBABA_CLOUD_CREDENTIALS_URI: it is not set", "100.100.100.200 cannot be reached"}},
		{name: "broken files are not quoted", role: "-", file: `{"secret": hush`, ini: "hush\n= hush", kind: fault.Description, want: []string{"config.json: it is no JSON", "credentials: it cannot be read"}},
		{name: "another JSON", role: "-", file: `["hush"]`, ini: "[x]\nhush = hush\n", kind: fault.Description, want: []string{"config.json: it is no configuration", "credentials: it has no such profile"}},
		{name: "no such profile", role: "-", file: `{"current":"hush","profiles":[{"name":"x","mode":"AK"}]}`, ini: "[default]\nx = hush\n", kind: fault.Description,
			want: []string{"config.json: it has no such profile", "credentials: the profile does not say its type"}},
		{name: "incomplete", role: "-", file: `{"profiles":[]}`, ini: "[default]\ntype = access_key\naccess_key_id = hush\n", kind: fault.Description,
			want: []string{"config.json: it has no profiles", "credentials: the profile is incomplete"}},
		{name: "not known", role: "-", file: `{"current":"x","profiles":[{"name":"x","mode":"hush"}]}`, ini: "[default]\ntype = hush\n", kind: fault.Description,
			want: []string{"config.json: the profile's mode is not known", "credentials: the profile's type is not known"}},
		{name: "OIDC by halves", role: "-", env: map[string]string{"ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/x"}, kind: fault.Description, want: []string{"ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not set"}},
		{name: "OIDC refused", role: "-", env: map[string]string{"ALIBABA_CLOUD_OIDC_TOKEN": "hush", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": oidcProvider, "ALIBABA_CLOUD_ROLE_ARN": someRole},
			kind: fault.Remote, want: []string{"the OIDC token of the environment are refused", "not supported"}},
		{name: "everything switched off", role: "worker", kind: fault.Description, want: []string{"CLI_PROFILE_DISABLED is set", "ECS_METADATA_DISABLED is set"},
			file: `{}`, env: map[string]string{"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true", "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}},
		{name: "no machine", config: "ecs_role = worker\n", role: "-", kind: fault.Missing, want: []string{"role worker of this machine", "http://100.100.100.200 cannot be reached"}, hint: "ECS"},
		{name: "the machine has no role", config: "ecs_role = auto\n", role: "", kind: fault.Description, want: []string{"missing role"}, hint: "attach a RAM role"},
		{name: "the machine has another role", config: "ecs_role = worker\n", role: "other", kind: fault.Description, want: []string{"role worker of this machine", "missing role"}, hint: "eascmd config set ecs_role"},
		{name: "metadata switched off", config: "ecs_role = worker\n", role: "worker", env: map[string]string{"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}, kind: fault.Description, want: []string{"ECS_METADATA_DISABLED is set"}},
		{name: "an unknown key", config: role, sts: func(s *securityTokenService) { clear(s.secrets) }, kind: fault.Remote, want: []string{"is not known", "InvalidAccessKeyId.NotFound"}, hint: "eascmd config show"},
		{name: "a wrong secret", config: role, sts: func(s *securityTokenService) { s.secrets["LTAI5tBaseKey00001"] = "x" }, kind: fault.Remote, want: []string{"the secret is not that of the access key"}, hint: "eascmd config -i ID -k -"},
		{name: "a wrong token", config: role + "sts_token = hush\n", kind: fault.Remote, want: []string{"the security token has expired"}, hint: "-t -"},
		{name: "a wrong clock", config: role, sts: func(s *securityTokenService) { s.clock = time.Now().Add(-time.Hour) }, kind: fault.Remote, want: []string{"the clock of this machine is wrong"}, hint: "eascmd doctor"},
		{name: "a missing role", config: baseKey + "role_arn = acs:ram::1:role/nosuch\n", kind: fault.Remote, want: []string{"missing role", "acs:ram::1:role/nosuch"}, hint: "role_arn"},
		{name: "somebody else's role", config: baseKey + "role_arn = " + foreignRole + "\n", kind: fault.Remote, want: []string{"may not take this role", foreignRole}, hint: "sts:AssumeRole"},
		{name: "a page of a proxy", config: role, sts: func(s *securityTokenService) { s.answer = "<html>hush" }, kind: fault.Remote, want: []string{"no credentials"}},
		{name: "an answer without a key", config: role, sts: func(s *securityTokenService) { s.answer = `{"Credentials":{}}` }, kind: fault.Remote, want: []string{"no credentials"}},
		{name: "an answer without an end", config: role, sts: func(s *securityTokenService) {
			s.answer = `{"Credentials":{"AccessKeyId":"a","AccessKeySecret":"hush","SecurityToken":"hush"}}`
		}, kind: fault.Remote, want: []string{"lacks a part"}},
		{name: "nobody there", config: role + "sts_token = hush\n", sts: func(s *securityTokenService) { s.Close() }, kind: fault.Missing, want: []string{"cannot be asked"}, hint: "HTTPS_PROXY"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := home(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			sts := newSTS(t)
			if test.sts != nil {
				test.sts(sts)
			}
			opts := Options{STSEndpoint: sts.host(), proxy: nowhere(t)}
			if test.role != "-" {
				opts.proxy = newMetadata(t, test.role).URL
			}
			if test.file != "" {
				write(t, filepath.Join(dir, ".aliyun", "config.json"), test.file)
			}
			if test.ini != "" {
				write(t, filepath.Join(dir, ".alibabacloud", "credentials"), test.ini)
			}
			_, err := mustIdentity(t, test.config, opts).Credentials(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			text, hint := err.Error(), fault.HintOf(err)
			for _, part := range test.want {
				if !strings.Contains(text, part) {
					t.Errorf("%q is missing in %q", part, text)
				}
			}
			if fault.KindOf(err) != test.kind || !strings.Contains(hint, test.hint) {
				t.Errorf("kind %d, hint %q, want %d, %q", fault.KindOf(err), hint, test.kind, test.hint)
			}
			all := fmt.Sprintf("%s\n%s\n%+v", text, hint, errors.Unwrap(err))
			for _, secret := range []string{"hush", "base secret", "base+secret", "base%20secret", "LTAI5tBaseKey"} {
				if strings.Contains(all, secret) {
					t.Errorf("%q is told: %s", secret, all)
				}
			}
		})
	}
}

// Whoever leaves is not kept by a side that does not answer.
func TestLeaving(t *testing.T) {
	home(t)
	sts := newSTS(t)
	asked := make(chan struct{}, 1)
	hold := make(chan struct{})
	sts.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hold
	})
	i := mustIdentity(t, baseKey+"role_arn = "+someRole+"\n", Options{STSEndpoint: sts.host()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := i.Credentials(ctx)
		done <- err
	}()
	<-asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// Nor is who comes while the first one's question is still open.
	if _, err := i.Credentials(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the second one's error %v", err)
	}
	close(hold)
}
