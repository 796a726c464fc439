package ossserver

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithmV4 = "OSS4-HMAC-SHA256"
	timeV4      = "20060102T150405Z"
	unsigned    = "UNSIGNED-PAYLOAD"
)

// claim is who a request says to be, and the proof.
type claim struct {
	id        string
	signature string
	token     string
	compute   func(secret string) (signature, signed string)
}

// authenticate verifies whose request it is.
func (x *exchange) authenticate() (Key, error) {
	c, err := x.claim()
	if err != nil {
		return Key{}, err
	}
	key, ok := x.server.key(c.id)
	if !ok || key.Token != "" && c.token == "" {
		return Key{}, errInvalidAccessKeyID.with("OSSAccessKeyId", c.id)
	}
	want, signed := c.compute(key.Secret)
	if !hmac.Equal([]byte(want), []byte(c.signature)) {
		return Key{}, errSignature.with("OSSAccessKeyId", c.id).with("SignatureProvided", c.signature).with("StringToSign", signed)
	}
	switch {
	case key.Token != c.token:
		return Key{}, errInvalidToken
	case !key.Expires.IsZero() && x.server.now().After(key.Expires):
		return Key{}, errTokenExpired
	}
	return key, nil
}

// claim reads the signature, and refuses one of another time.
func (x *exchange) claim() (claim, error) {
	authorization := x.r.Header.Get("Authorization")
	q := x.query
	switch {
	case strings.HasPrefix(authorization, algorithmV4+" "):
		return x.claimHeaderV4(strings.TrimPrefix(authorization, algorithmV4+" "))
	case strings.HasPrefix(authorization, "OSS "):
		id, signature, ok := strings.Cut(strings.TrimPrefix(authorization, "OSS "), ":")
		if !ok {
			return claim{}, errInvalidArgument.message("Authorization header is invalid.")
		}
		date := x.r.Header.Get("Date")
		if err := x.checkClock(x.r.Header.Get("X-Oss-Date"), date); err != nil {
			return claim{}, err
		}
		return x.claimV1(id, signature, x.r.Header.Get("X-Oss-Security-Token"), date), nil
	case authorization != "":
		return claim{}, errInvalidArgument.message("Unsupported authorization type.").with("ArgumentName", "Authorization")
	case q.Get("x-oss-signature-version") == algorithmV4:
		return x.claimQueryV4()
	case q.Has("OSSAccessKeyId"):
		expires, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
		if err != nil {
			return claim{}, errAccessDenied.message("Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters.")
		}
		if x.server.now().After(time.Unix(expires, 0)) {
			return claim{}, errExpired.with("Expires", time.Unix(expires, 0).UTC().Format(time.RFC3339)).
				with("ServerTime", x.server.now().UTC().Format(time.RFC3339))
		}
		return x.claimV1(q.Get("OSSAccessKeyId"), q.Get("Signature"), q.Get("security-token"), q.Get("Expires")), nil
	}
	return claim{}, errAccessDenied.message("You have no right to access this object because of bucket acl.")
}

// checkClock holds the time of a request against the server's.
func (x *exchange) checkClock(ossDate, date string) error {
	t, err := time.Parse(timeV4, ossDate)
	if err != nil {
		t, err = http.ParseTime(ossDate)
	}
	if err != nil {
		t, err = http.ParseTime(date)
	}
	if err != nil {
		return errAccessDenied.message("OSS authentication requires a valid Date.")
	}
	now := x.server.now()
	if d := now.Sub(t); d > maxSkew || d < -maxSkew {
		return errSkewed.with("MaxAllowedSkewMilliseconds", strconv.FormatInt(maxSkew.Milliseconds(), 10)).
			with("RequestTime", t.UTC().Format("2006-01-02T15:04:05.000Z")).
			with("ServerTime", now.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return nil
}

// signedV1 are the parameters that are part of what V1 signs.
var signedV1 = []string{
	"acl", "append", "bucketInfo", "comp", "continuation-token", "cors", "delete", "lifecycle", "live", "location",
	"logging", "objectMeta", "partNumber", "position", "referer", "response-cache-control",
	"response-content-disposition", "response-content-encoding", "response-content-language",
	"response-content-type", "response-expires", "restore", "security-token", "sequential", "stat", "symlink",
	"tagging", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
	"withHashContext", "x-oss-process", "x-oss-traffic-limit",
}

// claimV1 is a claim signed with HMAC-SHA1 over what matters of the request.
func (x *exchange) claimV1(id, signature, token, date string) claim {
	resource := "/"
	if x.Bucket != "" {
		resource = "/" + x.Bucket + "/" + x.Key
	}
	var params []string
	for name, values := range x.query {
		if slices.Contains(signedV1, name) {
			if values[0] != "" {
				name += "=" + values[0]
			}
			params = append(params, name)
		}
	}
	if slices.Sort(params); len(params) > 0 {
		resource += "?" + strings.Join(params, "&")
	}
	h := x.r.Header
	signed := x.r.Method + "\n" + h.Get("Content-MD5") + "\n" + h.Get("Content-Type") + "\n" + date + "\n" +
		canonicalHeaders(h, func(name string) bool { return strings.HasPrefix(name, "x-oss-") }) + resource
	return claim{id: id, signature: signature, token: token, compute: func(secret string) (string, string) {
		return base64.StdEncoding.EncodeToString(sum(sha1.New, []byte(secret), signed)), signed
	}}
}

// claimHeaderV4 reads Credential=…,AdditionalHeaders=…,Signature=….
func (x *exchange) claimHeaderV4(text string) (claim, error) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	date := x.r.Header.Get("X-Oss-Date")
	if err := x.checkClock(date, x.r.Header.Get("Date")); err != nil {
		return claim{}, err
	}
	if date == "" {
		date = x.r.Header.Get("Date")
	}
	payload := x.r.Header.Get("X-Oss-Content-Sha256")
	if payload != unsigned {
		return claim{}, errInvalidArgument.message("The x-oss-content-sha256 you specified is invalid.").with("ArgumentName", "x-oss-content-sha256")
	}
	return x.claimV4(fields["Credential"], fields["Signature"], fields["AdditionalHeaders"],
		x.r.Header.Get("X-Oss-Security-Token"), date, payload)
}

// claimQueryV4 reads the parameters of a signed address.
func (x *exchange) claimQueryV4() (claim, error) {
	q := x.query
	date := q.Get("x-oss-date")
	from, err := time.Parse(timeV4, date)
	seconds, err2 := strconv.ParseInt(q.Get("x-oss-expires"), 10, 64)
	if err != nil || err2 != nil || seconds < 1 || seconds > 7*24*3600 {
		return claim{}, errInvalidArgument.message("The x-oss-date or x-oss-expires you specified is invalid.")
	}
	now := x.server.now()
	if until := from.Add(time.Duration(seconds) * time.Second); now.After(until) {
		return claim{}, errExpired.with("Expires", until.Format(time.RFC3339)).with("ServerTime", now.UTC().Format(time.RFC3339))
	}
	if from.Sub(now) > maxSkew {
		return claim{}, errSkewed.with("RequestTime", from.Format(time.RFC3339)).with("ServerTime", now.UTC().Format(time.RFC3339))
	}
	return x.claimV4(q.Get("x-oss-credential"), q.Get("x-oss-signature"), q.Get("x-oss-additional-headers"),
		q.Get("x-oss-security-token"), date, unsigned)
}

// claimV4 is a claim signed with a key derived for a day, a region and a
// product.
func (x *exchange) claimV4(credential, signature, additional, token, date, payload string) (claim, error) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[3] != "oss" || scope[4] != "aliyun_v4_request" {
		return claim{}, errInvalidArgument.message("The credential you specified is invalid.").with("ArgumentName", "Credential")
	}
	day, region := scope[1], scope[2]
	if region != x.style.region {
		return claim{}, errInvalidArgument.message("Invalid signing region in Authorization header.").with("ArgumentName", "Credential").with("ArgumentValue", region)
	}
	if t, err := http.ParseTime(date); date[:min(8, len(date))] != day && (err != nil || t.UTC().Format("20060102") != day) {
		return claim{}, errInvalidArgument.message("Invalid signing date in Authorization header.").with("ArgumentName", "Credential")
	}
	extra := strings.FieldsFunc(additional, func(r rune) bool { return r == ';' })
	headers := x.r.Header.Clone()
	headers.Set("Host", x.r.Host) // net/http keeps it apart
	lines := canonicalHeaders(headers, func(name string) bool {
		return name == "content-type" || name == "content-md5" || strings.HasPrefix(name, "x-oss-") || slices.Contains(extra, name)
	})
	request := x.r.Method + "\n" + x.canonicalPath() + "\n" + x.canonicalQuery() + "\n" + lines + "\n" +
		strings.Join(extra, ";") + "\n" + payload
	hashed := sha256.Sum256([]byte(request))
	signed := algorithmV4 + "\n" + date + "\n" + strings.Join(scope[1:], "/") + "\n" + hex.EncodeToString(hashed[:])
	return claim{id: scope[0], signature: signature, token: token, compute: func(secret string) (string, string) {
		key := []byte("aliyun_v4" + secret)
		for _, step := range scope[1:] {
			key = sum(sha256.New, key, step)
		}
		return hex.EncodeToString(sum(sha256.New, key, signed)), signed
	}}, nil
}

func (x *exchange) canonicalPath() string {
	if x.Bucket == "" {
		return "/"
	}
	return "/" + x.Bucket + "/" + strings.ReplaceAll(escape(x.Key), "%2F", "/")
}

func (x *exchange) canonicalQuery() string {
	var params []string
	for name, values := range x.query {
		if name == "x-oss-signature" {
			continue
		}
		name = escape(name)
		if values[0] != "" {
			name += "=" + escape(values[0])
		}
		params = append(params, name)
	}
	// By name: "a-b" comes after "a", and "a=x" does not come after "a-b".
	slices.SortFunc(params, func(a, b string) int {
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return strings.Compare(a, b)
	})
	return strings.Join(params, "&")
}

// escape writes %XX for all but letters, digits and -._~.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// canonicalHeaders lists the headers that are wanted, by lower-case name.
func canonicalHeaders(h http.Header, want func(name string) bool) string {
	var lines []string
	for name, values := range h {
		if name = strings.ToLower(name); want(name) {
			lines = append(lines, name+":"+strings.TrimSpace(values[0])+"\n")
		}
	}
	slices.SortFunc(lines, func(a, b string) int {
		a, _, _ = strings.Cut(a, ":")
		b, _, _ = strings.Cut(b, ":")
		return strings.Compare(a, b)
	})
	return strings.Join(lines, "")
}

func sum(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
