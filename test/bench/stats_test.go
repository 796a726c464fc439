//go:build linux

package main

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestQuantiles(t *testing.T) {
	for _, tt := range []struct {
		values         []float64
		median, spread float64
	}{
		{[]float64{7}, 7, 0},
		{[]float64{3, 1}, 2, 1},
		{[]float64{5, 1, 3}, 3, 2},
		{[]float64{4, 1, 3, 2}, 2.5, 1.5},
		{[]float64{1, 2, 3, 4, 1000}, 3, 2}, // one disturbed run changes neither
		{nil, math.NaN(), math.NaN()},
	} {
		got := []float64{median(tt.values), spread(tt.values)}
		if diff := cmp.Diff([]float64{tt.median, tt.spread}, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
			t.Errorf("%v: median and spread (-want +got):\n%s", tt.values, diff)
		}
	}
}

func TestQuantileLeavesItsArgument(t *testing.T) {
	values := []float64{3, 1, 2}
	median(values)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Errorf("the values were changed (-want +got):\n%s", diff)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tt := range []struct {
		sorted []int
		q      float64
		want   int
	}{
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]int{4, 9}, 0.99, 9},
		{nil, 0.5, 0},
	} {
		if got := percentile(tt.sorted, tt.q); got != tt.want {
			t.Errorf("percentile(%d values, %v) = %d, want %d", len(tt.sorted), tt.q, got, tt.want)
		}
	}
}

func TestRatios(t *testing.T) {
	got := ratios([]float64{1, 6, 9}, []float64{2, 2})
	if diff := cmp.Diff([]float64{0.5, 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJudgeDifference(t *testing.T) {
	quiet := []float64{1, 1.1, 1, 0.9, 1}
	wild := []float64{1, 9, 1, 5, 3}
	for _, tt := range []struct {
		name       string
		ours, peer []float64
		want       verdict
	}{
		{"better", []float64{0.5}, quiet, met},
		{"within", []float64{1.9, 2, 1.8}, quiet, met},
		{"worse", []float64{2.5, 2.4, 30}, quiet, notMet},
		{"one disturbed run of the peer", []float64{1.5}, []float64{1, 1, 1, 1, 80}, met},
		{"the peer differs by more", []float64{6}, wild, noise},
		{"good, but the machine cannot tell", []float64{1}, wild, noise},
		{"worse than all noise", []float64{20}, wild, notMet},
	} {
		if got := judgeDifference(tt.ours, tt.peer, 1); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
