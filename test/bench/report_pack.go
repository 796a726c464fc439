//go:build linux

package main

import (
	"fmt"
	"slices"
)

// The goals of packing.
const (
	packGoal       = 2.0   // of conda-pack's speed
	packMemoryGoal = 200e6 // bytes
)

func (f *figures) packRows() []row {
	p := f.Packing
	if p == nil || len(p.Packers) == 0 {
		return []row{{
			what: "packing an environment", goal: fmt.Sprintf("≥ %.0f × %s", packGoal, condaPackTwo),
			measured: f.missing(pythonProgram, packedTree),
		}}
	}
	return append(p.packRows(f), p.importRow(f))
}

// by returns what a packer did, nil where it was not there.
func (p *packFigures) by(name string) *packed {
	if i := slices.IndexFunc(p.Packers, func(r packed) bool { return r.Name == name }); i >= 0 {
		return &p.Packers[i]
	}
	return nil
}

func (p *packFigures) packRows(f *figures) []row {
	ours, checked := p.by(eascmdPack), p.by(eascmdPackChecked)
	tree := fmt.Sprintf("packing %.0f MB in %s files", float64(p.Tree.Bytes)/1e6, count(float64(p.Tree.Entries)))
	// Seconds of ours, by which the peer's are divided: how much faster.
	faster := func(what, peer, needs string) row {
		r := row{what: what, goal: noGoal, measured: seconds(median(ours.Seconds)) + ", " + megabytes(ours.Size)}
		other := p.by(peer)
		if other == nil {
			r.peer = f.missing(needs)
			return r
		}
		r.peer = peer + ": " + seconds(median(other.Seconds)) + ", " + megabytes(other.Size)
		r.ratio = times(median(ratios(other.Seconds, ours.Seconds)))
		return r
	}
	first := faster(tree+", without the check", condaPackTwo, pythonPeers)
	first.goal = fmt.Sprintf("≥ %.0f × %s, no larger", packGoal, condaPackTwo)
	if other := p.by(condaPackTwo); other != nil {
		first.verdict = judge(median(ratios(other.Seconds, ours.Seconds)) >= packGoal && ours.Size <= other.Size)
	}
	whole := row{
		what: "the same with the check (unpacked and imported)", goal: noGoal,
		measured: seconds(median(checked.Seconds)) + ", " + megabytes(checked.Size),
		peer:     first.peer,
	}
	if other := p.by(condaPackTwo); other != nil {
		whole.ratio = times(median(ratios(other.Seconds, checked.Seconds)))
	}
	most := slices.Max(ours.Memory)
	memory := row{
		what: "memory of packing", goal: fmt.Sprintf("≤ %.0f MB", packMemoryGoal/1e6),
		measured: megabytes(most), verdict: judge(float64(most) <= packMemoryGoal),
	}
	cpu := row{what: "processor time of packing", goal: noGoal, measured: seconds(median(ours.CPU))}
	if other := p.by(condaPackTwo); other != nil {
		memory.peer = condaPackTwo + ": " + megabytes(slices.Max(other.Memory))
		cpu.peer = condaPackTwo + ": " + seconds(median(other.CPU))
		cpu.ratio = times(median(ratios(ours.CPU, other.CPU)))
	}
	return []row{
		first, whole,
		faster("the same", condaPackOne, pythonPeers),
		faster("the same", tarPigz, "pigz"),
		faster("the same", tarGzip, "gzip"),
		cpu, memory,
	}
}

func (p *packFigures) importRow(f *figures) row {
	r := row{what: fmt.Sprintf("imports of %d packages out of a package", len(treeModules)), goal: noGoal}
	i := p.Imports
	if i == nil {
		r.measured = f.missing()
		return r
	}
	r.measured = seconds(median(i.Packed))
	r.peer = "without bytecode: " + seconds(median(i.Compiled))
	r.ratio = times(median(ratios(i.Compiled, i.Packed)))
	return r
}
