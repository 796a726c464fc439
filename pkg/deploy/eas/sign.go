package eas

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/openeas/eascmd/pkg/config"
)

const (
	apiVersion = "2021-07-01"
	algorithm  = "ACS3-HMAC-SHA256"
)

// stamp is what makes two equal requests different.
type stamp struct{ date, nonce string }

func newStamp() stamp {
	return stamp{
		date:  time.Now().UTC().Format("2006-01-02T15:04:05Z"),
		nonce: rand.Text(),
	}
}

// build makes a signed HTTP request. A body of nil is none.
func (t *Target) build(ctx context.Context, r request, body []byte, c config.Credentials) (*http.Request, error) {
	path, query := r.op.pathOf(t.opts.Region, r.name), encodeQuery(r.query)
	url := t.opts.Scheme + "://" + t.opts.Endpoint + path
	if query != "" {
		url += "?" + query
	}
	req, err := http.NewRequestWithContext(ctx, r.op.method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	s := t.stamp()
	headers := map[string]string{
		"x-acs-action":          r.op.name,
		"x-acs-version":         apiVersion,
		"x-acs-date":            s.date,
		"x-acs-signature-nonce": s.nonce,
		"x-acs-content-sha256":  hex.EncodeToString(hash[:]),
	}
	if body != nil {
		headers["content-type"] = "application/json; charset=utf-8"
	}
	if c.STSToken != "" {
		headers["x-acs-accesskey-id"] = c.AccessKeyID
		headers["x-acs-security-token"] = c.STSToken
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	headers["host"] = t.opts.Endpoint // net/http sends it by itself
	authorization := openapi.GetAuthorization(&dara.Request{
		Method:   dara.String(r.op.method),
		Pathname: dara.String(path),
		Query:    pointers(r.query),
		Headers:  pointers(headers),
	}, dara.String(algorithm), dara.String(headers["x-acs-content-sha256"]), dara.String(c.AccessKeyID), dara.String(c.AccessKeySecret))
	req.Header.Set("Authorization", dara.StringValue(authorization))
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", t.opts.UserAgent)
	return req, nil
}

// encodeQuery writes a query as its signature has it.
func encodeQuery(query map[string]string) string {
	pairs := make([]string, 0, len(query))
	for name, value := range query {
		pairs = append(pairs, escape(name)+"="+escape(value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func pointers(m map[string]string) map[string]*string {
	p := make(map[string]*string, len(m))
	for key, value := range m {
		p[key] = &value
	}
	return p
}
