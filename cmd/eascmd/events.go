package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/ui"
)

// tell shows an event of a running service to people. The end of a run that
// failed is left to whoever reports the error.
func (a *app) tell(e event.Event) {
	switch e.Type {
	case event.Checked:
		a.term.OK("Checked processor [%s]", ui.Printable(e.Message))
	case event.Listening:
		a.term.Debug("listening on %s", e.Address)
	case event.Hosted:
		// Which Python it is decides what can be imported; the hosts of other
		// languages are all ours.
		if strings.HasPrefix(e.Message, "python ") {
			a.term.OK("Worker %d runs in %s", e.Worker, ui.Printable(shortHost(e.Message)))
		} else {
			a.term.Debug("worker %d runs in %s", e.Worker, ui.Printable(e.Message))
		}
	case event.Loading:
		a.term.Info("worker %d is still loading the model, since %s", e.Worker, shortDuration(e.ElapsedMS))
	case event.Ready:
		a.term.OK("Service is ready after %s", shortDuration(e.ElapsedMS))
	case event.WarmedUp:
		a.term.OK("Worker %d: %s in %s", e.Worker, e.Message, shortDuration(e.ElapsedMS))
	case event.Log:
		if e.Worker == 0 { // of the image, before there is a worker
			a.term.Info("%s", ui.Printable(e.Message))
			break
		}
		a.term.Info("%s [worker %d] %s", stamp(e), e.Worker, ui.Printable(e.Message))
	case event.Access:
		a.term.Info("%s %s", stamp(e), ui.Printable(e.Message))
	case event.WorkerExit:
		a.term.Warn("%s", ui.Printable(e.Message))
	case event.Restarting:
		if e.ElapsedMS > 0 {
			a.term.Info("worker %d is started again in %s", e.Worker, shortDuration(e.ElapsedMS))
		} else {
			a.term.Info("worker %d is started again", e.Worker)
		}
	case event.Restarted:
		a.term.OK("Worker %d is ready again after %s", e.Worker, shortDuration(e.ElapsedMS))
	case event.Warning:
		a.term.Warn("%s", ui.Printable(e.Message))
		if e.Hint != "" {
			a.term.Hint("%s", ui.Printable(e.Hint))
		}
	case event.Draining:
		a.term.Info("draining: no new requests are taken, those in flight are answered")
	case event.Stopped:
		a.term.OK("Service is stopped")
	}
}

// shortHost says once what a Python's host says twice: where the interpreter lies
// in its own prefix, its path begins with it.
func shortHost(host string) string {
	version, paths, ok := strings.Cut(host, " (")
	at := strings.LastIndex(paths, ", prefix ")
	if !ok || at < 0 {
		return host
	}
	executable, prefix := paths[:at], strings.TrimSuffix(paths[at+len(", prefix "):], ")")
	inside, ok := strings.CutPrefix(executable, strings.TrimRight(prefix, `/\`))
	if !ok || len(inside) < 2 || !strings.ContainsRune(`/\`, rune(inside[0])) {
		return host
	}
	return fmt.Sprintf("%s (%s in the prefix %s)", version, inside[1:], prefix)
}

// tellServed returns what shows the events of a service that runs in the
// foreground: as tell does, and where the service is reached.
func (a *app) tellServed(service string) func(event.Event) {
	var address string
	return func(e event.Event) {
		switch e.Type {
		case event.Listening:
			address = e.Address
			a.term.OK("Listening on http://%s", address)
		case event.Ready:
			a.tell(e)
			a.term.OK("Serving at: [%s]", localtest.PredictURL("http://"+callable(address), service))
		default:
			a.tell(e)
		}
	}
}

// callable turns an address that is listened on into one that can be called
// from here.
func callable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "127.0.0.1" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// stamp is how the original begins each line of a processor's output.
func stamp(e event.Event) string {
	return "[" + e.Time.Local().Format(time.DateTime) + "]"
}

// shortDuration writes milliseconds as people say them.
func shortDuration(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
