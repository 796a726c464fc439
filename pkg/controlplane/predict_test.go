package controlplane

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serving starts a service of one instance, whose server answers with handler.
func serving(t *testing.T, s *Server, p *puppets, handler http.Handler) (token string) {
	t.Helper()
	create(t, s, "echo", 1)
	token = becomes(t, s, "echo", "Running").text("AccessToken")
	p.up()[0].server.Config.Handler = handler
	return token
}

// A request that is under way when its instance is replaced is answered by it.
func TestRequestsInFlightAreAnswered(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	arrived, let := make(chan struct{}), make(chan struct{})
	token := serving(t, s, p, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-let
		io.WriteString(w, "from the old one")
	}))
	answer := make(chan string, 1)
	go func() {
		r, err := http.NewRequest(http.MethodPost, s.PredictEndpoint()+"/api/predict/echo", strings.NewReader("x"))
		if err != nil {
			answer <- err.Error()
			return
		}
		r.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(string(body), err)
	}()
	<-arrived
	do(t, s, 200, "UpdateService", "PUT", at("echo"), `{"model_config":"new"}`)
	becomes(t, s, "echo", "Running")
	if _, body := post(t, s, "echo", token, ""); !strings.Contains(body, " v2 ") {
		t.Errorf("a request that comes later: %s", body)
	}
	close(let)
	if got := <-answer; got != "from the old one<nil>" {
		t.Errorf("the request that was under way: %s", got)
	}
	eventually(t, "the old instance ends", func() bool { return len(p.up()) == 1 })
}

func TestStreamsPassAtOnce(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	more := make(chan struct{})
	token := serving(t, s, p, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one\n")
		http.NewResponseController(w).Flush()
		<-more
		io.WriteString(w, "two\n")
	}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.PredictEndpoint()+"/api/predict/echo/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"one\n", "two\n"} {
		if line, err := lines.ReadString('\n'); line != want || err != nil {
			t.Errorf("read %q, %v, want %q", line, err, want)
		}
		if want == "one\n" {
			close(more)
		}
	}
}

func TestProtocolsMayBeSwitched(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	token := serving(t, s, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		if line, err := buffered.ReadString('\n'); err == nil {
			io.WriteString(conn, "echo "+line)
		}
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.PredictEndpoint(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /api/predict/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: %s\r\n\r\n", token)
	back := bufio.NewReader(conn)
	resp, err := http.ReadResponse(back, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answered %v, %v", resp, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := back.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("read %q, %v", line, err)
	}
}

// An instance that is gone without a word is passed over.
func TestDeadInstanceIsPassedOver(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	create(t, s, "echo", 2)
	token := becomes(t, s, "echo", "Running").text("AccessToken")
	up := p.up()
	up[0].server.Close()
	for range 4 {
		if status, body := post(t, s, "echo", token, "x"); status != 200 || !strings.HasPrefix(body, up[1].spec.Instance) {
			t.Errorf("answered %d %q", status, body)
		}
	}
}
