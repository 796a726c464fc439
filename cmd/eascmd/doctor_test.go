package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/doctor"
	"github.com/openeas/eascmd/pkg/ui"
)

var update = flag.Bool("update", false, "write the golden files anew")

// someReport has every state and everything that is hard to print.
func someReport() doctor.Report {
	return doctor.Report{Checks: []doctor.Check{
		{Group: "Docker", Name: "daemon", State: doctor.Failure,
			Found: "none answers\nunix:///var/run/docker.sock (the usual socket): permission denied\nunix:///run/user/1000/docker.sock (rootless): not there",
			Fix:   "`sudo usermod -aG docker $USER`, then log in again"},
		{Group: "Building", Name: "C compiler", State: doctor.OK, Found: "/usr/bin/cc 12.2.0"},
		{Group: "Building", Name: "C++ compiler", State: doctor.Warning, Found: "none found", Fix: "`sudo apt-get install g++`"},
		{Group: "Building", Name: "host", State: doctor.Failure, Found: "<does> not build & \"run\"", Fix: "set CC to gcc or clang"},
		{Group: "Python", Name: "others", State: doctor.OK, Found: "3.13.0 ~/.pyenv/versions/3.13.0/bin/python3\n3.8.18 /opt/\x1b[2Jpython"},
	}}
}

func TestDoctorGolden(t *testing.T) {
	for name, format := range map[string]ui.Format{"doctor.txt": ui.Table, "doctor.json": ui.JSON, "doctor.yaml": ui.YAML} {
		var out, talk bytes.Buffer
		term := ui.New(strings.NewReader(""), &out, &talk, func(string) (string, bool) { return "", false })
		if err := term.Print(format, doctorReport(someReport())); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if talk.Len() > 0 {
			t.Errorf("%s: on standard error: %s", name, talk.String())
		}
	}
}

// A report without checks has an empty list all the same.
func TestDoctorJSONShape(t *testing.T) {
	data, err := json.Marshal(doctorReport(doctor.Report{Checks: []doctor.Check{}, OK: true}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), `{"checks":[],"ok":true}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDoctorFailures(t *testing.T) {
	err := failures(someReport())
	if fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if got, want := err.Error(), "no engine can run a service here (Docker: daemon; Building: host)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := failures(doctor.Report{OK: true, Checks: someReport().Checks[1:3]}); err != nil {
		t.Error(err)
	}
}
