package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/store"
)

const groupClock = "Clock"

// How far a clock may be off before there is a warning, and from where on the
// cloud refuses what is signed by it.
const (
	maxOffset     = 30 * time.Second
	refusedOffset = 15 * time.Minute
)

// reachTime is how long something in the network may take to answer.
const reachTime = 2 * time.Second

// clockProbes look at the clock, by itself and next to the cloud's.
func clockProbes(m *machine, opts Options) []probe {
	return []probe{
		{group: groupClock, name: "synchronisation", run: func(context.Context) []finding {
			synchronised, known := clockSynchronised()
			switch {
			case !known:
				return nil
			case !synchronised:
				return []finding{warning("synchronisation", m.setClock(), "no time server keeps the clock right")}
			}
			return []finding{ok("synchronisation", "a time server keeps the clock right")}
		}},
		{group: groupClock, name: "offset", run: func(ctx context.Context) []finding {
			settings, err := config.Load(opts.Config)
			if err != nil {
				return nil // the configuration has lines of its own
			}
			return []finding{m.cloudOffset(ctx, "https://"+settings.Endpoint()+"/", opts.CABundle)}
		}},
	}
}

// cloudOffset compares the clock with that of a server, by the date in its
// answer, which may be any. One that cannot be reached is no fault here.
func (m *machine) cloudOffset(ctx context.Context, address, caBundle string) finding {
	const name = "offset"
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	host := address
	if u, err := url.Parse(address); err == nil {
		host = u.Host
	}
	theirs, mine, err := dateOf(ctx, address, caBundle)
	if err != nil {
		return ok(name, "not known: %s", err)
	}
	offset := mine.Sub(theirs)
	direction := "ahead of"
	if offset < 0 {
		offset, direction = -offset, "behind"
	}
	text := fmt.Sprintf("%v %s %s", offset.Round(time.Second), direction, host)
	fix := m.setClock()
	switch {
	case offset >= refusedOffset:
		return warning(name, fix, "%s, which refuses what is signed at such a time", text)
	case offset > maxOffset:
		return warning(name, fix, "%s; from %v on it refuses what is signed", text, refusedOffset)
	}
	return ok(name, "the same time as %s", host)
}

// setClock is how this machine gets the right time.
func (m *machine) setClock() string {
	switch _, err := os.Stat(m.path("/run/systemd/system")); {
	case err == nil:
		return "`" + m.sudo("timedatectl set-ntp true") + "`"
	case m.goos == "linux":
		return "run a client of a time server, such as chrony; the clock of a container or a virtual machine is its host's"
	default:
		return "have the system set the clock automatically"
	}
}

// dateOf asks a server for its time. mine is this machine's at the moment.
func dateOf(ctx context.Context, address, caBundle string) (theirs, mine time.Time, err error) {
	client, err := store.NewClient(caBundle)
	if err != nil {
		return theirs, mine, err
	}
	defer client.CloseIdleConnections()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return theirs, mine, err
	}
	begin := time.Now()
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return theirs, mine, fmt.Errorf("%s gave no answer within %v", request.URL.Host, reachTime)
		}
		return theirs, mine, fmt.Errorf("%s cannot be reached: %w", request.URL.Host, cause(err))
	}
	response.Body.Close()
	taken := time.Since(begin)
	theirs, err = http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return theirs, mine, fmt.Errorf("%s tells no time", request.URL.Host)
	}
	return theirs, begin.Add(taken / 2), nil
}

// cause takes off an error of the network what names the address once more.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	proxy := false
	for {
		op, ok := errors.AsType[*net.OpError](err)
		if !ok {
			break
		}
		proxy = proxy || op.Op == "proxyconnect"
		err = op.Err
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		err = errors.New(dns.Err)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	if proxy {
		return fmt.Errorf("the proxy: %w", err)
	}
	return err
}
