package eas_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/deploytest"
	"github.com/openeas/eascmd/pkg/deploy/eas"
)

const (
	keyID  = "LTAI5tTestTestTestab"
	secret = "secret-of-the-test-key"
)

// idle runs instances that do nothing but be there.
type idle struct{}

func (idle) Run(ctx context.Context, spec controlplane.Spec, report func(controlplane.Report)) error {
	report(controlplane.Report{Kind: controlplane.Line, Text: "instance " + spec.Instance + " has loaded its model"})
	report(controlplane.Report{Kind: controlplane.Line, Text: "and serves"})
	report(controlplane.Report{Kind: controlplane.Ready, Endpoint: "http://127.0.0.1:1"})
	<-ctx.Done()
	return nil
}

// plane starts a control plane.
func plane(t *testing.T, change ...func(*controlplane.Options)) *controlplane.Server {
	t.Helper()
	opts := controlplane.Options{Runner: idle{}, Keys: []controlplane.AccessKey{{ID: keyID, Secret: secret}}}
	for _, c := range change {
		c(&opts)
	}
	server, err := controlplane.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func targetOf(t *testing.T, server *controlplane.Server, change ...func(*eas.Options)) *eas.Target {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	opts := eas.Options{
		Endpoint: strings.TrimPrefix(server.Endpoint(), "http://"), Scheme: "http", Region: server.Region(), Profile: "test",
		Credentials: credentials.Static{AccessKeyID: keyID, AccessKeySecret: secret},
		Client:      &http.Client{Transport: transport},
		RetryDelay:  5 * time.Millisecond,
	}
	for _, c := range change {
		c(&opts)
	}
	target, err := eas.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func description(name string) json.RawMessage {
	return fmt.Appendf(nil, `{"name":%q,"processor_path":"oss://bucket/echo.tar.gz","processor_entry":"./app.py","processor_type":"python",
		"metadata":{"instance":1,"cpu":1,"memory":1000}}`, name)
}

func TestSuite(t *testing.T) {
	deploytest.Run(t, deploytest.Config{
		Target:      targetOf(t, plane(t)),
		Description: description,
		Prefix:      "suite_",
		LogLine:     "has loaded its model",
		Many:        205,
	})
}

// TestNeverTwice loses the answer to every operation that must not be repeated,
// and counts what was done.
func TestNeverTwice(t *testing.T) {
	for _, kind := range []controlplane.FaultKind{controlplane.ResetAfter, controlplane.FailedAfter} {
		server := plane(t)
		target := targetOf(t, server)
		request := deploy.CreateRequest{Name: "echo", Description: description("echo")}
		server.Inject(controlplane.Fault{Kind: kind, Action: "CreateService"})
		if _, err := target.Create(t.Context(), request); err == nil || !deploy.Unsettled(err) || errors.Is(err, deploy.ErrExists) {
			t.Errorf("%s: create: error %v, unsettled: %v", kind, err, deploy.Unsettled(err))
		}
		server.Inject(controlplane.Fault{Kind: kind, Action: "UpdateService"})
		_, err := target.Update(t.Context(), "echo", deploy.UpdateRequest{Description: json.RawMessage(`{"metadata":{"cpu":2}}`)})
		if err == nil || !deploy.Unsettled(err) {
			t.Errorf("%s: update: error %v, unsettled: %v", kind, err, deploy.Unsettled(err))
		}
		if s, err := target.Describe(t.Context(), "echo"); err != nil || s.LatestVersion != 2 {
			t.Errorf("%s: service %+v, error %v", kind, s, err)
		}
		// What is the same the second time is asked for again.
		server.Inject(controlplane.Fault{Kind: kind, Action: "ScaleService"})
		if _, err := target.Scale(t.Context(), "echo", 2); err != nil {
			t.Errorf("%s: scale: error %v", kind, err)
		}
		server.Inject(controlplane.Fault{Kind: kind, Action: "CreateServiceAutoScaler"})
		_, err = target.SetAutoscaler(t.Context(), "echo", deploy.Autoscaler{Min: 1, Max: 2, Strategies: []deploy.Strategy{{Metric: "qps", Threshold: 1}}})
		if err != nil {
			t.Errorf("%s: autoscaler: error %v", kind, err)
		}
		server.Inject(controlplane.Fault{Kind: kind, Action: "DeleteService"})
		if _, err := target.Act(t.Context(), "echo", deploy.Delete); err != nil {
			t.Errorf("%s: delete: error %v", kind, err)
		}
	}
}

// TestFaults has calls fail on the way that work in the end.
func TestFaults(t *testing.T) {
	server := plane(t)
	target := targetOf(t, server)
	for _, kind := range []controlplane.FaultKind{controlplane.InternalError, controlplane.Unavailable, controlplane.Throttled, controlplane.ResetBefore} {
		server.Inject(controlplane.Fault{Kind: kind, Times: 2})
		if _, _, err := target.List(t.Context(), deploy.ListRequest{}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	server.Inject(controlplane.Fault{Kind: controlplane.Throttled, Action: "CreateService", Times: 2})
	if _, err := target.Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: description("echo")}); err != nil {
		t.Errorf("a request that was throttled was not made again: %v", err)
	}
}

// skewed is a clock that is wrong.
type skewed struct{ by time.Duration }

func (c skewed) Now() time.Time { return time.Now().Add(c.by) }

func (c skewed) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestBelief is about callers that are not believed.
func TestBelief(t *testing.T) {
	key := func(k credentials.Static) func(*eas.Options) { return func(o *eas.Options) { o.Credentials = k } }
	server := plane(t)
	for _, tt := range []struct {
		name   string
		target *eas.Target
		text   string
	}{
		{"id", targetOf(t, server, key(credentials.Static{AccessKeyID: "LTAI0000", AccessKeySecret: secret})), "there is no access key ****"},
		{"secret", targetOf(t, server, key(credentials.Static{AccessKeyID: keyID, AccessKeySecret: "another"})), "the access key secret does not belong to the access key LTAI****stab"},
		{"clock", targetOf(t, plane(t, func(o *controlplane.Options) { o.Clock = skewed{-time.Hour} })), "the clock of this machine"},
	} {
		_, _, err := tt.target.List(t.Context(), deploy.ListRequest{})
		if !errors.Is(err, deploy.ErrCredentials) || fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), tt.text) || fault.HintOf(err) == "" {
			t.Errorf("%s: error %v of kind %d, hint %q", tt.name, err, fault.KindOf(err), fault.HintOf(err))
		}
	}
}

// A question whose connection breaks is asked again, first by net/http with the
// same nonce: nobody hears of it.
func TestReplayedNonce(t *testing.T) {
	server := plane(t)
	var warned []string
	target := targetOf(t, server, func(o *eas.Options) { o.Warn = func(text string) { warned = append(warned, text) } })
	if _, err := target.Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: description("echo")}); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Describe(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	server.Inject(controlplane.Fault{Kind: controlplane.ResetAfter, Action: "DescribeService"})
	if _, err := target.Describe(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	if len(warned) > 0 {
		t.Errorf("warnings %q", warned)
	}
}
