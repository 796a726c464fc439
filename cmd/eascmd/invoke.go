package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/invoke"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

// usualReadyWait is what --wait-ready without a value stands for.
const usualReadyWait = 5 * time.Minute

// invokeOptions are the flags of `eascmd invoke`.
type invokeOptions struct {
	data, path, method, token string
	headers                   []string
	auth                      invoke.Auth
	repeat                    int
	timeout, waitReady        time.Duration
	internal                  bool
	place                     placeOrFormat
}

func newInvokeCommand(a *app) *cobra.Command {
	o := &invokeOptions{auth: invoke.Token}
	cmd := &cobra.Command{
		Use:     "invoke SERVICE|URL --data TEXT|@FILE|- [flags]",
		GroupID: groupDeploy,
		Short:   "Call a service, deployed or local",
		Long: `Sends a request to a service and prints the body of the answer, byte for byte. A
service of the profile's region is named; its address and its token come from the
API. Any other one, such as one that 'eascmd test' runs, is given by its URL, and its
token by EASCMD_INVOKE_TOKEN or, with --token -, by a line of standard input.

--auth says how the token is sent: as it is, as "Bearer", or as the signature that
the client SDKs send. Just after a service has come to run, the gateway may not
know it yet; --wait-ready asks again while that is so.

Any status but 200 is a failure, as the client SDKs have it, and what EAS means by
it is said: 401, 408 (longer than rpc.keepalive), 429 (rpc.rate_limit), 450 (the queue
is full), 503 (no instance is ready). The body is printed all the same. -v shows
status, headers and time. The original has no such command.`,
		Example: `  eascmd invoke scorer --data '{"x": 1}'
  eascmd invoke scorer --data @request.bin -o answer.bin
  eascmd invoke scorer --data hello --wait-ready --repeat 100 > /dev/null
  EASCMD_INVOKE_TOKEN="$TOKEN" eascmd invoke http://localhost:8080/api/predict/scorer --data hello --auth signature`,
		Annotations:       exits(readingKinds(fault.Answer)...),
		Args:              needArgs("the service's name or URL"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if given := cmd.Flags().Changed("token"); given && o.token != "" && o.token != "-" && a.fromVariable["token"] == "" {
				a.term.Warn("a token on the command line is visible in the list of processes and in the shell's history; EASCMD_INVOKE_TOKEN holds it, and --token - reads it from standard input")
			}
			return a.invoke(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.data, "data", "d", "", "the request's body: `text`, @FILE for a file's content, - for standard input")
	flags.StringVar(&o.path, "path", "", "`path` below the service's own, such as /v1/models?x=1")
	flags.StringVarP(&o.method, "method", "X", "POST", "`method` of the request")
	flags.StringArrayVarP(&o.headers, "header", "H", nil, "`name: value` of a header; may be repeated")
	flags.Var(&o.auth, "auth", "how the token is sent: "+strings.Join(invoke.Auths(), ", "))
	flags.StringVar(&o.token, "token", "", "`token` of the service; - reads a line of standard input; a named service's own is known")
	flags.IntVar(&o.repeat, "repeat", 1, "send the request `times` times, one after the other")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "longest `time` of a request; 0: no limit")
	flags.DurationVar(&o.waitReady, "wait-ready", 0, "ask again for this `time` while the service is not ready")
	flags.Lookup("wait-ready").NoOptDefVal = usualReadyWait.String()
	flags.BoolVar(&o.internal, "internal", false, "call the named service's intranet endpoint")
	a.addPlaceFlag(cmd, &o.place, "file for the body of the answer")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("auth", completeWords(invoke.Auths))
	return cmd
}

// invoke calls a service as often as asked for.
func (a *app) invoke(ctx context.Context, service string, o *invokeOptions) error {
	switch {
	case o.repeat < 1:
		return fault.New(fault.Usage, "--repeat %d: it has to be 1 or more", o.repeat)
	case o.repeat > 1 && o.place.place != "":
		return fault.New(fault.Usage, "--repeat and a file for the answer exclude each other")
	case o.timeout < 0 || o.waitReady < 0:
		return fault.New(fault.Usage, "a time cannot be negative")
	}
	request, err := a.invokeRequest(ctx, service, o)
	if err != nil {
		return err
	}
	client, err := store.NewClient(a.caBundle)
	if err != nil {
		return err
	}
	if t, ok := client.Transport.(*http.Transport); ok {
		client.Transport = invoke.Transport(t)
	}
	defer client.CloseIdleConnections()
	said := ""
	opts := invoke.Options{Client: client, Timeout: o.timeout, WaitReady: o.waitReady, Waiting: func(why string) {
		if why != said {
			a.term.Info("the service is not ready yet (%s); asking again for up to %v", ui.Printable(why), o.waitReady)
		}
		said = why
	}}
	calls := &invokeCalls{app: a, service: nameIn(service), address: isURL(service), file: o.place.place, result: invokeResult{URL: invoke.Name(request.URL), Answers: []invokeAnswer{}}}
	for range o.repeat {
		if err := calls.do(ctx, request, opts); err != nil {
			return err
		}
	}
	return calls.finish()
}

// invokeRequest makes the request of a service's name or URL and the flags.
func (a *app) invokeRequest(ctx context.Context, service string, o *invokeOptions) (invoke.Request, error) {
	r := invoke.Request{Method: strings.ToUpper(o.method), Auth: o.auth, Token: o.token, Header: http.Header{}}
	for _, header := range o.headers {
		name, value, ok := strings.Cut(header, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return r, fault.New(fault.Usage, "--header: there is no colon after a name").WithHint(`write --header "Name: value"`)
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if r.Token == "-" {
		var err error
		if r.Token, err = a.term.ReadSecret(ctx, "Token"); err != nil {
			return r, err
		}
	}
	var err error
	if r.Body, err = a.requestBody(ctx, o.data); err != nil {
		return r, err
	}
	address := service
	if !isURL(service) {
		if address, err = a.endpointOf(ctx, service, o.internal, &r.Token); err != nil {
			return r, err
		}
	} else if o.internal {
		return r, fault.New(fault.Usage, "--internal is for services that are named, and %s is an address", invoke.Name(service))
	}
	r.URL, err = below(address, o.path)
	return r, err
}

// requestBody makes a body of --data.
func (a *app) requestBody(ctx context.Context, data string) (invoke.Body, error) {
	if file, ok := strings.CutPrefix(data, "@"); ok {
		return invoke.File(file), nil
	}
	if data != "-" {
		return invoke.Bytes([]byte(data)), nil
	}
	// It may be sent several times, so it is kept.
	const most = 1 << 30
	text, err := readWaiting(ctx, io.LimitReader(a.term.In, most+1))
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, fault.New(fault.Failed, "read standard input: %w", err)
	case len(text) > most:
		return nil, fault.New(fault.Usage, "standard input has more than %s", ui.Bytes(most)).WithHint("a file is read while it is sent: --data @FILE")
	}
	return invoke.Bytes(text), nil
}

// readWaiting reads to the end. To read what is typed, or from a pipe, may take
// for ever and cannot be interrupted: when ctx ends it is left to itself.
func readWaiting(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(r)
		done <- result{data, err}
	}()
	select {
	case got := <-done:
		return got.data, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// isURL reports whether what is called is given by its address.
func isURL(service string) bool { return strings.Contains(service, "://") }

// endpointOf asks for a service's address, and for its token where none is given.
func (a *app) endpointOf(ctx context.Context, service string, internal bool, token *string) (string, error) {
	if strings.ContainsAny(service, "/:") {
		return "", fault.New(fault.Usage, "%s is neither a service's name nor a URL", service).
			WithHint("a URL begins with http:// or https://")
	}
	target, err := a.target(ctx)
	if err != nil {
		return "", err
	}
	s, err := target.Describe(ctx, service)
	if errors.Is(err, deploy.ErrNotFound) {
		return "", groupInstead(ctx, target, service, err)
	}
	if err != nil {
		return "", err
	}
	if *token == "" {
		*token = s.AccessToken
	}
	endpoint, other, flag := s.InternetEndpoint, s.IntranetEndpoint, "an internet endpoint"
	if internal {
		endpoint, other, flag = s.IntranetEndpoint, s.InternetEndpoint, "an intranet endpoint"
	}
	if endpoint == "" {
		err := fault.New(fault.Remote, "service %s does not have %s", service, flag)
		if other != "" && !internal {
			return "", err.WithHint("from inside its VPC call it with --internal")
		}
		return "", err.WithHint("it is %s; `eascmd desc %s` shows more", s.Status, service)
	}
	return endpoint, nil
}

// groupInstead says of a service that is not there when its name is that of a
// group.
func groupInstead(ctx context.Context, target deploy.Target, name string, err error) error {
	members, _, listErr := target.List(ctx, deploy.ListRequest{Group: name})
	if listErr != nil || len(members) == 0 {
		return err
	}
	return fault.New(fault.KindOf(err), "%w", err).
		WithHint("%s is a group of services: call it by its URL with the group's token, which the console shows, or one of its services (`eascmd list --group %s`)", name, name)
}

// below adds a path, which may have a query, to an address.
func below(address, path string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fault.New(fault.Usage, "%s is no http or https address", invoke.Name(address))
	}
	if path == "" {
		return address, nil
	}
	if u.RawQuery != "" {
		return "", fault.New(fault.Usage, "--path: the address has a query already").WithHint("write the path into the address")
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "?") {
		path = "/" + path
	}
	return strings.TrimSuffix(address, "/") + path, nil
}

// nameIn returns the service's name in an address, or the name itself.
func nameIn(service string) string {
	if !isURL(service) {
		return service
	}
	_, rest, _ := strings.Cut(service, "/api/predict/")
	name, _, _ := strings.Cut(rest, "/")
	name, _, _ = strings.Cut(name, "?")
	return name
}

// invokeResult is the result of `eascmd invoke` in JSON and YAML.
type invokeResult struct {
	URL     string         `json:"url"`
	Answers []invokeAnswer `json:"answers"`
}

type invokeAnswer struct {
	Status       int                 `json:"status"`
	Milliseconds float64             `json:"milliseconds"` // from the request to the end of the body
	Attempts     int                 `json:"attempts"`
	Headers      map[string][]string `json:"headers"`
	Bytes        int64               `json:"bytes"`
	// Body is there where it is text, BodyBase64 where it is not, and File where
	// it was written to one.
	Body       string `json:"body,omitempty"`
	BodyBase64 []byte `json:"bodyBase64,omitempty"`
	File       string `json:"file,omitempty"`
}

// View is not used: for people the bodies are printed as they come.
func (invokeResult) View() ui.View { return ui.Page{} }

// invokeCalls is a run of calls.
type invokeCalls struct {
	*app
	service string
	address bool   // the service was given by its address
	file    string // for the body; empty: standard output
	result  invokeResult
	failed  []error // of answers other than 200
}

// do calls once and takes care of the answer.
func (c *invokeCalls) do(ctx context.Context, request invoke.Request, opts invoke.Options) error {
	c.term.Debug("%s %s", request.Method, ui.Printable(c.result.URL))
	answer, err := invoke.Do(ctx, request, opts)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	row := invokeAnswer{Status: answer.StatusCode, Attempts: answer.Attempts, Headers: answer.Header}
	if err := c.take(answer, &row); err != nil {
		return err
	}
	taken := time.Since(answer.Sent)
	row.Milliseconds = float64(taken.Microseconds()) / 1000
	c.term.Debug("%s after %s, %d bytes", ui.Printable(answer.Status), roundTime(taken), row.Bytes)
	for _, line := range headerLines(answer.Header) {
		c.term.Debug("%s", ui.Printable(line))
	}
	c.result.Answers = append(c.result.Answers, row)
	if err := answer.Err(c.service, c.address, row.Bytes > 0); err != nil {
		c.failed = append(c.failed, err)
	}
	return nil
}

// finish prints what is said at the end, and judges.
func (c *invokeCalls) finish() error {
	if c.output != ui.Table {
		if err := c.print(c.result); err != nil {
			return err
		}
	}
	n := len(c.result.Answers)
	if n > 1 {
		c.term.OK("%s", c.summary())
	}
	switch {
	case len(c.failed) == 0:
		return nil
	case n == 1:
		return c.failed[0]
	}
	first := c.failed[0]
	return fault.New(fault.Answer, "%d of %d requests failed; the first one: %w", len(c.failed), n, first).WithHint("%s", fault.HintOf(first))
}

// summary tells how many requests were answered how, and how fast.
func (c *invokeCalls) summary() string {
	statuses := map[int]int{}
	var times []float64
	for _, answer := range c.result.Answers {
		statuses[answer.Status]++
		times = append(times, answer.Milliseconds)
	}
	slices.Sort(times)
	var parts []string
	for _, status := range sortedKeys(statuses) {
		parts = append(parts, fmt.Sprintf("%d x %d", statuses[status], status))
	}
	at := func(share float64) time.Duration {
		return time.Duration(times[int(share*float64(len(times)-1))] * float64(time.Millisecond))
	}
	return fmt.Sprintf("%d requests: %s; shortest %s, median %s, longest %s", len(times), strings.Join(parts, ", "),
		roundTime(at(0)), roundTime(at(0.5)), roundTime(at(1)))
}
