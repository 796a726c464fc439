package s3server

import (
	"net/http"
	"testing"
)

// The server answers, and to nobody who has not signed.
func TestStart(t *testing.T) {
	s := Start(t)
	resp, err := http.Get(s.URL + "/" + s.Bucket + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", resp.Status)
	}
}
