// Package eas deploys to Elastic Algorithm Service through its OpenAPI of
// 2021-07-01. It is the only package that knows this API.
//
// Requests are signed by the vendor's library and sent by net/http. The library
// could send them too, but it writes the headers, a security token among them,
// to standard output where DEBUG asks for it, puts the password of a proxy into
// the requests that go through it, and keeps no answer that is not JSON.
package eas

import (
	"context"
	"net/http"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/deploy"
)

// Options say where the API is and who calls it.
type Options struct {
	Endpoint string // host, and port if there is one
	Scheme   string // "https", also where it is empty, or "http"
	Region   string // where it is empty, the one that the endpoint's name tells
	Profile  string // for Where

	Credentials credentials.Provider // asked before every request
	Client      *http.Client         // default: http.DefaultClient
	UserAgent   string               // default: eascmd

	// Warn, if set, is called with what the user should know although the call
	// goes on: one line, without secrets.
	Warn func(text string)

	ConnectTimeout time.Duration // until there is a connection; default 10 s
	AnswerTimeout  time.Duration // from there until the answer is whole; default 1 minute
	Attempts       int           // of one call; default 5
	RetryDelay     time.Duration // about how long to pause before the second attempt, doubled each time; default 500 ms
}

// Target is EAS in one region. Its methods may be called at the same time.
type Target struct {
	opts   Options
	client *http.Client
	stamp  func() stamp
}

var _ deploy.Target = (*Target)(nil)

// New returns the target that the options name. It makes no request.
func New(opts Options) (*Target, error) {
	if opts.Endpoint == "" {
		return nil, fault.New(fault.Description, "there is no endpoint of EAS").
			WithHint("give it with -e, such as -e %s", config.DefaultEndpoint)
	}
	switch opts.Scheme {
	case "":
		opts.Scheme = "https"
	case "http", "https":
	default:
		return nil, fault.New(fault.Description, "endpoint %s: the scheme %q is neither http nor https", opts.Endpoint, opts.Scheme)
	}
	if opts.Region == "" {
		opts.Region = config.RegionOf(opts.Endpoint)
	}
	if opts.Region == "" {
		return nil, fault.New(fault.Description, "the name of the endpoint %s does not tell its region", opts.Endpoint).
			WithHint("`eascmd config set region NAME` tells it")
	}
	if opts.Credentials == nil {
		return nil, fault.New(fault.Description, "%w for %s", config.ErrNoAccessKey, opts.Endpoint)
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "eascmd"
	}
	if opts.ConnectTimeout <= 0 {
		opts.ConnectTimeout = 10 * time.Second
	}
	if opts.AnswerTimeout <= 0 {
		opts.AnswerTimeout = time.Minute
	}
	if opts.Attempts <= 0 {
		opts.Attempts = 5
	}
	if opts.RetryDelay <= 0 {
		opts.RetryDelay = 500 * time.Millisecond
	}
	client := *http.DefaultClient
	if opts.Client != nil {
		client = *opts.Client
	}
	// A signature holds for one address only, and no other is to see it.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Target{opts: opts, client: &client, stamp: newStamp}, nil
}

// Where says where the services are and who asks. The account is empty where
// there are no credentials to be had: the next request says why.
func (t *Target) Where() deploy.Where {
	w := deploy.Where{
		Target:   "eas",
		Region:   t.opts.Region,
		Endpoint: t.opts.Endpoint,
		Profile:  t.opts.Profile,
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.opts.ConnectTimeout)
	defer cancel()
	if c, err := t.opts.Credentials.Credentials(ctx); err == nil {
		w.Account = config.Mask(c.AccessKeyID)
	}
	return w
}

func (t *Target) warn(text string) {
	if t.opts.Warn != nil {
		t.opts.Warn(text)
	}
}
