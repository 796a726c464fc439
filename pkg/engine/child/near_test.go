package child

import "testing"

func TestCallable(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"[::1]:80": "[::1]:80", ":80": "127.0.0.1:80", "10.0.0.1:80": "10.0.0.1:80", "host:80": "host:80",
	} {
		if got := Callable(address); got != want {
			t.Errorf("Callable(%q) = %q, want %q", address, got, want)
		}
	}
}
