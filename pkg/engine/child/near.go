package child

import (
	"net"
	"sync"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// What an engine needs on its own side of the program that it started.

// Words keeps the last of what the program writes to its standard error: its
// own words, which explain an end that no event does.
type Words struct {
	mu   sync.Mutex
	text []byte
}

// wordsSize is enough for the traces of a program that panics.
const wordsSize = 32 << 10

func (w *Words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - wordsSize; over > 0 {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	return len(p), nil
}

func (w *Words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// Failure is the error that a Failed event tells of.
func Failure(e event.Event) *fault.Error {
	kind := fault.Kind(e.Exit)
	if kind == 0 {
		kind = fault.Failed
	}
	return &fault.Error{Kind: kind, Text: e.Message, Hint: e.Hint}
}

// Callable turns the address that a service listens on into one that can be
// called: one that stands for all addresses is no address.
func Callable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	// A socket on [::] takes calls for IPv4 too.
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
