package serving

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openeas/eascmd/pkg/runplan"
)

// call is what the rules need to know of a request, whichever server read it.
// The strings are valid only while the request is being handled.
type call interface {
	Method() string
	Path() string  // as sent: not decoded, without the query
	Query() string // as sent, without the question mark
	Host() string
	Header(name string) string // the first one; empty where there is none
}

// reply is an answer of the gateway's own.
type reply struct {
	status      int
	contentType string
	body        []byte
	close       bool // end the connection after it
}

func textReply(status int, text string) *reply {
	return &reply{status: status, contentType: "text/plain; charset=utf-8", body: []byte(text + "\n")}
}

func jsonReply(status int, v any) *reply {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return textReply(500, err.Error())
	}
	return &reply{status: status, contentType: "application/json", body: append(body, '\n')}
}

// failureReply is the answer to a request that the processor did not answer.
// 408 and 450 end the connection, as on EAS.
func failureReply(f *failure) *reply {
	r := textReply(f.status, f.text)
	r.close = f.status == 408 || f.status == statusQueueFull || f.status == statusClientClosed
	return r
}

// The paths that are not the processor's.
const (
	predictPrefix = "/api/predict/"
	builtinPrefix = "/api/builtin/"
	metricsPath   = "/metrics"
)

// front decides what a request is and whether it may come in. It is written
// once for every server, and knows none.
type front struct {
	name    string
	auth    authorizer
	limiter *rateLimiter
	builtin builtin
}

func newFront(plan *runplan.Plan, l *limits, d *dispatcher, m *metrics, end func()) *front {
	return &front{
		name:    plan.Name,
		auth:    authorizer{token: plan.Gateway.Token, service: plan.Name},
		limiter: l.rate,
		builtin: builtin{plan: plan, limits: l, d: d, metrics: m, end: end},
	}
}

// admit returns nil for a request that the processor is to answer, otherwise
// the answer. The order: where does it go, may it, is it too often.
func (f *front) admit(c call) *reply {
	if r := f.refuse(c); r != nil {
		return r
	}
	if path := c.Path(); own(path) {
		return f.builtin.answer(c, path)
	}
	if !f.limiter.allow() {
		return textReply(429, "more requests than rpc.rate_limit allows")
	}
	return nil
}

// own reports whether a path is not the processor's.
func own(path string) bool {
	return strings.HasPrefix(path, builtinPrefix) || path == metricsPath || discovery(path) != ""
}

// refuse is the part of admit that can be asked more than once: where does it
// go, may it.
func (f *front) refuse(c call) *reply {
	path := c.Path()
	switch method := c.Method(); method {
	case "CONNECT", "TRACE":
		return textReply(405, method+" is not served here")
	}
	if rest, ok := strings.CutPrefix(path, predictPrefix); ok {
		name, _, _ := strings.Cut(rest, "/")
		if name != f.name {
			return textReply(404, fmt.Sprintf("no service %.100q here; this is %q", name, f.name))
		}
	}
	// Whoever looks for the service with these does not give its token away to
	// another one that listens there.
	if path != builtinPrefix+"ping" && path != builtinPrefix+"instance" && !f.auth.allows(c) {
		return textReply(401, "the Authorization header carries no valid token of service "+f.name)
	}
	return nil
}

// The two forms of the path by which client SDKs discover the addresses of a
// service's instances.
var discoveryPrefixes = [...]string{
	"/api/v1/servicediscovery/upstreams/",
	"/exported/apis/eas.alibaba-inc.k8s.io/v1/upstreams/",
}

// discovery returns the service that a discovery request asks for, empty for
// any other path.
func discovery(path string) string {
	for _, prefix := range discoveryPrefixes {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return name
		}
	}
	return ""
}
