//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one line of the table.
type row struct {
	what, goal, measured, peer, ratio string
	verdict                           verdict
}

// The goals.
const (
	throughputGoal  = 0.5   // of nginx
	latencyGoal     = 1.0   // ms more than nginx
	firstAnswerGoal = 60.0  // ms
	helpGoal        = 20.0  // ms
	containerGoal   = 300.0 // ms more than docker run
	sizeGoal        = 30e6  // bytes
)

const noGoal = "–"

// missing says in place of a measurement what it needs.
func (f *figures) missing(needs ...string) string {
	var lacking []string
	for _, n := range needs {
		if slices.Contains(f.Missing, n) {
			lacking = append(lacking, n)
		}
	}
	if len(lacking) == 0 {
		return "not measured: it failed"
	}
	return "not measured: needs " + strings.Join(lacking, " and ")
}

// rows are the lines of a part's table.
func (f *figures) rows(part string) []row {
	switch part {
	case partPython:
		return f.pythonRows()
	case partJava:
		return f.javaRows()
	case partPack:
		return f.packRows()
	case partUpload:
		return f.uploadRows()
	}
	return slices.Concat(f.throughputRows(), f.instructionRows(), f.latencyRows(), f.startRows(), f.containerRows(), f.memoryRows())
}

func (f *figures) throughputRows() []row {
	speed := row{what: "C++ echo, 5 worker threads", goal: fmt.Sprintf("≥ %.1f × nginx", throughputGoal)}
	threads := row{what: "C++ echo, 1 worker thread", goal: noGoal}
	cpu := row{what: "requests per CPU-second", goal: noGoal}
	t := f.Throughput
	if t == nil {
		speed.measured = f.missing("wrk")
		threads.measured, cpu.measured = speed.measured, speed.measured
		return []row{speed, threads, cpu}
	}
	five, one := column(t.Five, perSecond), column(t.One, perSecond)
	speed.measured = count(median(five)) + " req/s"
	threads.measured = count(median(one)) + " req/s"
	threads.peer = "5 threads: " + count(median(five))
	threads.ratio = times(median(ratios(one, five)))
	cpu.measured = count(median(column(t.Five, perCPUSecond)))
	if len(t.Nginx) == 0 {
		speed.peer = f.missing("nginx")
		return []row{speed, threads, cpu}
	}
	nginx := column(t.Nginx, perSecond)
	ratio := median(ratios(five, nginx))
	speed.peer = "nginx: " + count(median(nginx))
	speed.ratio = times(ratio)
	speed.verdict = judge(ratio >= throughputGoal)
	cpu.peer = "nginx: " + count(median(column(t.Nginx, perCPUSecond)))
	cpu.ratio = times(median(ratios(column(t.Five, perCPUSecond), column(t.Nginx, perCPUSecond))))
	return []row{speed, threads, cpu}
}

func (f *figures) instructionRows() []row {
	gateway := row{what: "instructions per request, gateway", goal: noGoal}
	host := row{what: "instructions per request, host", goal: noGoal}
	i := f.Instructions
	if i == nil {
		gateway.measured = f.missing("valgrind")
		host.measured = gateway.measured
		return []row{gateway, host}
	}
	gateway.measured, host.measured = count(i.Gateway), count(i.Host)
	if i.Nginx > 0 {
		gateway.peer, gateway.ratio = "nginx: "+count(i.Nginx), times(i.Gateway/i.Nginx)
		host.peer, host.ratio = "nginx: "+count(i.Nginx), times(i.Host/i.Nginx)
	}
	return []row{gateway, host}
}

func (f *figures) latencyRows() []row {
	l := f.Latency
	if l == nil {
		text := f.missing("wrk", "nginx")
		return []row{
			{what: "p50 at half load", goal: noGoal, measured: text},
			{what: "p99 at half load", goal: latencyGoalText, measured: text},
		}
	}
	load := fmt.Sprintf(" at half load (%s req/s)", count(l.RequestsPerSecond))
	half := l.row("p50"+load, "nginx", p50s)
	most := l.row("p99"+load, "nginx", p99s)
	most.goal = latencyGoalText
	most.verdict = judgeDifference(p99s(l.Eascmd), p99s(l.Peer), latencyGoal)
	return []row{half, most}
}

// row compares one value of all runs with the peer's.
func (l *latency) row(what, peer string, value func([]latencyRun) []float64) row {
	deviating := func(values []float64) string {
		return fmt.Sprintf("%.2f ± %.2f ms", median(values), spread(values)/2)
	}
	ours, theirs := value(l.Eascmd), value(l.Peer)
	return row{
		what: what, goal: noGoal,
		measured: deviating(ours), peer: peer + ": " + deviating(theirs),
		ratio: fmt.Sprintf("%+.2f ms", median(ours)-median(theirs)),
	}
}

const latencyGoalText = "≤ nginx + 1 ms"

func (f *figures) startRows() []row {
	answer := row{what: "first answer, process engine, C++", goal: fmt.Sprintf("≤ %.0f ms", firstAnswerGoal)}
	help := row{what: "`eascmd --help`", goal: fmt.Sprintf("≤ %.0f ms", helpGoal)}
	size := row{
		what: "program size", goal: fmt.Sprintf("≤ %.0f MB", sizeGoal/1e6),
		measured: megabytes(f.ProgramBytes), verdict: judge(float64(f.ProgramBytes) <= sizeGoal),
	}
	s := f.Starts
	if s == nil {
		answer.measured = f.missing()
		help.measured = answer.measured
		return []row{answer, help, size}
	}
	peer := "an empty C program: " + ms(median(s.Empty))
	answer.measured, answer.peer = ms(median(s.FirstAnswer)), peer
	answer.verdict = judge(median(s.FirstAnswer) <= firstAnswerGoal)
	help.measured, help.peer = ms(median(s.Help)), peer
	help.verdict = judge(median(s.Help) <= helpGoal)
	return []row{answer, help, size}
}

func (f *figures) containerRows() []row {
	answer := row{what: "first answer, Docker engine, C++", goal: containerGoalText}
	published := row{what: "C++ echo in a container, published port", goal: noGoal}
	address := row{what: "C++ echo in a container, its own address", goal: noGoal}
	c := f.InContainer
	if c == nil {
		answer.measured = f.missing(dockerEngine, serviceImage)
		published.measured = f.missing(dockerEngine, serviceImage, "wrk")
		address.measured = published.measured
		return []row{answer, published, address}
	}
	answer = c.row(f, answer.what)
	process := column(c.Process, perSecond)
	for _, r := range []struct {
		row   *row
		turns []turn
	}{{&published, c.Published}, {&address, c.Address}} {
		if len(r.turns) == 0 {
			r.row.measured = f.missing("wrk")
			continue
		}
		speed := column(r.turns, perSecond)
		r.row.measured, r.row.peer = count(median(speed))+" req/s", "process engine: "+count(median(process))
		r.row.ratio = times(median(ratios(speed, process)))
	}
	return []row{answer, published, address}
}

var containerGoalText = fmt.Sprintf("≤ docker run + %.0f ms", containerGoal)

// row compares the service's first answer with an empty program.
func (s *containerStarts) row(f *figures, what string) row {
	r := row{what: what, goal: containerGoalText}
	if len(s.FirstAnswer) == 0 {
		r.measured = f.missing()
		return r
	}
	ours, peer := median(s.FirstAnswer), median(s.DockerRun)
	r.measured, r.peer = ms(ours), "docker run of an empty program: "+ms(peer)
	r.ratio = fmt.Sprintf("%+.2f ms", ours-peer)
	r.verdict = judgeDifference(s.FirstAnswer, s.DockerRun, containerGoal)
	return r
}

func (f *figures) memoryRows() []row {
	m := f.Memory
	if m == nil {
		return []row{{what: "memory of gateway + host", goal: noGoal, measured: f.missing("wrk")}}
	}
	line := func(what string, ours, nginx resident) row {
		r := row{what: what, goal: noGoal, measured: megabytes(ours.Front) + " + " + megabytes(ours.Host)}
		if nginx.Front > 0 {
			r.peer = "nginx: " + megabytes(nginx.Front)
		}
		return r
	}
	return []row{
		line("memory of gateway + host, at rest", m.Rest, m.NginxRest),
		line("memory of gateway + host, after the load", m.Loaded, m.NginxAfter),
	}
}

// count writes a number with three significant digits and groups of thousands.
func count(n float64) string {
	if n >= 1000 {
		unit := math.Pow(10, math.Floor(math.Log10(n))-2)
		n = math.Round(n/unit) * unit
	}
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func times(ratio float64) string     { return fmt.Sprintf("%.2f ×", ratio) }
func ms(milliseconds float64) string { return fmt.Sprintf("%.2f ms", milliseconds) }
func megabytes(n int64) string       { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

var header = []string{"what", "goal", "eascmd", "peer", "ratio", "verdict"}

func (r row) cells() []string {
	return []string{r.what, r.goal, r.measured, r.peer, r.ratio, string(r.verdict)}
}

// writeTable prints the rows for people.
func writeTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.ReplaceAll(strings.Join(r.cells(), "\t"), "`", ""))
	}
	return t.Flush()
}

// versions are those of the programs that a part is measured with.
func (f *figures) versions(part string) map[string]string {
	var known map[string]string
	switch {
	case part == partPython && f.Python != nil:
		known = maps.Clone(f.Python.Versions)
	case part == partJava && f.Java != nil:
		known = maps.Clone(f.Java.Versions)
	case part == partPack && f.Packing != nil:
		known = maps.Clone(f.Packing.Versions)
	case part == partUpload && f.Uploads != nil:
		known = maps.Clone(f.Uploads.Versions)
	case part == partCPP:
		return f.Machine.Versions
	}
	if known == nil {
		known = make(map[string]string)
	}
	for _, name := range [...]string{"go", "wrk"} {
		if v := f.Machine.Versions[name]; v != "" && (name != "wrk" || part != partPack && part != partUpload) {
			known[name] = v
		}
	}
	return known
}

// markdown is the section of docs/performance.md that is written from the
// figures of a part.
func (f *figures) markdown(part string) string {
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			if i > 0 {
				b.WriteString(" ")
			}
			// A pipe of a command's is none between cells.
			fmt.Fprintf(&b, "| %s", strings.ReplaceAll(cell, "|", `\|`))
		}
		b.WriteString(" |\n")
	}
	line(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, r := range f.rows(part) {
		line(r.cells())
	}
	m := f.Machine
	known := f.versions(part)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		versions = append(versions, name+" "+known[name])
	}
	fmt.Fprintf(&b, "\nMeasured on %s: %d cores (%s), %.0f GB of memory, %s, Linux %s; %s. Before the run others used %.0f %% of the processors.\n",
		f.Date.Format("2006-01-02"), m.Cores, m.CPU, float64(m.Memory)/1e9, m.System, m.Kernel, strings.Join(versions, ", "), 100*m.Busy)
	return b.String()
}

const figuresEnd = "<!-- end of figures -->\n"

func figuresBegin(part string) string {
	return "<!-- figures of " + part + ": written by make bench -->\n"
}

// replaceFigures puts text between the marks of a part on a page.
func replaceFigures(page, part, text string) (string, error) {
	begin := figuresBegin(part)
	before, rest, ok := strings.Cut(page, begin)
	_, after, found := strings.Cut(rest, figuresEnd)
	if !ok || !found {
		return "", errors.New("it has no place for the figures: " + strings.TrimSpace(begin) + " and " + strings.TrimSpace(figuresEnd))
	}
	return before + begin + "\n" + text + "\n" + figuresEnd + after, nil
}
