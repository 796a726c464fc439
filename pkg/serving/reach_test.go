package serving

import (
	"net"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// onStdin and overTCP are how a host of a JVM is told of the gateway, and how an
// old one reaches it.
func onStdin(p *runplan.Plan, _ *timings) {
	p.Worker.VariablesOnStdin = true
	p.Worker.Env = append(p.Worker.Env, runplan.Env{Name: "EASCMD_WORKER_KEY", Value: "x"})
}

func overTCP(p *runplan.Plan, t *timings) {
	onStdin(p, t)
	p.Worker.TCP = true
}

func TestWorkerIsToldOnStdin(t *testing.T) {
	for name, how := range map[string]setting{"unix": onStdin, "tcp": overTCP} {
		t.Run(name, func(t *testing.T) {
			s := ready(t, how)
			for _, variable := range []string{"SOCKET", "ID", "KEY"} {
				if got := s.post("env EASCMD_WORKER_" + variable).body; got != "" {
					t.Errorf("the processor sees EASCMD_WORKER_%s: %q", variable, got)
				}
			}
			if got := s.post("env EASCMD_CRASH_FD").body; got != "" {
				t.Errorf("there is a descriptor %q for crashes", got)
			}
			long := strings.Repeat("x", 3<<20)
			if a := s.post("echo " + long); a.status != 200 || !strings.HasSuffix(a.body, long) {
				t.Errorf("a long body: %d, %d bytes", a.status, len(a.body))
			}
			if a := s.post("die 1"); a.status != 500 {
				t.Errorf("%+v", a)
			}
			s.waitType(event.Restarted)
			if a := s.post("echo again"); a.status != 200 {
				t.Errorf("after a restart: %+v", a)
			}
		})
	}
}

// A port of this machine is open to everybody on it.
func TestStrangersOnTheWorkersPort(t *testing.T) {
	s := ready(t, overTCP)
	address := s.post("gateway").body
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}

	guess := dial()
	var hello []byte
	for _, pair := range [][2]string{{"protocol.min", "1"}, {"protocol.max", "1"}, {"key", "a guess"}} {
		hello, _ = wire.AppendProperty(hello, pair[0], pair[1])
	}
	guess.Write(wire.AppendFrame(nil, wire.Header{Type: wire.Hello}, hello))
	s.wait("refusal", func(e event.Event) bool {
		return e.Type == event.Warning && strings.Contains(e.Message, "a key that no worker was given")
	})

	// Those who say nothing leave room for a worker.
	for range maxGreeting + 10 {
		dial()
	}
	if a := s.post("die 1"); a.status != 500 {
		t.Errorf("%+v", a)
	}
	s.waitType(event.Restarted)
	if a := s.post("echo x"); a.status != 200 || !strings.Contains(a.body, "x") {
		t.Errorf("%+v", a)
	}
}
