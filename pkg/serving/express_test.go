package serving

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/runplan"
)

// withoutExpress has every connection go to the server at once.
func withoutExpress(p *runplan.Plan, _ *timings) { p.Gateway.AccessLog = true }

func limited(p *runplan.Plan, _ *timings) { p.Gateway.BodyLimit = 4 << 10 }

const last = "Connection: close\r\n"

func rawPost(body, headers string) string {
	return fmt.Sprintf("POST /x HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
}

func withToken(p *runplan.Plan, _ *timings) { p.Gateway.Token = "secret" }

// conversations are what clients say on one connection. The last request of
// each ends it, or is not whole.
var conversations = map[string]string{
	"one":                      rawPost("hello", last),
	"three at once":            rawPost("a", "") + rawPost("b", "") + rawPost("c", last),
	"many at once":             strings.Repeat(rawPost("again", ""), 50) + rawPost("and out", last),
	"empty":                    rawPost("", "") + rawPost("", last),
	"a GET between":            rawPost("a", "") + "GET /api/predict/test HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n" + rawPost("b", last),
	"a GET with a body":        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 3\r\n\r\nabc" + rawPost("b", last),
	"HEAD":                     "HEAD / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n" + rawPost("b", last),
	"PUT":                      strings.Replace(rawPost("put", last), "POST", "PUT", 1),
	"a builtin":                "POST /api/builtin/ping HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" + rawPost("b", last),
	"no token":                 "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"Bearer":                   "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"another service":          "POST /api/predict/other HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"this service":             "POST /api/predict/test/sub?a=b HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"absolute":                 "POST http://h/x HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"chunked":                  "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + rawPost("b", last),
	"chunked and a length":     "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"two lengths":              "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"a length with a sign":     "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: +3\r\n\r\nabc",
	"no length":                "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n",
	"HTTP/1.0":                 strings.Replace(rawPost("old", ""), "HTTP/1.1", "HTTP/1.0", 1),
	"HTTP/1.0 that goes on":    strings.Replace(rawPost("old", "Connection: keep-alive\r\n"), "HTTP/1.1", "HTTP/1.0", 1) + rawPost("b", last),
	"HTTP/2.0":                 strings.Replace(rawPost("new", ""), "HTTP/1.1", "HTTP/2.0", 1),
	"no host":                  "POST / HTTP/1.1\r\nAuthorization: secret\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"a bad host":               "POST / HTTP/1.1\r\nHost: a b[\r\nAuthorization: secret\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"a bad target":             "POST /a\x01b HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"no slash":                 "POST x HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"a bad header":             "POST / HTTP/1.1\r\nHost: h\r\nno colon\r\nContent-Length: 1\r\n\r\na",
	"a folded header":          "POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\nAuthorization: secret\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"a space before the colon": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\na",
	"line feeds only":          strings.ReplaceAll(rawPost("lf", last), "\r\n", "\n"),
	"mixed line ends":          "POST / HTTP/1.1\nHost: h\r\nAuthorization: secret\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"empty lines first":        "\r\n\r\n" + rawPost("x", last),
	"nonsense":                 "nonsense\r\n\r\n",
	"TLS":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"half a head":              "POST / HTTP/1.1\r\nHost: h\r\nConte",
	"half a body":              strings.TrimSuffix(rawPost("abcdef", ""), "def"),
	"a long head":              "POST / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 1\r\n\r\na",
	"a head that nearly fits":  rawPost("a", last+"X: "+strings.Repeat("x", 12<<10)+"\r\n"),
	"a long body":              rawPost(strings.Repeat("b", 100<<10), "") + rawPost("b", last),
	"the longest short body":   rawPost(strings.Repeat("b", smallBody), "") + rawPost("b", last),
	"one more byte":            rawPost(strings.Repeat("b", smallBody+1), "") + rawPost("b", last),
	"a long answer":            rawPost("big 200000", "") + rawPost("b", last),
	"long answers":             strings.Repeat(rawPost("big 40000", ""), 20) + rawPost("b", last),
	"a long last answer":       rawPost("big 3000000", last),
	"statuses":                 rawPost("status 404 none", "") + rawPost("status 500 bad", "") + rawPost("status 503 later", "") + rawPost("status 204", "") + rawPost("status 205", "") + rawPost("status 304", "") + rawPost("status 999", last),
	"an exception":             rawPost("exception oh", "") + rawPost("b", last),
	"continue":                 "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"an upgrade":               "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na" + rawPost("b", last),
	"close, in a list":         rawPost("x", "Connection: foo, close\r\n"),
	"it has more to say":       rawPost("x", last) + rawPost("y", ""),
}

var (
	date   = regexp.MustCompile(`\r\nDate: [^\r]*`)
	unread = regexp.MustCompile(`Content-Length: \d+(\r\n(?:[^\r]+\r\n)*\r\nthe request could not be )read: .*`)
)

// say sends a client's pieces and returns all that it is answered.
func (s *service) say(pieces ...string) string {
	s.t.Helper()
	conn := s.dial()
	defer conn.Close()
	all := strings.Join(pieces, "")
	whole := strings.Contains(all, last) || strings.Contains(all, "foo, close")
	go func() {
		for _, piece := range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
		}
		if !whole {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	answer, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") { // some of what it said was never read
		s.t.Errorf("%.200q: %v", all, err)
	}
	// What is said of what cannot be read depends on how much of it had come.
	return unread.ReplaceAllString(date.ReplaceAllString(string(answer), "\r\nDate: now"), "${1}read")
}

// A client cannot tell who answers it.
func TestExpressAnswersAsTheServer(t *testing.T) {
	for _, size := range []struct {
		name string
		set  setting
	}{{"any size", func(*runplan.Plan, *timings) {}}, {"small bodies only", limited}} {
		t.Run(size.name, func(t *testing.T) {
			pieces := make(map[string][]string)
			for name, text := range conversations {
				pieces[name+", at once"] = []string{text}
				pieces[name+", in two pieces"] = []string{text[:len(text)/2], text[len(text)/2:]}
				if head := strings.Index(text, "\r\n\r\n"); head > 0 {
					pieces[name+", head and body"] = []string{text[:head+4], text[head+4:]}
				}
			}
			for _, name := range []string{"three at once", "chunked", "a GET between", "half a body"} {
				pieces[name+", byte by byte"] = strings.Split(conversations[name], "")
			}
			want, counts := make(map[string]string), make(map[string]float64)
			t.Run("server", func(t *testing.T) {
				s := ready(t, withToken, size.set, withoutExpress)
				for name, text := range pieces {
					want[name] = s.say(text...)
					if want[name] == "" && !strings.HasPrefix(name, "TLS") && !strings.HasPrefix(name, "half") {
						t.Errorf("%s: the server says nothing: it is no test", name)
					}
				}
				for _, status := range []string{"200", "404"} {
					counts[status] = s.answered(status)
				}
			})
			t.Run("express", func(t *testing.T) {
				s := ready(t, withToken, size.set)
				for name, text := range pieces {
					if diff := cmp.Diff(want[name], s.say(text...)); diff != "" {
						t.Errorf("%s (-server +express):\n%s", name, diff)
					}
				}
				for status, n := range counts {
					if got := s.answered(status); got != n {
						t.Errorf("%v answers %s counted; the server has counted %v", got, status, n)
					}
				}
			})
		})
	}
}

func (s *service) answered(status string) float64 {
	s.t.Helper()
	return s.metric(`eascmd_requests_total{status="` + status + `"}`)
}

// Somebody who takes no answers holds nobody else up.
func TestExpressClientThatTakesNothing(t *testing.T) {
	s := ready(t)
	conn := s.dial()
	defer conn.Close()
	go io.WriteString(conn, strings.Repeat(rawPost("big 30000", ""), 1000)+rawPost("end", last))
	eventually(t, "it is answered", func() bool { return s.metric("eascmd_response_bytes_total") > 50000 })
	for range 100 {
		if a := s.post("x"); a.status != 200 {
			t.Fatalf("%+v", a)
		}
	}
	r := bufio.NewReader(conn)
	for i := range 1001 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		want := 30000
		if i == 1000 {
			want = len("end")
		}
		if err != nil || len(body) != want {
			t.Fatalf("answer %d: %d bytes, %v", i, len(body), err)
		}
	}
}

// A connection that has gone to the server goes on there, and those beside it
// stay where they are.
func TestExpressManyConnections(t *testing.T) {
	s := ready(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			conn := s.dial()
			defer conn.Close()
			r := bufio.NewReader(conn)
			for n := range 50 {
				body := fmt.Sprintf("%d of %d", n, i)
				text := rawPost(body, "")
				if n == i%60 {
					text = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				io.WriteString(conn, text)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != body {
					t.Errorf("%q, %v; want %q", got, err, body)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What the express has begun is ended in order when the service ends.
func TestExpressDrain(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Worker.GraceMS = int64(longEnough / time.Millisecond) })
	idler, busy := s.dial(), s.dial()
	defer idler.Close()
	defer busy.Close()
	r := bufio.NewReader(idler)
	io.WriteString(idler, rawPost("first", ""))
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	io.WriteString(busy, rawPost("sleep 300", ""))
	eventually(t, "it is at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 1 })
	s.stop()
	var answer bytes.Buffer
	if _, err := io.Copy(&answer, busy); err != nil || !strings.Contains(answer.String(), "200 OK") || !strings.Contains(answer.String(), "Connection: close") {
		t.Errorf("%q, %v; want an answer that says that it is the last", &answer, err)
	}
	if n, err := io.Copy(io.Discard, r); err != nil || n > int64(len("first")) {
		t.Errorf("the idle connection: %d bytes, %v", n, err)
	}
	<-s.done
}
