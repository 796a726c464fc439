package serving

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// authorizer checks the Authorization header in the three forms that clients
// of EAS send: the raw token, "Bearer" and the token, and the client SDKs'
// "EAS" and a signature. Without a token everybody may call.
type authorizer struct {
	token   string
	service string
}

func (a *authorizer) allows(c call) bool {
	if a.token == "" {
		return true
	}
	got := strings.TrimSpace(c.Header("Authorization"))
	if equalSecret(got, a.token) {
		return true
	}
	scheme, rest, ok := strings.Cut(got, " ")
	if !ok {
		return false
	}
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return equalSecret(rest, a.token)
	case strings.EqualFold(scheme, "EAS"):
		return a.signed(c, rest)
	}
	return false
}

// signed checks an SDK's signature. The SDKs differ in what they sign: the
// header values are therefore used exactly as received (a Date in local time
// labelled GMT, a Content-MD5 without its leading zeros, one that does not
// match the body), and the resource is tried as the bare service path (Python),
// the whole path (Go) and the path with its query (Java).
func (a *authorizer) signed(c call, signature string) bool {
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	prefix := c.Method() + "\n" + c.Header("Content-MD5") + "\n" + c.Header("Content-Type") + "\n" + c.Header("Date") + "\n"
	resources := [...]string{predictPrefix + a.service, c.Path(), c.Path() + "?" + c.Query()}
	allowed := false
	for _, resource := range resources {
		mac := hmac.New(sha1.New, []byte(a.token))
		mac.Write([]byte(prefix))
		mac.Write([]byte(resource))
		if hmac.Equal(mac.Sum(nil), got) {
			allowed = true
		}
	}
	return allowed
}

// equalSecret compares without telling, by the time it takes, how much of the
// token was right. Its length does leak.
func equalSecret(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}
