//go:build linux

package main

import (
	"cmp"
	"math"
	"slices"
)

// quantile returns the value below which the fraction q of the values lies,
// between two of them by their distance; NaN for none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// spread is the distance between the quartiles: how much the middle half of
// the values differs. One run that was disturbed does not change it.
func spread(values []float64) float64 { return quantile(values, 0.75) - quantile(values, 0.25) }

// ratios divides each value by the one of the same round.
func ratios(values, by []float64) []float64 {
	result := make([]float64, min(len(values), len(by)))
	for i := range result {
		result[i] = values[i] / by[i]
	}
	return result
}

// percentile returns the smallest of the sorted values that at least the
// fraction q of them does not exceed; 0 for none.
func percentile[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	at := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// verdict says whether a goal was met.
type verdict string

const (
	met    verdict = "met"
	notMet verdict = "not met"
	noise  verdict = "noise" // the machine cannot tell
)

func judge(ok bool) verdict {
	if ok {
		return met
	}
	return notMet
}

// judgeDifference compares the medians of ours and the peer's: ours may be
// larger by limit. Where the peer's own values differ by more than limit and
// by more than that difference, the runs cannot tell.
func judgeDifference(ours, peer []float64, limit float64) verdict {
	difference := median(ours) - median(peer)
	if spread(peer) > max(limit, difference) {
		return noise
	}
	return judge(difference <= limit)
}
