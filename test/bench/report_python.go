//go:build linux

package main

import (
	"fmt"
)

// The goals of Python services.
const (
	uvicornGoal           = 1.2   // of its requests
	fastAPIGoal           = 2.5   // of its requests
	pythonFirstAnswerGoal = 250.0 // ms
)

func (f *figures) pythonRows() []row {
	p := f.Python
	if p == nil {
		p = &pythonFigures{}
	}
	rows := p.echoRows(f)
	rows = append(rows, p.latencyRows(f)...)
	return append(rows, p.startRow(f), p.initRow(f), p.memoryRow(f))
}

func (p *pythonFigures) echoRows(f *figures) []row {
	if len(p.Echo) == 0 {
		return []row{{what: "Python echo", goal: fmt.Sprintf("≥ %.1f × uvicorn", uvicornGoal), measured: f.missing(pythonProgram, "wrk")}}
	}
	var rows []row
	for _, e := range p.Echo {
		rows = append(rows, e.rows(f)...)
	}
	return rows
}

// rows compares the servers under one load. Goals are those of the small body.
func (e *pythonEcho) rows(f *figures) []row {
	what := fmt.Sprintf("Python echo, %d connections", e.Connections)
	small := e.Body == bodySize
	if !small {
		what += fmt.Sprintf(", %d KiB", e.Body>>10)
	}
	against := func(what, peer string, goal float64, turns []turn, value func(turn) float64, unit string) row {
		ours := column(e.Eascmd, value)
		r := row{what: what, goal: noGoal, measured: count(median(ours)) + unit}
		if goal > 0 {
			r.goal = fmt.Sprintf("≥ %.1f × %s", goal, peer)
		}
		if len(turns) == 0 {
			r.peer = f.missing(pythonPeers)
			return r
		}
		theirs := column(turns, value)
		ratio := median(ratios(ours, theirs))
		r.peer, r.ratio = peer+": "+count(median(theirs)), times(ratio)
		if goal > 0 {
			r.verdict = judge(ratio >= goal)
		}
		return r
	}
	if !small {
		return []row{
			against(what, "uvicorn", 0, e.Uvicorn, perSecond, " req/s"),
			against(what, "FastAPI", 0, e.FastAPI, perSecond, " req/s"),
		}
	}
	rows := []row{
		against(what, "uvicorn", uvicornGoal, e.Uvicorn, perSecond, " req/s"),
		against(what, "FastAPI", fastAPIGoal, e.FastAPI, perSecond, " req/s"),
	}
	if len(e.OneThread) > 0 {
		five, one := column(e.Eascmd, perSecond), column(e.OneThread, perSecond)
		rows = append(rows,
			row{
				what: what + ", 1 worker thread", goal: noGoal, measured: count(median(one)) + " req/s",
				peer: "5 threads: " + count(median(five)), ratio: times(median(ratios(one, five))),
			},
			against("Python echo, requests per CPU-second", "uvicorn", 0, e.Uvicorn, perCPUSecond, ""))
	}
	return rows
}

func (p *pythonFigures) latencyRows(f *figures) []row {
	l := p.Latency
	if l == nil {
		text := f.missing(pythonProgram, "wrk", pythonPeers)
		return []row{
			{what: "Python echo, p50 at half load", goal: noGoal, measured: text},
			{what: "Python echo, p99 at half load", goal: noGoal, measured: text},
		}
	}
	load := fmt.Sprintf(" at half load (%s req/s)", count(l.RequestsPerSecond))
	return []row{l.row("Python echo, p50"+load, "uvicorn", p50s), l.row("Python echo, p99"+load, "uvicorn", p99s)}
}

func (p *pythonFigures) startRow(f *figures) row {
	r := row{what: "first answer, process engine, Python", goal: fmt.Sprintf("≤ %.0f ms", pythonFirstAnswerGoal)}
	s := p.Starts
	if s == nil {
		r.measured = f.missing(pythonProgram)
		return r
	}
	ours := median(s.Eascmd)
	r.measured, r.verdict = fmt.Sprintf("%.0f ms", ours), judge(ours <= pythonFirstAnswerGoal)
	r.peer = fmt.Sprintf("python -c pass: %.0f ms", median(s.Bare))
	if len(s.Uvicorn) > 0 {
		r.peer = fmt.Sprintf("uvicorn: %.0f ms, FastAPI: %.0f ms, ", median(s.Uvicorn), median(s.FastAPI)) + r.peer
		r.ratio = times(median(ratios(s.Eascmd, s.Uvicorn)))
	}
	return r
}

func (p *pythonFigures) initRow(f *figures) row {
	r := row{what: "`pysdk init --backend copy`, offline", goal: noGoal}
	if p.Projects == nil {
		r.measured = f.missing(pythonProgram)
		return r
	}
	r.measured = seconds(median(p.Projects.Init))
	r.peer = "python -m venv: " + seconds(median(p.Projects.Venv))
	r.ratio = times(median(ratios(p.Projects.Init, p.Projects.Venv)))
	return r
}

func (p *pythonFigures) memoryRow(f *figures) row {
	r := row{what: "memory of gateway + worker, after the load", goal: noGoal}
	m := p.Memory
	if m == nil {
		r.measured = f.missing(pythonProgram, "wrk")
		return r
	}
	r.measured = megabytes(m.Eascmd.Front) + " + " + megabytes(m.Eascmd.Host)
	if m.Uvicorn.Front > 0 {
		r.peer = "uvicorn: " + megabytes(m.Uvicorn.Front) + ", FastAPI: " + megabytes(m.FastAPI.Front)
	}
	return r
}

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }
