package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// logLines is how many of the last lines of a log tell why something failed.
const logLines = 50

// Failure is a service that did not get to where it was to be. Its kind is
// Processor where the processor is to blame, otherwise Remote.
type Failure struct {
	Name     string
	Goal     Goal
	Service  *Service      // as it was seen last; nil if it never was
	TimedOut time.Duration // how long it was waited for; 0: it cannot get there

	// What Diagnose finds.
	Events   []Event   // the warnings, or the last events where there are none
	Instance *Instance // the one that is worst off; nil if there is none
	Log      []string  // its last lines
	Cause    *Cause    // nil if it is none of the known ones

	before map[Event]bool // what had happened before the change that failed
}

// Error says what is wrong, in one line.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s ", f.Name)
	switch {
	case f.TimedOut > 0:
		fmt.Fprintf(&b, "%s after %s", f.unmet(), f.TimedOut)
	case f.Goal == ToDelete:
		b.WriteString("was not deleted")
	case f.Goal == ToStop:
		b.WriteString("did not stop")
	case f.Service != nil && f.Service.Status == Stopped:
		b.WriteString("is stopped")
	default:
		b.WriteString("failed")
	}
	if f.Cause != nil {
		b.WriteString(": " + f.Cause.Text)
	}
	if s := f.Service; s != nil && (f.Cause == nil || !f.Cause.whole) {
		if said := s.said(); said != "" {
			fmt.Fprintf(&b, ": %s", said)
		}
	}
	return b.String()
}

func (f *Failure) unmet() string {
	switch f.Goal {
	case ToStop:
		return "has not stopped"
	case ToDelete:
		return "is not gone"
	}
	return "does not run"
}

// said is what the other side says about a service's state.
func (s *Service) said() string {
	var parts []string
	for _, part := range []string{s.Reason, s.Message} {
		if part != "" && !slices.ContainsFunc(parts, func(p string) bool { return strings.EqualFold(p, part) }) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the failure its kind and a way out.
func (f *Failure) Unwrap() error {
	kind, hint := fault.Remote, fmt.Sprintf("`eascmd events %s` and `eascmd log %s` tell more", f.Name, f.Name)
	if f.TimedOut > 0 {
		kind = fault.Failed
		hint = fmt.Sprintf("it goes on; `eascmd desc %s` shows how it stands, and --timeout waits longer", f.Name)
	}
	if f.Cause != nil {
		kind, hint = f.Cause.Kind, f.Cause.Hint
	}
	return fault.New(kind, "%s", f.Error()).WithHint("%s", hint)
}

// Lines is what was found, for people: the events, how the worst instance
// ended, and its last lines.
func (f *Failure) Lines() []string {
	var lines []string
	if len(f.Events) > 0 {
		lines = append(lines, "events:")
		for _, e := range f.Events {
			lines = append(lines, fmt.Sprintf("  %s  %s  %s", e.Time.Local().Format(time.DateTime), e.Reason, e.Message))
		}
	}
	if f.Instance != nil {
		lines = append(lines, fmt.Sprintf("instance %s: %s", f.Instance.Name, f.Instance.words()))
	}
	switch n := len(f.Log); n {
	case 0:
	case 1:
		lines = append(lines, "last line of its log:")
	default:
		lines = append(lines, fmt.Sprintf("last %d lines of its log:", n))
	}
	for _, line := range f.Log {
		lines = append(lines, "  "+line)
	}
	return lines
}

// words says how an instance is and how its last life ended.
func (i *Instance) words() string {
	text := fmt.Sprintf("%s, %d of %d processes ready", i.Status, i.ReadyProcesses, i.TotalProcesses)
	if i.Reason != "" {
		text += ", " + i.Reason
	}
	switch {
	case i.Restarts == 1:
		text += ", restarted once"
	case i.Restarts > 1:
		text += fmt.Sprintf(", restarted %d times", i.Restarts)
	}
	if i.Last != nil {
		text += "; before that: " + i.Last.Words()
	}
	return text
}

// Words says how a process ended.
func (l *LastState) Words() string {
	message := strings.Join(strings.Fields(l.Message), " ")
	switch {
	case message == "":
		return ending(l)
	case isOOM(l):
		return ending(l) + ": " + message
	}
	// It knows more than an exit status tells.
	return fmt.Sprintf("exit status %d: %s", l.ExitCode, message)
}

func ending(l *LastState) string {
	if isOOM(l) {
		return "it needed more memory than it has (OOMKilled)"
	}
	if signal := signalOf(l.ExitCode); signal != "" {
		return fmt.Sprintf("exit status %d: ended by %s", l.ExitCode, signal)
	}
	switch l.ExitCode {
	case 0:
		return "it ended by itself with exit status 0; a service has to go on"
	case 126:
		return "exit status 126: the program cannot be run"
	case 127:
		return "exit status 127: the program is not there"
	}
	return fmt.Sprintf("it ended with exit status %d", l.ExitCode)
}

func isOOM(l *LastState) bool { return l != nil && strings.EqualFold(l.Reason, "OOMKilled") }

// signalOf names the signal behind an exit status, as shells (128+n) and the
// platform (256-n) report it.
func signalOf(status int) string {
	number := status
	switch {
	case status > 128 && status <= 128+31:
		number -= 128
	case status >= 256-31 && status < 256:
		number = 256 - status
	default:
		return ""
	}
	switch number {
	case 4:
		return "SIGILL, an instruction that this CPU does not have, or a place that is never to be reached"
	case 6:
		return "SIGABRT, which a program sends itself when something is badly wrong"
	case 7:
		return "SIGBUS, a bad access to memory"
	case 8:
		return "SIGFPE, such as a division by zero"
	case 9:
		return "SIGKILL, often for want of memory"
	case 11:
		return "SIGSEGV, a bad access to memory"
	case 15:
		return "SIGTERM, a request to end"
	}
	return fmt.Sprintf("signal %d", number)
}

// Diagnose finds out why a service failed: it asks for its events, its
// instances and the last lines of the worst one, and completes the failure.
// What cannot be had is left out.
func Diagnose(ctx context.Context, target Target, f *Failure) *Failure {
	diagnosed := *f
	f = &diagnosed
	if s, err := target.Describe(ctx, f.Name); err == nil {
		f.Service = s
	}
	if events, _, err := target.Events(ctx, f.Name, EventsRequest{}); err == nil {
		f.Events = worstEvents(slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return f.before[keyOf(e)] }))
	}
	if instances, _, err := target.Instances(ctx, f.Name); err == nil {
		f.Instance = worst(instances)
	}
	f.Log = lastLines(ctx, target, f.Name, f.Instance)
	f.Cause = causeOf(f)
	return f
}

// worstEvents returns the last warnings, or the last events where there are
// none. Of those that say the same it returns the last one.
func worstEvents(events []Event) []Event {
	const most = 10
	last := map[string]int{}
	for i, e := range events {
		last[e.Message] = i
	}
	var warnings []Event
	for i, e := range events {
		if strings.EqualFold(e.Type, "Warning") && last[e.Message] == i {
			warnings = append(warnings, e)
		}
	}
	if len(warnings) == 0 {
		warnings = slices.Clone(events)
	}
	return warnings[max(0, len(warnings)-most):]
}

// worst returns the instance that tells most: one that was killed for want of
// memory, then the one that ended most often, then one that is not ready.
func worst(instances []Instance) *Instance {
	if len(instances) == 0 {
		return nil
	}
	badness := func(i Instance) int {
		n := min(i.Restarts, 1000)
		if i.ReadyProcesses < i.TotalProcesses || i.TotalProcesses == 0 {
			n += 10_000
		}
		if i.Last != nil {
			n += 100_000
		}
		if isOOM(i.Last) {
			n += 1_000_000
		}
		return n
	}
	// Of equal ones the first, so that it is always the same.
	w := slices.MaxFunc(instances, func(a, b Instance) int { return badness(a) - badness(b) })
	return &w
}

// lastLines returns the end of an instance's log: of its last life where that
// has ended and has one, since that is where the reason is.
func lastLines(ctx context.Context, target Target, name string, i *Instance) []string {
	request := LogsRequest{Tail: logLines}
	var attempts []LogsRequest
	if i != nil {
		request.Instance = i.Name
		if i.Last != nil {
			before := request
			before.Previous = true
			attempts = append(attempts, before)
		}
	}
	attempts = append(attempts, request)
	for _, request := range attempts {
		lines, _, err := target.Logs(ctx, name, request)
		if err == nil && len(lines) > 0 {
			return lines[max(0, len(lines)-logLines):]
		}
	}
	return nil
}
