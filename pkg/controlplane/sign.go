package controlplane

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// AccessKey is somebody who may call. SecurityToken is empty for a long-lived
// key; a temporary one is refused after Expires, if that is set.
type AccessKey struct {
	ID, Secret    string
	SecurityToken string
	Expires       time.Time
}

const (
	signatureAlgorithm = "ACS3-HMAC-SHA256"
	apiVersion         = "2021-07-01"

	// maxSkew is how far the clock of a caller may be from ours.
	maxSkew = 15 * time.Minute
)

// verifier checks signatures of version 3 (ACS3-HMAC-SHA256).
type verifier struct {
	clock Clock
	keys  map[string]AccessKey

	mu     sync.Mutex
	nonces map[string]time.Time // when each may be forgotten
}

func newVerifier(keys []AccessKey, clock Clock) *verifier {
	v := &verifier{clock: clock, keys: map[string]AccessKey{}, nonces: map[string]time.Time{}}
	for _, k := range keys {
		v.keys[k.ID] = k
	}
	return v
}

// verify says who signed a request with this body, or why it is refused.
func (v *verifier) verify(r *http.Request, body []byte) (id string, err *apiError) {
	auth, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return "", err
	}
	if err := checkSignedHeaders(r, auth.headers, len(body) > 0); err != nil {
		return "", err
	}
	if r.Header.Get("x-acs-version") != apiVersion {
		return "", refuse(http.StatusBadRequest, "InvalidVersion", "Specified parameter Version is not valid.")
	}
	now := v.clock.Now()
	date, parseErr := time.Parse(timeForm, r.Header.Get("x-acs-date"))
	if parseErr != nil {
		return "", refuse(http.StatusBadRequest, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
	}
	if skew := now.Sub(date); skew > maxSkew || skew < -maxSkew {
		return "", refuse(http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired. Server time is %s.", now.UTC().Format(timeForm))
	}
	key, ok := v.keys[auth.id]
	if !ok {
		return "", refuse(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
	}
	sum := sha256.Sum256(body)
	if hash := r.Header.Get("x-acs-content-sha256"); hash != hex.EncodeToString(sum[:]) {
		return "", refuse(http.StatusBadRequest, "SignatureDoesNotMatch", "The value of x-acs-content-sha256 is not the SHA-256 of the body.")
	}
	canonical := canonicalRequest(r, auth.headers)
	if !hmac.Equal([]byte(sign(canonical, key.Secret)), []byte(auth.signature)) {
		return "", refuse(http.StatusBadRequest, "SignatureDoesNotMatch",
			"Specified signature is not matched with our calculation. server string to sign is:%s", stringToSign(canonical))
	}
	// Only now, so that nobody without the secret learns of tokens or uses up a nonce.
	if err := v.checkToken(key, r.Header.Get("x-acs-security-token"), now); err != nil {
		return "", err
	}
	return key.ID, v.useNonce(r.Header.Get("x-acs-signature-nonce"), date, now)
}

type authorization struct {
	id, signature string
	headers       []string // names of what is signed, sorted
}

func parseAuthorization(text string) (authorization, *apiError) {
	algorithm, rest, _ := strings.Cut(text, " ")
	if text == "" {
		return authorization{}, refuse(http.StatusBadRequest, "MissingAuthorization", "Authorization is mandatory for this action.")
	}
	if algorithm != signatureAlgorithm {
		return authorization{}, refuse(http.StatusBadRequest, "InvalidSignatureMethod", "Specified signature method is not valid: only %s is.", signatureAlgorithm)
	}
	var a authorization
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			a.id = value
		case "SignedHeaders":
			a.headers = strings.Split(value, ";")
		case "Signature":
			a.signature = value
		}
	}
	if a.id == "" || a.signature == "" || len(a.headers) == 0 || !slices.IsSorted(a.headers) {
		return authorization{}, refuse(http.StatusBadRequest, "IncompleteSignature", "The request signature does not conform to Alibaba Cloud standards.")
	}
	return a, nil
}

// checkSignedHeaders refuses a request that could have been changed on its way:
// all that says what is asked for has to be signed.
func checkSignedHeaders(r *http.Request, signed []string, body bool) *apiError {
	need := []string{"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
	if body {
		need = append(need, "content-type")
	}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-acs-") {
			need = append(need, name)
		}
	}
	for _, name := range need {
		if !slices.Contains(signed, name) || name != "host" && r.Header.Get(name) == "" {
			return refuse(http.StatusBadRequest, "IncompleteSignature", "The header %s is missing or not signed.", name)
		}
	}
	return nil
}

func (v *verifier) checkToken(key AccessKey, token string, now time.Time) *apiError {
	switch {
	case key.SecurityToken == "" && token == "":
		return nil
	case key.SecurityToken == "":
		return refuse(http.StatusBadRequest, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken does not belong to the access key.")
	case token == "":
		return refuse(http.StatusBadRequest, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
	case !hmac.Equal([]byte(token), []byte(key.SecurityToken)):
		return refuse(http.StatusBadRequest, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
	case !key.Expires.IsZero() && now.After(key.Expires):
		return refuse(http.StatusBadRequest, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
	}
	return nil
}

// useNonce takes a nonce once. It is kept as long as its date is accepted.
func (v *verifier) useNonce(nonce string, date, now time.Time) *apiError {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, until := range v.nonces {
		if now.After(until) {
			delete(v.nonces, n)
		}
	}
	if _, used := v.nonces[nonce]; used {
		return refuse(http.StatusBadRequest, "SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	v.nonces[nonce] = date.Add(maxSkew)
	return nil
}

// canonicalRequest is the text of a request that its signature is made of.
func canonicalRequest(r *http.Request, signed []string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?") // as it came, not as it is understood
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(query) + "\n")
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		if name == "host" {
			values = []string{r.Host}
		}
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		slices.Sort(values)
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + r.Header.Get("x-acs-content-sha256"))
	return b.String()
}

func canonicalQuery(raw string) string {
	values, _ := url.ParseQuery(raw) // what is not valid is not signed, and so refused
	var parts []string
	for name, list := range values {
		for _, value := range list {
			parts = append(parts, escape(name)+"="+escape(value))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// escape percent-encodes by RFC 3986.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}

func stringToSign(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return signatureAlgorithm + "\n" + hex.EncodeToString(sum[:])
}

func sign(canonical, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stringToSign(canonical)))
	return hex.EncodeToString(mac.Sum(nil))
}
