//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// measuredUploads are figures with round numbers, of a line that carries 24.13 MB
// a second at most.
func measuredUploads() *uploadFigures {
	turns := func(client, store string, took, cpu, memory, line float64) uploadTurns {
		return uploadTurns{
			Client: client, Store: store, Seconds: []float64{took, took * 2, took / 2}, CPU: []float64{cpu},
			Memory: []int64{int64(memory / 2), int64(memory)}, Line: []traffic{{Sent: int64(line * usualUpload), Received: usualUpload / 100}},
		}
	}
	all := func(by float64) []uploadTurns {
		return []uploadTurns{
			turns(eascmdUpload, storeS3, 10*by, 0.5, 60e6, 1.04),
			turns(rcloneUsual, storeS3, 12*by, 1, 150e6, 1.05),
			turns(rcloneParts, storeS3, 11*by, 1.5, 250e6, 1.06),
			turns(awscliUpload, storeS3, 20*by, 3, 99e6, 1.07),
			turns(eascmdUpload, storeOSS, 9*by, 0.4, 70e6, 1.04),
		}
	}
	plain := []float64{9, 18, 4.5}
	return &uploadFigures{
		Versions: map[string]string{"rclone": "1.75.2"}, Shaper: "tun",
		Sizes: []uploadSize{
			{Size: smallUpload, Plain: []float64{0.9, 1.8, 0.45}, Uploads: all(0.1)},
			{Size: usualUpload, Plain: plain, Uploads: all(1)},
			{Size: bigUpload, Plain: []float64{18, 36, 9}, Uploads: []uploadTurns{turns(eascmdUpload, storeS3, 18, 1, 90e6, 2.1), turns(eascmdUpload, storeOSS, 18, 1, 80e6, 2.1)}},
		},
		Again: all(0.02), Loopback: all(0.1),
		Killed: []killedUpload{
			{Store: storeS3, Size: usualUpload, First: 105e6, Resumed: 80e6, Sent: usualUpload - 80e6},
			{Store: storeOSS, Size: usualUpload, First: 105e6, Resumed: 90e6, Sent: usualUpload - 90e6},
			{Store: storeS3, Size: usualUpload, First: 105e6, Resumed: 60e6, Sent: usualUpload - 60e6},
			{Store: storeS3, Size: usualUpload, First: 105e6, Resumed: 85e6, Sent: usualUpload - 85e6},
		},
	}
}

func TestUploadRows(t *testing.T) {
	var got [][]string
	for _, r := range measured().rows(partUpload) {
		got = append(got, r.cells())
	}
	const (
		goal  = "≥ 95 % of plain TCP"
		small = "upload of 20 MiB to "
		usual = "upload of 200 MiB to "
		big   = "upload of 400 MiB to "
		wire  = "bytes on the line for that, both ways, by those of the file"
	)
	want := [][]string{
		{small + "S3", "–", "1.00 s, 86.9 %", "plain TCP: 0.90 s, 96.6 %", "0.90 ×", ""},
		{"the same", "–", "1.00 s, 86.9 %", "rclone: 1.20 s, 72.4 %", "1.20 ×", ""},
		{"the same", "–", "1.00 s, 86.9 %", "rclone, 8 parts at once: 1.10 s, 79.0 %", "1.10 ×", ""},
		{"the same", "–", "1.00 s, 86.9 %", "aws s3 cp: 2.00 s, 43.4 %", "2.00 ×", ""},
		{small + "OSS", "–", "0.90 s, 96.6 %", "plain TCP: 0.90 s, 96.6 %", "1.00 ×", ""},
		{usual + "S3", goal, "10.00 s, 86.9 %", "plain TCP: 9.00 s, 96.6 %", "0.90 ×", "not met"},
		{"the same", "–", "10.00 s, 86.9 %", "rclone: 12.00 s, 72.4 %", "1.20 ×", ""},
		{"the same", "–", "10.00 s, 86.9 %", "rclone, 8 parts at once: 11.00 s, 79.0 %", "1.10 ×", ""},
		{"the same", "–", "10.00 s, 86.9 %", "aws s3 cp: 20.00 s, 43.4 %", "2.00 ×", ""},
		{usual + "OSS", goal, "9.00 s, 96.6 %", "plain TCP: 9.00 s, 96.6 %", "1.00 ×", "met"},
		{big + "S3", goal, "18.00 s, 96.6 %", "plain TCP: 18.00 s, 96.6 %", "1.00 ×", "met"},
		{big + "OSS", goal, "18.00 s, 96.6 %", "plain TCP: 18.00 s, 96.6 %", "1.00 ×", "met"},
		{wire, "–", "1.05 ×", "rclone: 1.06 ×, rclone, 8 parts at once: 1.07 ×, aws s3 cp: 1.08 ×", "", ""},
		{"processor time of that", "–", "0.50 s", "rclone: 1.00 s, rclone, 8 parts at once: 1.50 s, aws s3 cp: 3.00 s", "", ""},
		{"memory of uploads", "≤ 200 MB", "90.0 MB", "rclone: 150.0 MB, rclone, 8 parts at once: 250.0 MB, aws s3 cp: 99.0 MB", "", "met"},
		{"the same 200 MiB are there already, OSS", "–", "0.18 s", "", "", ""},
		{"the same 200 MiB are there already, S3", "–", "0.20 s", "rclone: 0.24 s", "1.20 ×", ""},
		{"the same 200 MiB are there already, S3", "–", "0.20 s", "rclone, 8 parts at once: 0.22 s", "1.10 ×", ""},
		{"the same 200 MiB are there already, S3", "–", "0.20 s", "aws s3 cp: 0.40 s", "2.00 ×", ""},
		{"killed when half was sent, S3: sent twice", "–", "25.0 MB", "the second time: 129.7 MB of 209.7 MB", "", ""},
		{"killed when half was sent, OSS: sent twice", "–", "15.0 MB", "the second time: 119.7 MB of 209.7 MB", "", ""},
		{"without a line, OSS", "–", "233 MB/s", "", "", ""},
		{"without a line, S3", "–", "210 MB/s", "rclone: 175 MB/s", "1.20 ×", ""},
		{"without a line, S3", "–", "210 MB/s", "rclone, 8 parts at once: 191 MB/s", "1.10 ×", ""},
		{"without a line, S3", "–", "210 MB/s", "aws s3 cp: 105 MB/s", "2.00 ×", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUploadGoals(t *testing.T) {
	f := measured()
	for i := range f.Uploads.Sizes[2].Uploads {
		f.Uploads.Sizes[2].Uploads[i].Memory[0] = 201e6
		f.Uploads.Sizes[2].Uploads[i].Seconds = []float64{19, 38, 9.5}
	}
	for _, r := range f.uploadRows() {
		if (r.what == "memory of uploads" || strings.HasPrefix(r.what, "upload of 400")) && r.verdict != notMet {
			t.Errorf("%q", r.cells())
		}
	}
}

// Without what it needs, every row says so.
func TestUploadRowsWithoutPeers(t *testing.T) {
	f := measured()
	f.Missing = []string{uploadPeers}
	alone := func(turns []uploadTurns) []uploadTurns { return []uploadTurns{turns[0], turns[4]} }
	u := f.Uploads
	u.Sizes[0].Uploads, u.Sizes[1].Uploads = alone(u.Sizes[0].Uploads), alone(u.Sizes[1].Uploads)
	u.Again, u.Loopback = alone(u.Again), alone(u.Loopback)
	lacking := 0
	for _, r := range f.uploadRows() {
		if r.peer == "not measured: needs "+uploadPeers {
			lacking++
		}
		if strings.Contains(r.measured, "not measured") || strings.Contains(r.peer, "rclone:") {
			t.Errorf("%q", r.cells())
		}
	}
	if lacking != 6 { // two sizes, two costs, there already, loopback
		t.Errorf("%d rows say what they need", lacking)
	}

	f.Missing = []string{uploadPeers, s3Server}
	for i := range u.Sizes {
		u.Sizes[i].Uploads = u.Sizes[i].Uploads[1:]
	}
	u.Again, u.Loopback, u.Killed = u.Again[1:], u.Loopback[1:], u.Killed[1:2]
	for _, r := range f.uploadRows() {
		if s3 := strings.Contains(r.what, "S3"); s3 != (r.measured == "not measured: needs "+s3Server) || s3 && r.verdict != "" {
			t.Errorf("without S3: %q", r.cells())
		}
	}

	f.Missing, f.Uploads = []string{shapedLine}, nil
	if r := f.uploadRows(); len(r) != 1 || r[0].measured != "not measured: needs "+shapedLine || r[0].verdict != "" {
		t.Errorf("without a line: %+v", r)
	}
}
