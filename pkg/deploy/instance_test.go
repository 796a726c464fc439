package deploy_test

import (
	"errors"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

func TestCheckInstance(t *testing.T) {
	for _, tt := range []struct {
		names []string
		hint  string // empty: it is there
	}{
		{[]string{"b", "x"}, ""},
		{nil, "it has none at the moment; `eascmd desc echo` shows its state"},
		{[]string{"c", "b"}, "there is b, c"},
		{[]string{"a", "b", "c", "d", "e", "f"}, "`eascmd showworkers echo` lists its 6 instances"},
	} {
		var there []deploy.Instance
		for _, name := range tt.names {
			there = append(there, deploy.Instance{Name: name})
		}
		err := deploy.CheckInstance("echo", "x", there)
		if tt.hint == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, deploy.ErrNotFound) || fault.KindOf(err) != fault.Usage || err.Error() != `service echo has no instance "x"` || fault.HintOf(err) != tt.hint {
			t.Errorf("%v: %v, hint %q", tt.names, err, fault.HintOf(err))
		}
	}
}
