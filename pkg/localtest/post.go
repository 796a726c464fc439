package localtest

import (
	"context"
	"io"
	"net/http"

	"github.com/openeas/eascmd/internal/fault"
)

// PredictURL is the address that a service answers requests at.
func PredictURL(endpoint, service string) string { return endpoint + "/api/predict/" + service }

// Post sends one request to a service and copies the body of its answer to w,
// byte for byte and whatever the status. size is the body's length in bytes,
// negative where it is not known. Any status but 200, which is what the client
// SDKs take for success, is an error of kind Answer.
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
	copied, err := io.Copy(w, resp.Body)
	if err != nil {
		return fault.New(fault.Failed, "copy the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Answer, "the request was answered %s", resp.Status).WithHint("%s", statusHint(resp.StatusCode, copied > 0))
	}
	return nil
}

// statusHint says what to do about a status. The gateway and the processor may
// both have given it, and only the former's reasons are known here.
func statusHint(status int, body bool) string {
	switch {
	case status == http.StatusRequestTimeout:
		return "a request that takes longer than rpc.keepalive is answered 408; --timeout raises it"
	case status == http.StatusRequestEntityTooLarge:
		return "a body longer than --body-limit is answered 413"
	case status == http.StatusTooManyRequests:
		return "more requests a second than rpc.rate_limit are answered 429"
	case status == http.StatusBadRequest:
		return "if process did not return 400 itself: an exception in Java or Python, or a return value that is no HTTP status, is answered 400"
	case status >= http.StatusInternalServerError && body:
		return "the body of the answer says why"
	default:
		return ""
	}
}
