//go:build linux

package main

import (
	"fmt"
	"slices"
)

// The goals of uploads.
const (
	uploadGoal       = 0.95  // of what one TCP connection carries over the line
	uploadMemoryGoal = 200e6 // bytes
)

func (f *figures) uploadRows() []row {
	u := f.Uploads
	goal := fmt.Sprintf("≥ %.0f %% of plain TCP", 100*uploadGoal)
	if u == nil {
		return []row{{what: "uploads", goal: goal, measured: f.missing(shapedLine)}}
	}
	var rows []row
	for _, s := range u.Sizes {
		rows = append(rows, s.rows(f, goal)...)
	}
	if i := slices.IndexFunc(u.Sizes, func(s uploadSize) bool { return s.Size == usualUpload }); i >= 0 {
		rows = append(rows, u.Sizes[i].costRows(f)...)
	}
	rows = append(rows, u.memoryRow())
	rows = append(rows, u.againRows(f)...)
	rows = append(rows, u.killedRows()...)
	return append(rows, u.loopbackRows(f)...)
}

// of returns what a client did with a store, nil where it was not there.
func of(turns []uploadTurns, client, store string) *uploadTurns {
	i := slices.IndexFunc(turns, func(t uploadTurns) bool { return t.Client == client && t.Store == store })
	if i < 0 {
		return nil
	}
	return &turns[i]
}

// uploadRivals are the peers, which all speak to S3.
var uploadRivals = []string{rcloneUsual, rcloneParts, awscliUpload}

// ofLine says how long so many bytes took, and how much of what the line can
// carry that is.
func ofLine(size int64, took []float64) string {
	s := median(took)
	return fmt.Sprintf("%s, %.1f %%", seconds(s), 100*float64(size)/s/linePayload)
}

// rows compare the uploads of one size. The goal is that of packages, of which
// the small one is none: the connections and the requests take their time.
func (s *uploadSize) rows(f *figures, goal string) []row {
	what := "upload of " + mebibytes(s.Size) + " to "
	if s.Size < usualUpload {
		goal = noGoal
	}
	var rows []row
	for _, store := range []string{storeS3, storeOSS} {
		ours := of(s.Uploads, eascmdUpload, store)
		if ours == nil {
			rows = append(rows, row{what: what + store, goal: goal, measured: f.missing(s3Server)})
			continue
		}
		share := median(ratios(s.Plain, ours.Seconds))
		r := row{
			what: what + store, goal: goal, measured: ofLine(s.Size, ours.Seconds),
			peer: "plain TCP: " + ofLine(s.Size, s.Plain), ratio: times(share),
		}
		if goal != noGoal {
			r.verdict = judge(share >= uploadGoal)
		}
		rows = append(rows, r)
		if store != storeS3 || s.Size > usualUpload {
			continue
		}
		rows = append(rows, compared(f, "the same", s.Uploads, func(t *uploadTurns) string { return ofLine(s.Size, t.Seconds) })...)
	}
	return rows
}

// compared sets the peers against our upload to S3: how much faster that is.
func compared(f *figures, what string, turns []uploadTurns, text func(*uploadTurns) string) []row {
	ours := of(turns, eascmdUpload, storeS3)
	if ours == nil {
		return nil
	}
	var rows []row
	for _, name := range uploadRivals {
		r := row{what: what, goal: noGoal, measured: text(ours)}
		peer := of(turns, name, storeS3)
		if peer == nil {
			r.peer = f.missing(uploadPeers)
			return append(rows, r)
		}
		r.peer = name + ": " + text(peer)
		r.ratio = times(median(ratios(peer.Seconds, ours.Seconds)))
		rows = append(rows, r)
	}
	return rows
}

// costRows are what an upload to S3 takes beside time.
func (s *uploadSize) costRows(f *figures) []row {
	ours := of(s.Uploads, eascmdUpload, storeS3)
	if ours == nil {
		return nil
	}
	sent := row{what: "bytes on the line for that, both ways, by those of the file", goal: noGoal}
	cpu := row{what: "processor time of that", goal: noGoal}
	sent.measured, cpu.measured = times(s.onLine(ours)), seconds(median(ours.CPU))
	for _, name := range uploadRivals {
		if peer := of(s.Uploads, name, storeS3); peer != nil {
			add(&sent.peer, name+": "+times(s.onLine(peer)))
			add(&cpu.peer, name+": "+seconds(median(peer.CPU)))
		}
	}
	if sent.peer == "" {
		sent.peer = f.missing(uploadPeers)
		cpu.peer = sent.peer
	}
	return []row{sent, cpu}
}

// onLine is how much was on the line for each byte of the file.
func (s *uploadSize) onLine(t *uploadTurns) float64 {
	return median(column(t.Line, func(l traffic) float64 { return float64(l.Sent+l.Received) / float64(s.Size) }))
}

// memoryRow has the most that any upload of any size had resident.
func (u *uploadFigures) memoryRow() row {
	most := map[string]int64{}
	for _, s := range u.Sizes {
		for _, t := range s.Uploads {
			most[t.Client] = max(most[t.Client], slices.Max(t.Memory))
		}
	}
	ours := most[eascmdUpload]
	r := row{
		what: "memory of uploads", goal: fmt.Sprintf("≤ %.0f MB", uploadMemoryGoal/1e6),
		measured: megabytes(ours), verdict: judge(float64(ours) <= uploadMemoryGoal),
	}
	for _, name := range uploadRivals {
		if n := most[name]; n > 0 {
			add(&r.peer, name+": "+megabytes(n))
		}
	}
	return r
}

func (u *uploadFigures) againRows(f *figures) []row {
	what := "the same " + mebibytes(usualUpload) + " are there already"
	rows := []row{}
	text := func(t *uploadTurns) string { return seconds(median(t.Seconds)) }
	if ours := of(u.Again, eascmdUpload, storeOSS); ours != nil {
		rows = append(rows, row{what: what + ", OSS", goal: noGoal, measured: text(ours)})
	}
	// aws s3 cp does not look.
	return append(rows, compared(f, what+", S3", u.Again, text)...)
}

func (u *uploadFigures) killedRows() []row {
	var rows []row
	for _, store := range []string{storeS3, storeOSS} {
		var again, sent []float64
		var size int64
		for _, k := range u.Killed {
			if k.Store == store {
				again, sent, size = append(again, float64(k.again())), append(sent, float64(k.Sent)), k.Size
			}
		}
		if len(again) == 0 {
			continue
		}
		rows = append(rows, row{
			what: "killed when half was sent, " + store + ": sent twice", goal: noGoal, measured: megabytes(int64(median(again))),
			peer: fmt.Sprintf("the second time: %s of %s", megabytes(int64(median(sent))), megabytes(size)),
		})
	}
	return rows
}

func (u *uploadFigures) loopbackRows(f *figures) []row {
	text := func(t *uploadTurns) string { return fmt.Sprintf("%.0f MB/s", loopbackSize/median(t.Seconds)/1e6) }
	var rows []row
	if ours := of(u.Loopback, eascmdUpload, storeOSS); ours != nil {
		rows = append(rows, row{what: "without a line, OSS", goal: noGoal, measured: text(ours)})
	}
	return append(rows, compared(f, "without a line, S3", u.Loopback, text)...)
}

// add appends to a list in words.
func add(list *string, item string) {
	if *list != "" {
		*list += ", "
	}
	*list += item
}
