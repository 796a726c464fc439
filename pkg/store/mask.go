package store

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
)

// credentialParams are the query parameters that sign an address or let
// somebody in. They are no part of what an address names, and never printed.
var credentialParams = [...]string{
	"Signature", "OSSAccessKeyId", "AccessKeyId", "AWSAccessKeyId", "Expires", "security-token",
	"x-oss-signature", "x-oss-signature-version", "x-oss-credential", "x-oss-date", "x-oss-expires",
	"x-oss-security-token", "x-oss-additional-headers",
	"X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
	"X-Amz-Security-Token", "X-Amz-SignedHeaders",
	"sig", "token", "access_token", "auth", "apikey", "api_key", "password", "secret",
}

func isCredential(param string) bool {
	for _, p := range credentialParams {
		if strings.EqualFold(p, param) {
			return true
		}
	}
	return false
}

var maskPatterns = sync.OnceValue(func() [2]*regexp.Regexp {
	names := make([]string, len(credentialParams))
	for i, p := range credentialParams {
		names[i] = regexp.QuoteMeta(p)
	}
	return [2]*regexp.Regexp{
		regexp.MustCompile(`://[^/?#\s"]*@`),
		regexp.MustCompile(`(?i)([?&;](?:` + strings.Join(names, "|") + `)=)[^&;#\s"]*`),
	}
})

// Mask returns text with the secrets of the addresses in it made unreadable:
// user names and passwords, signatures and tokens.
func Mask(text string) string {
	p := maskPatterns()
	text = p[0].ReplaceAllString(text, "://***@")
	return p[1].ReplaceAllString(text, "${1}***")
}

// outline returns what may be shown of an address that cannot be parsed.
func outline(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			return scheme + "://***@" + rest[i+1:]
		}
	}
	return raw
}

// identity returns what an address names: without credentials in the query and
// without a fragment. Two signed addresses of one object have one identity.
func identity(u *url.URL) string {
	v := *u
	v.Fragment, v.RawFragment = "", ""
	v.Host = strings.ToLower(v.Host)
	var kept []string
	for param := range strings.SplitSeq(v.RawQuery, "&") {
		name, _, _ := strings.Cut(param, "=")
		if param != "" && !isCredential(name) {
			kept = append(kept, param)
		}
	}
	v.RawQuery = strings.Join(kept, "&")
	return v.String()
}

// NameOf returns the file name that an address ends in, fit to be used as one:
// "x.tar.gz" for .../models%2Fx.tar.gz?Signature=... It is "download" where the
// address has none.
func NameOf(rawURL string) string {
	const none = "download"
	u, err := url.Parse(rawURL)
	if err != nil {
		return none
	}
	name := path.Base(path.Clean("/" + strings.ReplaceAll(u.Path, `\`, "/")))
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name)
	if name == "/" || name == "." || name == ".." || len(name) > 200 {
		return none
	}
	return name
}
