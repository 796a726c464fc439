package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/service"
)

func TestSchema(t *testing.T) {
	want, err := service.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   string
		status int
		want   string // of standard output; its start where it ends in …
	}{
		{"schema", 0, string(want)},
		{"schema -o json", 0, string(want)},
		{"schema -o yaml", 0, "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"\n…"},
		{"schema service.json", 2, ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := Main(t.Context(), strings.Fields(tt.args), strings.NewReader(""), &stdout, &stderr)
			if status != tt.status {
				t.Errorf("exit status is %d, want %d: %s", status, tt.status, stderr.String())
			}
			have := stdout.String()
			if start, ok := strings.CutSuffix(tt.want, "…"); ok {
				if !strings.HasPrefix(have, start) {
					t.Errorf("output starts with %.80q, want %q", have, start)
				}
				return
			}
			if diff := cmp.Diff(tt.want, have); diff != "" {
				t.Errorf("output, -want +have:\n%s", diff)
			}
		})
	}
}
