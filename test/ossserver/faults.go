package ossserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Action is what a fault does.
type Action string

// The actions of faults.
const (
	// DropRequest cuts the connection after Bytes of the request's body.
	DropRequest Action = "drop-request"
	// DropAnswer does what is asked for and cuts the connection after Bytes of
	// the answer's body; with 0 nothing of the answer goes out.
	DropAnswer Action = "drop-answer"
	// Fail answers Status and Code instead of doing what is asked for.
	Fail Action = "fail"
	// Slow moves no more than BytesPerSecond, in both directions.
	Slow Action = "slow"
	// Hang takes Bytes of the request's body, and nothing happens any more until
	// the other side gives up or the faults are cleared.
	Hang Action = "hang"
	// LoseUpload drops the upload that the request is about, and answers that
	// there is none.
	LoseUpload Action = "lose-upload"
	// WrongCRC announces another x-oss-hash-crc64ecma than that of the bytes.
	WrongCRC Action = "wrong-crc"
	// CorruptRequest changes a byte of what comes.
	CorruptRequest Action = "corrupt-request"
	// CorruptAnswer changes a byte of what goes.
	CorruptAnswer Action = "corrupt-answer"
)

// Fault is something that goes wrong with requests that match it.
type Fault struct {
	Operation string `json:"operation,omitempty"` // "": any
	Key       string `json:"key,omitempty"`       // "": any
	Part      int    `json:"part,omitempty"`      // 0: any
	Skip      int    `json:"skip,omitempty"`      // so many matching requests go well before
	Times     int    `json:"times,omitempty"`     // how many it hits; 0: one; -1: all

	Action         Action `json:"action"`
	Bytes          int64  `json:"bytes,omitempty"`
	Status         int    `json:"status,omitempty"`         // of Fail; default 500
	Code           string `json:"code,omitempty"`           // of Fail; default by the status
	RetryAfter     int    `json:"retryAfter,omitempty"`     // of Fail; seconds
	Early          bool   `json:"early,omitempty"`          // of Fail: the request's body is not read
	BytesPerSecond int64  `json:"bytesPerSecond,omitempty"` // of Slow
}

func (f Fault) check() error {
	switch f.Action {
	case DropRequest, DropAnswer, Fail, Hang, LoseUpload, WrongCRC, CorruptRequest, CorruptAnswer:
		return nil
	case Slow:
		if f.BytesPerSecond > 0 {
			return nil
		}
		return errors.New("a slow fault needs bytesPerSecond")
	}
	return fmt.Errorf("%q is no action", f.Action)
}

func (f *Fault) matches(r Request) bool {
	return (f.Operation == "" || f.Operation == r.Operation) && (f.Key == "" || f.Key == r.Key) && (f.Part == 0 || f.Part == r.Part)
}

type faults struct {
	mu      sync.Mutex
	all     []*Fault
	cleared chan struct{} // closed when the faults are cleared; made when one hangs
}

// Inject lets something go wrong. It panics where f is no fault, since that is
// a mistake of the test. The first fault that matches a request hits it.
func (s *Server) Inject(f Fault) {
	if err := s.inject(f); err != nil {
		panic(err)
	}
}

func (s *Server) inject(f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("ossserver: %w", err)
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.all = append(s.faults.all, &f)
	return nil
}

// Faults returns the faults that are still to come.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	all := make([]Fault, len(s.faults.all))
	for i, f := range s.faults.all {
		all[i] = *f
	}
	return all
}

// ClearFaults lets everything go well again, and cuts what hangs.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.all = nil
	if s.faults.cleared != nil {
		close(s.faults.cleared)
		s.faults.cleared = nil
	}
}

// hanging returns a channel that ClearFaults closes.
func (f *faults) hanging() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cleared == nil {
		f.cleared = make(chan struct{})
	}
	return f.cleared
}

// take returns a fault that hits r, or nil.
func (f *faults) take(r Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, one := range f.all {
		if !one.matches(r) {
			continue
		}
		if one.Skip > 0 {
			one.Skip--
			continue
		}
		hit := *one
		if one.Times > 0 {
			if one.Times--; one.Times == 0 {
				f.all = slices.Delete(f.all, i, i+1)
			}
		}
		return &hit
	}
	return nil
}

// errCut ends an exchange by cutting its connection.
var errCut = errors.New("the connection is cut")

// hit reports whether the exchange's fault is of this action.
func (x *exchange) hit(a Action) bool { return x.fault != nil && x.fault.Action == a }

// before does what faults do before anything else happens.
func (x *exchange) before() error {
	switch {
	case x.hit(Fail):
		if !x.fault.Early {
			if _, err := io.Copy(io.Discard, x); err != nil {
				return errCut
			}
		}
		status := x.fault.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		e := &apiError{status: status, code: x.fault.Code, text: "A fault was asked for.", ec: "0010-00000000"}
		if e.code == "" {
			e.code = "InternalError"
			if status == http.StatusServiceUnavailable {
				e.code = "ServerBusy"
			}
		}
		if x.fault.RetryAfter > 0 {
			x.header().Set("Retry-After", strconv.Itoa(x.fault.RetryAfter))
		}
		return e
	case x.hit(LoseUpload):
		if _, err := io.Copy(io.Discard, x); err != nil {
			return errCut
		}
		if err := x.server.state.dropUpload(x.UploadID); err != nil {
			return err
		}
		return errNoSuchUpload
	case (x.hit(DropRequest) || x.hit(Hang)) && x.r.ContentLength == 0:
		return x.stop() // there is no body to wait for
	}
	return nil
}

// mostHang bounds how long a request hangs: while its body is not read, nothing
// tells that the other side has gone.
const mostHang = time.Minute

// stop cuts the connection, or lets it hang before.
func (x *exchange) stop() error {
	if x.hit(Hang) {
		select {
		case <-x.r.Context().Done():
		case <-x.server.faults.hanging():
		case <-time.After(mostHang):
		}
	}
	return errCut
}

// body is where a request's bytes come from.
type body = io.Reader

// Read reads the request's body.
func (x *exchange) Read(p []byte) (int, error) {
	if x.hit(DropRequest) || x.hit(Hang) {
		left := x.fault.Bytes - x.Received
		if left <= 0 {
			return 0, x.stop()
		}
		p = p[:min(int64(len(p)), left)]
	}
	if x.hit(Slow) {
		p = p[:min(int64(len(p)), x.piece())]
	}
	n, err := x.body.Read(p)
	if x.hit(CorruptRequest) && x.Received == 0 && n > 0 {
		p[0] ^= 1
	}
	x.note(func(r *Request) { r.Received += int64(n) })
	if x.hit(Slow) {
		x.pause(n)
	}
	return n, err
}

// piece is how many bytes a slow line moves at once.
func (x *exchange) piece() int64 { return max(1, x.fault.BytesPerSecond/20) }

func (x *exchange) pause(n int) {
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(x.fault.BytesPerSecond)):
	case <-x.r.Context().Done():
	}
}

func (x *exchange) header() http.Header { return x.w.Header() }

// start begins the answer.
func (x *exchange) start(status int) {
	if x.hit(DropAnswer) && x.fault.Bytes <= 0 {
		panic(http.ErrAbortHandler)
	}
	if crc := x.header().Get("X-Oss-Hash-Crc64ecma"); crc != "" && x.hit(WrongCRC) {
		n, _ := strconv.ParseUint(crc, 10, 64)
		x.header().Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(n^1, 10))
	}
	x.wrote = true
	x.note(func(r *Request) { r.Status = status })
	x.w.WriteHeader(status)
}

// Write writes the answer's body.
func (x *exchange) Write(p []byte) (int, error) {
	if !x.wrote {
		x.start(http.StatusOK)
	}
	written := 0
	for len(p) > 0 {
		piece := p
		if x.hit(DropAnswer) {
			left := x.fault.Bytes - x.Sent
			if left <= 0 {
				_ = http.NewResponseController(x.w).Flush()
				return written, errCut
			}
			piece = piece[:min(int64(len(piece)), left)]
		}
		if x.hit(Slow) {
			piece = piece[:min(int64(len(piece)), x.piece())]
		}
		if x.hit(CorruptAnswer) && x.Sent == 0 {
			piece = slices.Clone(piece)
			piece[0] ^= 1
		}
		x.note(func(r *Request) { r.Sent += int64(len(piece)) })
		n, err := x.w.Write(piece)
		written += n
		if err != nil {
			x.note(func(r *Request) { r.Sent -= int64(len(piece) - n) })
			return written, err
		}
		if x.hit(Slow) {
			_ = http.NewResponseController(x.w).Flush()
			x.pause(n)
		}
		p = p[n:]
	}
	return written, nil
}
