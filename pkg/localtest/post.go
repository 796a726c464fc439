package localtest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/openeas/eascmd/internal/fault"
)

// PredictURL is the address that a service answers requests at.
func PredictURL(endpoint, service string) string { return endpoint + "/api/predict/" + service }

// Post sends one request to a service and copies the body of its answer to w,
// byte for byte. size is the body's length in bytes, negative where it is not
// known. Any status but 200 is an error of kind Answer, and nothing is written
// then.
func Post(ctx context.Context, url, token string, body io.Reader, size int64, w io.Writer) error {
	if size == 0 {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return fault.New(fault.Failed, "post the request: %w", err)
	}
	req.ContentLength = size
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	// A client of its own: the service is on this machine, whatever proxy the
	// environment names, and nothing of the connection is to stay.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fault.New(fault.Interrupted, "post the request: %w", ctx.Err())
		}
		return fault.New(fault.Answer, "post the request: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt+1))
		err := fault.New(fault.Answer, "the request was answered %s%s", resp.Status, excerpt(answer))
		return err.WithHint("%s", statusHint(resp.StatusCode))
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fault.New(fault.Failed, "copy the answer: %w", err)
	}
	return nil
}

const maxExcerpt = 8 << 10

// excerpt shows the beginning of an answer in an error.
func excerpt(body []byte) string {
	head, more := body, ""
	if len(body) > maxExcerpt {
		head, more = body[:maxExcerpt], "…"
		// The cut may have gone through a character.
		for cut := 0; cut < utf8.UTFMax-1 && !utf8.Valid(head); cut++ {
			head = head[:len(head)-1]
		}
	}
	switch {
	case len(body) == 0:
		return " with an empty body"
	case !utf8.Valid(head):
		return " with a binary body"
	}
	return ": " + strings.TrimRight(string(head), "\n") + more
}

// statusHint says what to do about a status that the gateway gives.
func statusHint(status int) string {
	switch status {
	case http.StatusRequestTimeout:
		return "the request took longer than rpc.keepalive allows; raise it with --timeout"
	case http.StatusRequestEntityTooLarge:
		return "raise the limit with --body-limit"
	case http.StatusBadRequest:
		return "the processor answers 400 by returning it, and for any status that is no HTTP status"
	case http.StatusInternalServerError:
		return "the processor's output above tells more"
	default:
		return ""
	}
}
