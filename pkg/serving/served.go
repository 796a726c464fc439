package serving

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// What a worker is whose program serves HTTP itself.

// look begins to look for the socket of a program that may serve HTTP, and
// returns what ends it.
func (w *worker) look() (end func()) {
	if !w.plan.Worker.HTTP || kind(w.d.kind.Load()) == framed {
		w.frames = func() {}
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.frames = cancel
	found := make(chan *upstream, 1)
	w.found = found
	s := &search{process: w.process, ports: preferredPorts(w.env), avoid: w.address, taken: usualPortTaken(), every: w.times.looking}
	s.mute = func(at netip.AddrPort) {
		w.emit(event.Event{Type: event.Warning, Worker: w.id,
			Message: "the program listens on " + at.String() + " and does not answer GET " + builtinPrefix + "ping there: it is not taken for the service yet",
			Hint:    "any answer in HTTP will do, 404 too; a program that closes the connection without one is asked again and again"})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var u *upstream
		s.run(ctx, func(at netip.AddrPort) {
			address := at.String()
			if u != nil {
				u.address.Store(&address)
				u.transport.CloseIdleConnections()
				w.emit(event.Event{Type: event.Warning, Worker: w.id, Message: "the program listens on " + address + " too: requests go there from now on"})
				return
			}
			u = newUpstream(address, w.limits, w.process)
			if w.d.decide(served) != served {
				cancel()
				return
			}
			if w.warmUpServed(ctx, u) {
				found <- u
			}
		})
	}()
	return func() { cancel(); <-done }
}

// answersFrames settles that the program answers frames, unless the contrary
// is settled.
func (w *worker) answersFrames() bool {
	if w.d.decide(framed) != framed {
		return false
	}
	w.frames()
	return true
}

// serve makes a program available that serves HTTP itself, and returns since
// when it is.
func (w *worker) serve(u *upstream, ticker *time.Ticker) time.Time {
	ticker.Reset(w.times.ping)
	w.up = u
	select {
	case <-w.process.ending:
	default:
		w.d.joinUpstream(u)
	}
	w.becameReady(w.id, time.Since(w.started))
	return time.Now()
}

// mute reports whether the end of a worker's connection is no end of the
// worker: the program may have become another one, or have no use for it, and
// is watched by its socket.
func (w *worker) mute() bool {
	return w.plan.Worker.HTTP && kind(w.d.kind.Load()) != framed
}

// put is given the properties that the program sets.
func (w *worker) put(payload []byte) error {
	props, err := wire.Properties(payload)
	if err != nil {
		return fmt.Errorf("PROPERTIES: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if err := w.limits.put(name, props[name]); err != nil {
			w.warnOnce(err.Error())
		}
	}
	return nil
}

// warnOnce emits a warning that every start of the program would repeat.
func (s *supervisor) warnOnce(message string) {
	s.mu.Lock()
	told := s.told[message]
	s.told[message] = true
	s.mu.Unlock()
	if !told {
		s.emit(event.Event{Type: event.Warning, Message: message})
	}
}

// warmUpServed replays the service's warm-up requests to a program that serves
// HTTP itself. It reports whether the program has outlived them.
func (w *worker) warmUpServed(ctx context.Context, u *upstream) bool {
	begin, sent := time.Now(), 0
	client := &http.Client{Transport: u.transport}
	for _, path := range w.plan.Worker.WarmUp {
		body, err := os.ReadFile(path)
		if err != nil {
			w.emit(event.Event{Type: event.Warning, Worker: w.id, Message: "warm-up request was not sent: " + err.Error()})
			continue
		}
		sent++
		w.warming.Store(&path)
		status, answer, err := post(ctx, client, u, body)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			if u.ends() {
				return false
			}
			w.emit(event.Event{Type: event.Warning, Worker: w.id, Message: fmt.Sprintf("warm-up request %s was not answered: %v", path, err)})
		case status != 200:
			w.emit(event.Event{Type: event.Warning, Worker: w.id, Message: fmt.Sprintf("warm-up request %s was answered %d: %s", path, status, excerpt(answer))})
		}
	}
	w.warming.Store(nil)
	if len(w.plan.Worker.WarmUp) > 0 {
		w.emit(event.Event{Type: event.WarmedUp, Worker: w.id, ElapsedMS: time.Since(begin).Milliseconds(),
			Message: fmt.Sprintf("%d warm-up requests were replayed", sent)})
	}
	return true
}

// post sends a body to a program's root.
func post(ctx context.Context, client *http.Client, u *upstream, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+*u.address.Load()+"/", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, answer, err
}
