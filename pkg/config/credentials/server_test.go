package credentials

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/config"
)

// securityTokenService gives out keys of roles to those who sign for them, as
// version 2015-04-01 of STS does.
type securityTokenService struct {
	*httptest.Server

	mu       sync.Mutex
	secrets  map[string]string // by access key id
	tokens   map[string]string // by access key id, of temporary ones
	roles    map[string]string // the access key id that may take a role
	lifetime time.Duration
	clock    time.Time // of the server
	answer   string    // in place of the usual one
	calls    []string  // the actions asked for
}

const (
	someRole     = "acs:ram::1234567890:role/deployer"
	foreignRole  = "acs:ram::1234567890:role/somebody-elses"
	oidcProvider = "acs:ram::1234567890:oidc-provider/ci"
)

// newSTS starts the service and makes http.DefaultTransport trust it.
func newSTS(t *testing.T) *securityTokenService {
	t.Helper()
	s := &securityTokenService{
		secrets:  map[string]string{"LTAI5tBaseKey00001": "base secret+/"},
		tokens:   map[string]string{},
		roles:    map[string]string{someRole: "LTAI5tBaseKey00001", foreignRole: "LTAI5tSomebodyElse"},
		lifetime: time.Hour,
		clock:    time.Now(),
	}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	before := http.DefaultTransport
	http.DefaultTransport = s.Client().Transport
	t.Cleanup(func() { http.DefaultTransport = before })
	return s
}

func (s *securityTokenService) host() string { return strings.TrimPrefix(s.URL, "https://") }

func (s *securityTokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.calls = append(s.calls, r.Form.Get("Action"))
	if s.answer != "" {
		io.WriteString(w, s.answer)
		return
	}
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"Code": code, "Message": message, "RequestId": "5A1B", "HostId": r.Host})
	}
	role := r.Form.Get("RoleArn")
	switch r.Form.Get("Action") {
	case "AssumeRole":
		id := r.Form.Get("AccessKeyId")
		stamp, err := time.Parse(time.RFC3339, r.Form.Get("Timestamp"))
		secret, known := s.secrets[id]
		switch {
		case r.Method != http.MethodPost, r.Form.Get("Version") != "2015-04-01", err != nil, r.Form.Get("SignatureNonce") == "":
			refuse(http.StatusBadRequest, "InvalidParameter", "a parameter is missing")
			return
		case !known:
			refuse(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
			return
		case s.clock.Sub(stamp).Abs() > 15*time.Minute:
			refuse(http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
			return
		case signatureOf(r, secret) != r.Form.Get("Signature"):
			refuse(http.StatusBadRequest, "SignatureDoesNotMatch", "server string to sign is:"+r.Form.Encode())
			return
		case r.Form.Get("SecurityToken") != s.tokens[id]:
			refuse(http.StatusBadRequest, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired: "+r.Form.Get("SecurityToken"))
			return
		case s.roles[role] == "":
			refuse(http.StatusNotFound, "EntityNotExist.Role", "The role not exists: "+role)
			return
		case s.roles[role] != id:
			refuse(http.StatusForbidden, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
			return
		}
	case "AssumeRoleWithOIDC":
		if r.Form.Get("OIDCToken") != "a-signed-token" || r.Form.Get("OIDCProviderArn") != oidcProvider || s.roles[role] == "" {
			refuse(http.StatusBadRequest, "AuthenticationFail.OIDCToken.Invalid", "This JSON Web Token is not supported.")
			return
		}
	default:
		refuse(http.StatusBadRequest, "UnsupportedOperation", "no such action")
		return
	}
	id := fmt.Sprintf("STS.NTemporary%04d", len(s.secrets))
	s.secrets[id], s.tokens[id] = "secret of "+id, "token of "+id
	json.NewEncoder(w).Encode(map[string]any{
		"RequestId":       "5A1B",
		"AssumedRoleUser": map[string]string{"Arn": role + "/" + r.Form.Get("RoleSessionName")},
		"Credentials": map[string]string{
			"AccessKeyId": id, "AccessKeySecret": s.secrets[id], "SecurityToken": s.tokens[id],
			"Expiration": time.Now().Add(s.lifetime).UTC().Format(time.RFC3339),
		},
	})
}

// signatureOf returns the signature that a request should have, by version 1.0
// of the RPC style.
func signatureOf(r *http.Request, secret string) string {
	escape := func(text string) string {
		return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(text))
	}
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(r.Form)) {
		if key != "Signature" {
			pairs = append(pairs, escape(key)+"="+escape(r.Form.Get(key)))
		}
	}
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	io.WriteString(mac, r.Method+"&"+escape("/")+"&"+escape(strings.Join(pairs, "&")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *securityTokenService) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// metadata is the metadata of a machine, in token mode: nothing is told to those
// who have not fetched a token first. It answers as a proxy, because its
// address is fixed.
type metadata struct {
	*httptest.Server

	mu       sync.Mutex
	role     string // empty: the machine has none
	lifetime time.Duration
	answer   string // in place of the key
	given    int    // keys
}

func newMetadata(t *testing.T, role string) *metadata {
	t.Helper()
	m := &metadata{role: role, lifetime: time.Hour}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const roles, token = "/latest/meta-data/ram/security-credentials/", "metadata-token"
	name, isRole := strings.CutPrefix(r.URL.Path, roles)
	switch {
	case r.Host != "100.100.100.200":
		http.Error(w, "this is no proxy", http.StatusForbidden)
	case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut && r.Header.Get("X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds") != "":
		io.WriteString(w, token)
	case r.Header.Get("X-Aliyun-Ecs-Metadata-Token") != token:
		http.Error(w, "no token", http.StatusForbidden)
	case !isRole || r.Method != http.MethodGet || m.role == "" || name != "" && name != m.role:
		http.NotFound(w, r)
	case name == "":
		io.WriteString(w, m.role)
	case m.answer != "":
		io.WriteString(w, m.answer)
	default:
		m.given++
		json.NewEncoder(w).Encode(map[string]string{
			"Code": "Success", "AccessKeyId": fmt.Sprintf("STS.NMachine%06d", m.given), "AccessKeySecret": "machine secret", "SecurityToken": "machine token",
			"Expiration": time.Now().Add(m.lifetime).UTC().Format(time.RFC3339), "LastUpdated": time.Now().UTC().Format(time.RFC3339),
		})
	}
}

// home gives the test a home directory and an environment of its own.
func home(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	for _, key := range config.Keys() {
		for _, name := range config.EnvNames(key) {
			t.Setenv(name, "")
		}
	}
	for _, name := range []string{
		"ROLE_ARN", "ROLE_SESSION_NAME", "OIDC_TOKEN", "OIDC_TOKEN_FILE", "OIDC_PROVIDER_ARN", "CONFIG_FILE", "CREDENTIALS_FILE", "CREDENTIALS_URI",
		"PROFILE", "CLI_PROFILE_DISABLED", "ECS_METADATA", "ECS_METADATA_DISABLED", "IMDSV1_DISABLED", "STS_REGION", "VPC_ENDPOINT_ENABLED",
	} {
		t.Setenv("ALIBABA_CLOUD_"+name, "")
	}
	return dir
}
