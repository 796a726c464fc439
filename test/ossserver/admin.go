package ossserver

import (
	"encoding/json"
	"net/http"
	"time"
)

// Admin returns what controls the server over HTTP, for tests in other
// processes. It lets everybody in, and belongs on a port of its own.
//
//	GET    /requests           what was asked, as JSON
//	DELETE /requests           counts anew
//	GET    /faults             what is still to go wrong
//	POST   /faults             lets something go wrong: a Fault as JSON
//	DELETE /faults             lets everything go well again
//	POST   /skew?by=20m        sets the clock off
//	POST   /expire?bucket=NAME drops the unfinished uploads of a bucket
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Requests()) })
	mux.HandleFunc("DELETE /requests", func(http.ResponseWriter, *http.Request) { s.ForgetRequests() })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Faults()) })
	mux.HandleFunc("DELETE /faults", func(http.ResponseWriter, *http.Request) { s.ClearFaults() })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			err = s.inject(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /skew", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetSkew(by)
	})
	mux.HandleFunc("POST /expire", func(_ http.ResponseWriter, r *http.Request) { s.ExpireUploads(r.URL.Query().Get("bucket")) })
	return mux
}

// ListenAdmin serves Admin at an address of this machine.
func (s *Server) ListenAdmin(addr string) (*Listener, error) { return s.listen(addr, s.Admin()) }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked may have gone
}
