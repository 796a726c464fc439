package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/pkg/service"
)

// maxBody bounds the body of a call: a description, most of all.
const maxBody = service.MaxSize + 64<<10

// reply is the body of an answer, to which the request's id is added.
type reply map[string]any

// call is a call of the API by somebody who may.
type call struct {
	*http.Request
	body   []byte
	faults []Fault // that concern the operation itself
}

// operationTable lists what the API can do.
func (s *Server) operationTable() []struct {
	action, pattern string
	do              func(*call) (reply, *apiError)
} {
	const one = "/api/v2/services/{region}/{service}"
	return []struct {
		action, pattern string
		do              func(*call) (reply, *apiError)
	}{
		{"CreateService", "POST /api/v2/services", s.createService},
		{"ListServices", "GET /api/v2/services", s.listServices},
		{"DescribeService", "GET " + one, s.describeService},
		{"UpdateService", "PUT " + one, s.updateService},
		{"DeleteService", "DELETE " + one, s.deleteService},
		{"StartService", "PUT " + one + "/start", s.startService},
		{"StopService", "PUT " + one + "/stop", s.stopService},
		{"RestartService", "PUT " + one + "/restart", s.restartService},
		{"ScaleService", "PUT " + one + "/scale", s.scaleService},
		{"ReleaseService", "PUT " + one + "/release", s.releaseService},
		{"UpdateServiceVersion", "PUT " + one + "/version", s.updateServiceVersion},
		{"ListServiceVersions", "GET " + one + "/versions", s.listServiceVersions},
		{"ListServiceInstances", "GET " + one + "/instances", s.listServiceInstances},
		{"DeleteServiceInstances", "DELETE " + one + "/instances", s.deleteServiceInstances},
		{"DescribeServiceLog", "GET " + one + "/logs", s.describeServiceLog},
		{"DescribeServiceEvent", "GET " + one + "/events", s.describeServiceEvent},
		{"CreateServiceAutoScaler", "POST " + one + "/autoscaler", s.createAutoScaler},
		{"UpdateServiceAutoScaler", "PUT " + one + "/autoscaler", s.updateAutoScaler},
		{"DescribeServiceAutoScaler", "GET " + one + "/autoscaler", s.describeAutoScaler},
		{"DeleteServiceAutoScaler", "DELETE " + one + "/autoscaler", s.deleteAutoScaler},
		{"UpdateServiceSafetyLock", "PUT " + one + "/lock", s.updateSafetyLock},
		{"UpdateServiceLabel", "PUT " + one + "/label", s.updateLabel},
		{"DeleteServiceLabel", "DELETE " + one + "/label", s.deleteLabel},
		{"DescribeServiceEndpoints", "GET " + one + "/endpoints", s.describeEndpoints},
		{"ListGroups", "GET /api/v2/groups", s.listGroups},
		{"DescribeGroup", "GET /api/v2/groups/{region}/{group}", s.describeGroup},
		{"DescribeGroupEndpoints", "GET /api/v2/groups/{region}/{group}/endpoints", s.describeGroupEndpoints},
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, op := range s.operationTable() {
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { s.serveCall(w, r, op.action, op.do) })
	}
	if s.opts.Faults {
		mux.HandleFunc("POST /faults", s.injectOverHTTP)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serveCall(w, r, r.Header.Get("x-acs-action"), func(*call) (reply, *apiError) {
			return nil, refuse(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
		})
	})
	return mux
}

// serveCall serves one call: who is it, may it come now, is it to fail, and then
// what it asks for.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, action string, do func(*call) (reply, *apiError)) {
	id := requestID()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answerError(w, id, refuse(http.StatusRequestEntityTooLarge, "InvalidParameter", "The body is larger than %d bytes.", maxBody))
		return
	}
	key, refused := s.verifier.verify(r, body)
	if refused == nil {
		refused = s.limiter.allow(key, s.clock.Now())
	}
	if refused == nil && r.Header.Get("x-acs-action") != action {
		refused = refuse(http.StatusNotFound, "InvalidAction.NotFound", "Specified action %q is not that of the address.", r.Header.Get("x-acs-action"))
	}
	if region := r.PathValue("region"); refused == nil && region != "" && region != s.opts.Region {
		refused = refuse(http.StatusBadRequest, "InvalidRegionId", "Specified region [%s] is not that of the endpoint [%s].", region, s.opts.Region)
	}
	if refused != nil {
		s.answerError(w, id, refused)
		return
	}
	c := &call{Request: r, body: body}
	f, faulty := s.faults.take(action)
	if faulty {
		switch f.Kind {
		case InternalError:
			s.answerError(w, id, internalError())
			return
		case Unavailable:
			s.answerError(w, id, refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."))
			return
		case Throttled:
			s.answerError(w, id, throttled())
			return
		case ResetBefore:
			reset(w)
			return
		case Slow:
			if s.clock.Sleep(r.Context(), f.Delay) != nil {
				return
			}
		case CreateFails:
			c.faults = append(c.faults, f)
		}
	}
	result, refused := do(c)
	switch {
	case faulty && f.Kind == ResetAfter:
		reset(w)
	case faulty && f.Kind == FailedAfter:
		s.answerError(w, id, internalError())
	case refused != nil:
		s.answerError(w, id, refused)
	default:
		result["RequestId"] = id
		answer(w, http.StatusOK, result)
	}
}

func internalError() *apiError {
	return refuse(http.StatusInternalServerError, "InternalError", "The request processing has failed due to some unknown error.")
}

func (s *Server) answerError(w http.ResponseWriter, id string, e *apiError) {
	answer(w, e.status, map[string]any{
		"RequestId": id,
		"HostId":    s.apiAddr,
		"Code":      e.code,
		"Message":   e.message,
		"Recommend": "https://api.aliyun.com/troubleshoot?q=" + e.code + "&product=eas&requestId=" + id,
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	w.Write(data)
}

func requestID() string {
	var b [16]byte
	rand.Read(b[:])
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

func upper(s string) string { return strings.ToUpper(s) }

// service finds the service that a call is about. The caller holds the lock.
func (s *Server) service(c *call) (*deployed, *apiError) {
	name := c.PathValue("service")
	d, ok := s.services[name]
	if !ok {
		return nil, s.notFound(name)
	}
	return d, nil
}

// decode reads the body of a call.
func (c *call) decode(into any) *apiError {
	if err := json.Unmarshal(c.body, into); err != nil {
		return invalid("The body is not valid: %s", err)
	}
	return nil
}

// query returns a parameter. The reference writes them in one case, clients in
// another: the case does not matter.
func (c *call) query(name string) string {
	for key, values := range c.URL.Query() {
		if strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

// page is a part of a list.
type page struct{ number, size int }

func (c *call) page(numberName string, size int) (page, *apiError) {
	p := page{1, size}
	for name, value := range map[string]*int{numberName: &p.number, "PageSize": &p.size} {
		text := c.query(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, invalid("%s must be a number from 1 on, and is %q", name, text)
		}
		*value = n
	}
	p.size = min(p.size, maxPage)
	return p, nil
}

const maxPage = 1000

// of returns the part of a list.
func of[T any](p page, list []T) []T {
	from := min(len(list), (p.number-1)*p.size)
	return append([]T{}, list[from:min(len(list), from+p.size)]...)
}

func (p page) count(total int) int { return (total + p.size - 1) / p.size }

// number is a number that may come as text.
type number int

func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(data), `"`))
	if err != nil {
		return errors.New("a whole number is needed, not " + string(data))
	}
	*n = number(v)
	return nil
}

// stillOpen says why nothing may be changed any more.
func (s *Server) stillOpen() *apiError {
	if s.closed || errors.Is(s.ctx.Err(), context.Canceled) {
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "The control plane is ending.")
	}
	return nil
}
