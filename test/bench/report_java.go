//go:build linux

package main

import (
	"fmt"
	"strings"
)

// The goals of Java services.
const (
	httpServerGoal      = 2.0   // of its requests
	javaFirstAnswerGoal = 350.0 // ms
)

func (f *figures) javaRows() []row {
	j := f.Java
	if j == nil {
		j = &javaFigures{}
	}
	rows := append(j.echoRows(f), j.latencyRows(f)...)
	return append(rows, j.startRow(f), j.archiveRow(f), j.containerRow(f), j.memoryRow(f))
}

func (j *javaFigures) echoRows(f *figures) []row {
	if len(j.Echo) == 0 {
		return []row{{what: "Java echo", goal: httpServerGoalText, measured: f.missing(javaProgram, "wrk")}}
	}
	var rows []row
	for _, e := range j.Echo {
		rows = append(rows, e.rows()...)
	}
	usual := &j.Echo[0]
	for _, p := range [...]javaPeer{undertow, springBoot} {
		if usual.by(p.name) == nil {
			rows = append(rows, row{what: usual.what(), goal: noGoal, measured: usual.speed(), peer: p.name + ": " + f.missing(javaPeers)})
		}
	}
	cpu := usual.against("Java echo, requests per CPU-second", usual.fasterHTTPServer(), perCPUSecond)
	return append(rows, cpu)
}

var httpServerGoalText = fmt.Sprintf("≥ %.1f × HttpServer", httpServerGoal)

func (e *javaEcho) what() string {
	return fmt.Sprintf("Java echo, %d connections", e.Connections)
}

func (e *javaEcho) speed() string {
	return count(median(column(e.by(eascmdJava), perSecond))) + " req/s"
}

// rows compares the service with each of its peers. The goal is a ratio to the
// faster of the two HttpServers.
func (e *javaEcho) rows() []row {
	var rows []row
	for _, s := range e.Servers {
		if s.Name == eascmdJava {
			continue
		}
		r := e.against(e.what(), s.Name, perSecond)
		r.measured += " req/s"
		if s.Name == e.fasterHTTPServer() {
			r.goal = httpServerGoalText
			r.verdict = judge(median(ratios(column(e.by(eascmdJava), perSecond), column(s.Turns, perSecond))) >= httpServerGoal)
		}
		rows = append(rows, r)
	}
	return rows
}

func (e *javaEcho) against(what, peer string, value func(turn) float64) row {
	ours, theirs := column(e.by(eascmdJava), value), column(e.by(peer), value)
	return row{
		what: what, goal: noGoal, measured: count(median(ours)),
		peer: peer + ": " + count(median(theirs)), ratio: times(median(ratios(ours, theirs))),
	}
}

func (j *javaFigures) latencyRows(f *figures) []row {
	l := j.Latency
	if l == nil {
		text := f.missing(javaProgram, "wrk")
		return []row{
			{what: "Java echo, p50 at half load", goal: noGoal, measured: text},
			{what: "Java echo, p99 at half load", goal: noGoal, measured: text},
		}
	}
	load := fmt.Sprintf(" at half load (%s req/s)", count(l.RequestsPerSecond))
	peer := j.Echo[0].fasterHTTPServer()
	return []row{l.row("Java echo, p50"+load, peer, p50s), l.row("Java echo, p99"+load, peer, p99s)}
}

func (j *javaFigures) startRow(f *figures) row {
	r := row{what: "first answer, process engine, Java", goal: fmt.Sprintf("≤ %.0f ms", javaFirstAnswerGoal)}
	s := j.Starts
	if s == nil {
		r.measured = f.missing(javaProgram)
		return r
	}
	ours := median(s.Eascmd)
	r.measured, r.verdict = fmt.Sprintf("%.0f ms", ours), judge(ours <= javaFirstAnswerGoal)
	var peers []string
	for _, p := range s.Peers {
		peers = append(peers, fmt.Sprintf("%s: %.0f ms", p.Name, median(p.Milliseconds)))
	}
	r.peer = strings.Join(append(peers, fmt.Sprintf("an empty Java program: %.0f ms", median(s.Bare))), ", ")
	return r
}

func (j *javaFigures) archiveRow(f *figures) row {
	r := row{what: "the same without the host's class-data archive", goal: noGoal}
	s := j.Starts
	if s == nil {
		r.measured = f.missing(javaProgram)
		return r
	}
	r.measured = fmt.Sprintf("%.0f ms", median(s.NoArchive))
	r.peer = fmt.Sprintf("with it: %.0f ms", median(s.Eascmd))
	r.ratio = times(median(ratios(s.NoArchive, s.Eascmd)))
	return r
}

func (j *javaFigures) containerRow(f *figures) row {
	const what = "first answer, Docker engine, Java"
	if j.InContainer == nil {
		return row{what: what, goal: containerGoalText, measured: f.missing(javaProgram, dockerEngine, serviceImage)}
	}
	return j.InContainer.row(f, what)
}

func (j *javaFigures) memoryRow(f *figures) row {
	r := row{what: "memory of gateway + worker, after the load", goal: noGoal}
	if len(j.Memory) == 0 {
		r.measured = f.missing(javaProgram, "wrk")
		return r
	}
	var peers []string
	for _, m := range j.Memory {
		if m.Name == eascmdJava {
			r.measured = megabytes(m.Front) + " + " + megabytes(m.Host)
			continue
		}
		peers = append(peers, m.Name+": "+megabytes(m.Front))
	}
	r.peer = strings.Join(peers, ", ")
	return r
}
