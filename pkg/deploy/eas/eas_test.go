package eas

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
)

func TestNew(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		want deploy.Where
		err  string
	}{
		{
			name: "public endpoint",
			opts: Options{Endpoint: "pai-eas.cn-beijing.aliyuncs.com", Profile: "work", Credentials: staticKey},
			want: deploy.Where{Target: "eas", Region: "cn-beijing", Endpoint: "pai-eas.cn-beijing.aliyuncs.com", Profile: "work", Account: "LTAI****stab"},
		},
		{
			name: "endpoint inside of a VPC",
			opts: Options{Endpoint: "pai-eas-manage-vpc.cn-beijing.aliyuncs.com", Credentials: staticKey},
			want: deploy.Where{Target: "eas", Region: "cn-beijing", Endpoint: "pai-eas-manage-vpc.cn-beijing.aliyuncs.com", Account: "LTAI****stab"},
		},
		{
			name: "a control plane of one's own",
			opts: Options{Endpoint: "127.0.0.1:8080", Scheme: "http", Region: "local", Credentials: staticKey},
			want: deploy.Where{Target: "eas", Region: "local", Endpoint: "127.0.0.1:8080", Account: "LTAI****stab"},
		},
		{name: "no region", opts: Options{Endpoint: "127.0.0.1:8080", Credentials: staticKey}, err: "does not tell its region"},
		{name: "no endpoint", opts: Options{Credentials: staticKey}, err: "no endpoint"},
		{name: "no credentials", opts: Options{Endpoint: "pai-eas.cn-beijing.aliyuncs.com"}, err: "no access key"},
		{name: "odd scheme", opts: Options{Endpoint: "pai-eas.cn-beijing.aliyuncs.com", Scheme: "ftp", Credentials: staticKey}, err: `"ftp" is neither`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, err := New(tt.opts)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || fault.KindOf(err) != fault.Description {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, target.Where()); diff != "" {
				t.Errorf("where (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := New(Options{Endpoint: "pai-eas.cn-beijing.aliyuncs.com"}); !errors.Is(err, config.ErrNoAccessKey) {
		t.Errorf("error %v is not about the access key", err)
	}
}

// TestNames refuses what would lead to another path, before anything is sent.
func TestNames(t *testing.T) {
	target, err := New(Options{
		Endpoint: "pai-eas.cn-beijing.aliyuncs.com", Credentials: staticKey,
		Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s %s was sent", r.Method, r.URL)
			return response(200, `{}`), nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", ".."} {
		if _, err := target.Act(t.Context(), name, deploy.Delete); fault.KindOf(err) != fault.Usage {
			t.Errorf("delete %q: error %v", name, err)
		}
		if _, err := target.Create(t.Context(), deploy.CreateRequest{Name: name}); fault.KindOf(err) != fault.Description {
			t.Errorf("create %q: error %v", name, err)
		}
	}
	if _, err := target.Act(t.Context(), "echo", "explode"); fault.KindOf(err) != fault.Usage {
		t.Errorf("error %v for an action that there is not", err)
	}
	for _, names := range [][]string{nil, {""}, {"a,b"}} {
		if _, err := target.DeleteInstances(t.Context(), "echo", names); fault.KindOf(err) != fault.Usage {
			t.Errorf("delete instances %q: error %v", names, err)
		}
	}
}
