package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"golang.org/x/sync/errgroup"
)

// patience is how long one answer may take. It only ever passes in full where
// something is wrong.
const patience = 2 * time.Minute

// service is where requests go.
type service struct {
	url, token  string
	connections int
	client      *http.Client
}

func newService(url, token string, connections int) service {
	return service{url, token, connections, &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections},
		Timeout:   patience,
	}}
}

// answer is what came back.
type answer struct {
	status int
	text   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.text) }

// result is the answer to a picture that was recognized.
var result = regexp.MustCompile(`^\{"result": ([0-9])\}$`)

// digit returns the digit of an answer.
func (a answer) digit() (int, error) {
	m := result.FindStringSubmatch(a.text)
	if a.status != http.StatusOK || m == nil {
		return 0, fmt.Errorf("the answer is no digit: %v", a)
	}
	return int(m[1][0] - '0'), nil
}

// ask sends a body, of a content type unless that is "".
func (s service) ask(ctx context.Context, body []byte, contentType string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if s.token != "" {
		req.Header.Set("Authorization", s.token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp.StatusCode, string(text)}, err
}

// askAll sends n bodies over the service's connections, each of which body makes
// when its turn has come, and returns the answers in their order.
func (s service) askAll(ctx context.Context, n int, body func(i int) []byte) ([]answer, error) {
	answers := make([]answer, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.connections)
	for i := range n {
		g.Go(func() (err error) {
			answers[i], err = s.ask(ctx, body(i), "image/jpeg")
			return err
		})
	}
	return answers, g.Wait()
}
