package localtest

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

func TestCheckPort(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Logf("missing: address %s (%v)", host, err)
			continue
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		err = CheckPort(host, port)
		want := fmt.Sprintf("port %d is taken by another program", port)
		if runtime.GOOS == "linux" {
			name, err := os.ReadFile("/proc/self/comm")
			if err != nil {
				t.Fatal(err)
			}
			want = fmt.Sprintf("port %d is taken by process %d (%s)", port, os.Getpid(), strings.TrimSpace(string(name)))
		}
		if err == nil || err.Error() != want || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, want %s", host, err, want)
		}
		l.Close()
		if err := CheckPort(host, port); err != nil {
			t.Errorf("%s: a free port: %v", host, err)
		}
	}
	if err := CheckPort("127.0.0.1", 0); err != nil {
		t.Errorf("any port: %v", err)
	}
	for _, tt := range []struct {
		host string
		port int
	}{{"192.0.2.1", 8080}, {"192.0.2.1", 0}, {"foo.invalid", 0}} {
		err := CheckPort(tt.host, tt.port)
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(err.Error(), "--host "+tt.host+": ") ||
			strings.Contains(err.Error(), "listen tcp") || !strings.Contains(fault.HintOf(err), "address of this machine") {
			t.Errorf("an address of another machine: %v", err)
		}
	}
}
