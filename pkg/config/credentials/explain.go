package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

// errAbsent is in the chain of the error of a place that has no credentials.
type errAbsent struct{ why string }

func (e *errAbsent) Error() string { return e.why }

// absence returns why a place has no credentials, if that is what err says.
func absence(err error) (why string, ok bool) {
	a, ok := errors.AsType[*errAbsent](err)
	if !ok {
		return "", false
	}
	return a.why, true
}

// noneAnywhere is the error where no place has credentials.
func noneAnywhere(none error, places []string) error {
	if none == nil {
		return fault.New(fault.Description, "there are no credentials: %s", strings.Join(places, "; "))
	}
	return fault.New(fault.Description, "%w; nor elsewhere: %s", none, strings.Join(places, "; ")).
		WithHint("store one with `eascmd config -i ID -k -`, set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or on a machine with a role `eascmd config set ecs_role auto`")
}

// explain says in words why a place gave no credentials. The providers' own
// texts are never passed on as they are: they quote whole files and requests,
// and so secrets.
func (i *Identity) explain(p *place, err error) error {
	text := err.Error()
	if e, ok := errors.AsType[*url.Error](err); ok {
		// Its address carries the token of the key that asks.
		return fault.New(fault.Missing, "%s cannot be asked for the credentials of %s: %w", hostOf(e.URL), i.named(p), withoutAddress(e)).
			WithHint("check the network, the proxy (HTTPS_PROXY) and, behind one that looks inside, --ca-bundle")
	}
	for _, prefix := range []string{"refresh session token failed: ", "get session token failed: "} {
		if _, body, ok := strings.Cut(text, prefix); ok {
			return i.refused(p, body)
		}
	}
	if e := machineError(p, text); e != nil {
		return e
	}
	for _, w := range fileFaults() {
		if strings.Contains(text, w.part) {
			return fault.New(fault.Description, "credentials from %s: %w", p.name, &errAbsent{w.why})
		}
	}
	return fault.New(fault.Remote, "%s gave no credentials", p.name).
		WithHint("see whether the program that it belongs to can use it, such as `aliyun sts GetCallerIdentity`")
}

type fileFault struct{ part, why string }

// fileFaults lists what the providers of files say of one that has no key.
func fileFaults() []fileFault {
	return []fileFault{
		{"unable to get profile with", "it has no such profile"},
		{"no any configured profiles", "it has no profiles"},
		{"unsupported profile mode", "the profile's mode is not known"},
		{"unmarshal aliyun cli config from ", "it is no configuration"},
		{"Can not load section", "it has no such profile"},
		{"Can not find credential type", "the profile does not say its type"},
		{"Failed to get value", "the profile is incomplete"},
		{"Failed to get credential", "the profile's type is not known"},
		{"Value can't be empty", "the profile is incomplete"},
		{"access key id is empty", "the profile has no access key"},
		{"access key secret is empty", "the profile has no secret"},
		{"Can not open file", "it cannot be read"},
	}
}

// machineError says in words why the machine's metadata gave no credentials;
// it is nil where that was not what was asked.
func machineError(p *place, text string) error {
	const address = "http://100.100.100.200"
	absent := func(kind fault.Kind, hint, format string, args ...any) error {
		return fault.New(kind, "%s cannot be taken: %w", p.name, &errAbsent{fmt.Sprintf(format, args...)}).WithHint("%s", hint)
	}
	switch {
	case strings.HasPrefix(text, "get metadata token failed: "), strings.HasPrefix(text, "get role name failed: ") && !strings.Contains(text, " 404"),
		strings.HasPrefix(text, "refresh Ecs sts token err: "):
		hint := "ecs_role is for machines of Alibaba Cloud (ECS, DSW and the like)"
		if os.Getenv("HTTP_PROXY") != "" || os.Getenv("http_proxy") != "" {
			hint = "add 100.100.100.200 to NO_PROXY: the machine's metadata is behind no proxy"
		}
		return absent(fault.Missing, hint, "the machine's metadata at %s cannot be reached", address)
	case strings.HasPrefix(text, "get role name failed: "), strings.Contains(text, "httpStatus: 404"):
		return absent(fault.Description, "attach a RAM role to the machine in the ECS console, or name the one that it has with `eascmd config set ecs_role NAME`",
			"missing role: this machine has none, or none of that name")
	case strings.HasPrefix(text, "refresh Ecs sts token err"):
		return absent(fault.Remote, "try again; if it stays so, attach the role to the machine again", "the machine's metadata at %s gave no key", address)
	}
	return nil
}

// refused is the error of a key that may not take a role.
func (i *Identity) refused(p *place, body string) error {
	var answer struct{ Code, Message string }
	if json.Unmarshal([]byte(body), &answer) != nil || answer.Code == "" {
		return fault.New(fault.Remote, "credentials of %s: the answer is not that of the security token service", i.named(p)).
			WithHint("check that no proxy answers in its place")
	}
	why, hint := "the security token service says "+i.clean(answer.Message), "see the role and its trust policy in the RAM console"
	switch code := answer.Code; {
	case strings.HasPrefix(code, "InvalidAccessKeyId"):
		why, hint = "the access key is not known, or is disabled", "see which one is in use with `eascmd config show`"
	case code == "SignatureDoesNotMatch", code == "IncompleteSignature":
		// Its message quotes what was signed, tokens included.
		why, hint = "the secret is not that of the access key", "store both again with `eascmd config -i ID -k -`"
	case strings.HasPrefix(code, "InvalidTimeStamp"):
		why, hint = "the clock of this machine is wrong", "set it; `eascmd doctor` says by how much"
	case strings.HasPrefix(code, "InvalidSecurityToken"):
		why, hint = "the security token has expired, or is not that of the access key", "get new temporary keys and store them with `eascmd config -i ID -k - -t -`"
	case code == "NoPermission", code == "ImplicitDeny", code == "AuthenticationFail.NoPermission":
		why, hint = "it may not take this role", "allow the caller sts:AssumeRole, and name it in the role's trust policy"
	case strings.HasPrefix(code, "EntityNotExist"):
		why, hint = "missing role: there is none of this name", "check role_arn with `eascmd config show`"
	case strings.HasPrefix(code, "Throttling"):
		why, hint = "too many requests", "try again in a minute"
	}
	return fault.New(fault.Remote, "credentials of %s are refused: %s (%s)", i.named(p), why, i.clean(answer.Code)).WithHint("%s", hint)
}

// clean takes the secrets that are known out of a text of the other side.
func (i *Identity) clean(text string) string {
	key, err := i.settings.Credentials()
	if err != nil {
		return text
	}
	for _, secret := range []string{key.AccessKeySecret, key.STSToken} {
		if secret != "" {
			text = strings.NewReplacer(secret, "****", url.QueryEscape(secret), "****").Replace(text)
		}
	}
	return strings.ReplaceAll(text, key.AccessKeyID, config.Mask(key.AccessKeyID))
}

// hostOf returns the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the other side"
	}
	return u.Host
}

// withoutAddress returns the cause of a failed request. Where a redirection was
// followed the causes nest.
func withoutAddress(e *url.Error) error {
	for {
		inner, ok := errors.AsType[*url.Error](e.Err)
		if !ok {
			return e.Err
		}
		e = inner
	}
}
