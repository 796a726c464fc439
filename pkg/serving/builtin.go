package serving

import (
	"net"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/pkg/runplan"
)

// builtin is the built-in API. EAS documents the names of its handlers, not
// what they answer; the answers here are our own, in JSON.
type builtin struct {
	plan    *runplan.Plan
	limits  *limits
	d       *dispatcher
	metrics *metrics
	end     func()
}

func (b *builtin) answer(c call, path string) *reply {
	if path == metricsPath {
		return b.prometheus()
	}
	if name := discovery(path); name != "" {
		return b.upstreams(c, name)
	}
	switch name := strings.TrimPrefix(path, builtinPrefix); name {
	case "ping":
		return textReply(200, "ok")
	case "ready":
		if b.d.hasWorker() {
			return textReply(200, "ready")
		}
		return textReply(503, failNotReady.text)
	case "instance":
		if b.plan.Gateway.Instance == "" {
			return textReply(404, "nobody gave this gateway a name")
		}
		return textReply(200, b.plan.Gateway.Instance)
	case "prop":
		return jsonReply(200, b.limits.properties())
	case "monitor":
		return jsonReply(200, b.metrics.monitor(b.d))
	case "realtime_metrics":
		return jsonReply(200, b.metrics.realtime())
	case "term":
		if c.Method() != "POST" {
			return textReply(405, "term ends the service; it takes POST")
		}
		b.end()
		return &reply{status: 200, contentType: "text/plain; charset=utf-8", body: []byte("draining\n"), close: true}
	default:
		return textReply(501, "the built-in API has ping, ready, instance, prop, monitor, realtime_metrics and term")
	}
}

// upstreams answers the discovery of the client SDKs with the address that the
// client already uses.
func (b *builtin) upstreams(c call, name string) *reply {
	name, _, _ = strings.Cut(name, "/")
	if name != b.plan.Name {
		return textReply(404, "no such service")
	}
	host, portText, err := net.SplitHostPort(c.Host())
	port, numberErr := strconv.Atoi(portText)
	if err != nil || numberErr != nil {
		host, port = c.Host(), 80
	}
	type item struct {
		IP     string `json:"ip"`
		Port   int    `json:"port"`
		Weight int    `json:"weight"`
	}
	var answer struct {
		Endpoints struct {
			Items []item `json:"items"`
		} `json:"endpoints"`
	}
	answer.Endpoints.Items = []item{{host, port, 100}}
	return jsonReply(200, answer)
}

func (b *builtin) prometheus() *reply {
	return &reply{status: 200, contentType: expositionType, body: b.metrics.expose()}
}
