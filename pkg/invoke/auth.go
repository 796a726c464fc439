package invoke

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Auth is how a request is authorized. It can be the value of a flag.
type Auth string

// The authorizations.
const (
	Token     Auth = "token"     // the token as it is
	Bearer    Auth = "bearer"    // "Bearer" and the token
	Signature Auth = "signature" // "EAS" and a signature made with the token, as the client SDKs send it
	None      Auth = "none"
)

// Auths lists all authorizations.
func Auths() []string {
	return []string{string(Token), string(Bearer), string(Signature), string(None)}
}

// String returns the authorization's name.
func (a *Auth) String() string { return string(*a) }

// Set takes the name of an authorization.
func (a *Auth) Set(name string) error {
	for _, known := range Auths() {
		if strings.EqualFold(name, known) {
			*a = Auth(known)
			return nil
		}
	}
	return fmt.Errorf("the authorizations are %s", strings.Join(Auths(), ", "))
}

// Type is the word for the value in the help.
func (a *Auth) Type() string { return "how" }

// authorize adds what r.Auth asks for. Without a token nothing is added, as the
// client SDKs do it. sum is the body's MD5 in lower hex.
func (r Request) authorize(req *http.Request, sum string, now time.Time) {
	if r.Token == "" {
		return
	}
	switch r.Auth {
	case None:
	case Bearer:
		req.Header.Set("Authorization", "Bearer "+r.Token)
	case Signature:
		date := now.UTC().Format(http.TimeFormat)
		req.Header.Set("Date", date)
		req.Header.Set("Content-MD5", sum)
		// The path with its query is what the Java SDK signs; where there is no
		// query all SDKs sign the same.
		resource := req.URL.EscapedPath()
		if req.URL.RawQuery != "" {
			resource += "?" + req.URL.RawQuery
		}
		req.Header.Set("Authorization", "EAS "+Sign(r.Token, req.Method, sum, req.Header.Get("Content-Type"), date, resource))
	default:
		req.Header.Set("Authorization", r.Token)
	}
}

// Sign returns the signature that follows "EAS" in the Authorization header.
// What is signed are values of headers, as they are sent, and the resource: the
// path of the address with its query, if it has one.
func Sign(token, method, contentMD5, contentType, date, resource string) string {
	mac := hmac.New(sha1.New, []byte(token))
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n%s", method, contentMD5, contentType, date, resource)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
