package test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openeas/eascmd/test/ossserver"
)

// The access key that the OSS server of a script lets in.
const (
	scriptKeyID     = "LTAI5tScriptOfATest"
	scriptKeySecret = "secret-of-the-script"
)

// ossServers holds each script's OSS server.
var ossServers sync.Map // *testscript.TestScript -> *ossserver.Server

// serveOSS runs an OSS server beside a script:
//
//	ossserver start BUCKET...       starts it; what eascmd needs to reach it is in the environment, and its
//	                                endpoint in $OSS
//	ossserver fail OPERATION TIMES  lets the next requests of this name be answered 503 (-1: all)
//	ossserver hang OPERATION N      lets the requests of this name after the next N hang
//	ossserver well                  ends both
//	ossserver wait OPERATION N      waits until so many requests of this name have come
//	ossserver count OPERATION N     checks how many requests of this name came since the last count
//	ossserver received N            checks how many bytes were sent to it since the last count
//	ossserver empty                 checks that there is no object and no unfinished upload
func serveOSS(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "usage: ossserver start BUCKET... | fail OPERATION TIMES | hang OPERATION N | well | wait OPERATION N | count OPERATION N | received N | empty"
	if neg || len(args) == 0 {
		ts.Fatalf(usage)
	}
	if args[0] == "start" {
		startOSS(ts, args[1:])
		return
	}
	running, ok := ossServers.Load(ts)
	if !ok {
		ts.Fatalf("no OSS server was started")
	}
	s := running.(*ossserver.Server)
	switch {
	case args[0] == "fail" && len(args) == 3:
		times, err := strconv.Atoi(args[2])
		ts.Check(err)
		s.Inject(ossserver.Fault{Operation: args[1], Times: times, Action: ossserver.Fail, Status: 503})
	case args[0] == "hang" && len(args) == 3:
		skip, err := strconv.Atoi(args[2])
		ts.Check(err)
		s.Inject(ossserver.Fault{Operation: args[1], Skip: skip, Times: -1, Action: ossserver.Hang})
	case args[0] == "well" && len(args) == 1:
		s.ClearFaults()
	case args[0] == "wait" && len(args) == 3:
		want, err := strconv.Atoi(args[2])
		ts.Check(err)
		deadline := time.Now().Add(patience)
		for got := 0; got < want; got, _, _ = s.Count(args[1]) {
			if time.Now().After(deadline) {
				ts.Fatalf("%d requests of %s, want %d", got, args[1], want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	case args[0] == "count" && len(args) == 3:
		got, _, _ := s.Count(args[1])
		s.ForgetRequests()
		if fmt.Sprint(got) != args[2] {
			ts.Fatalf("%d requests of %s, want %s", got, args[1], args[2])
		}
	case args[0] == "received" && len(args) == 2:
		var got int64
		for _, r := range s.Requests() {
			got += r.Received
		}
		s.ForgetRequests()
		if fmt.Sprint(got) != args[1] {
			ts.Fatalf("%d bytes were received, want %s", got, args[1])
		}
	case args[0] == "empty" && len(args) == 1:
		for _, bucket := range s.Buckets() {
			if objects, uploads := s.Objects(bucket), s.Uploads(bucket); len(objects)+len(uploads) > 0 {
				ts.Fatalf("bucket %s has objects %q and unfinished uploads %q", bucket, objects, uploads)
			}
		}
	default:
		ts.Fatalf(usage)
	}
}

func startOSS(ts *testscript.TestScript, buckets []string) {
	s, err := ossserver.New(ossserver.Options{Dir: filepath.Join(ts.MkAbs("."), ".ossserver")})
	ts.Check(err)
	const account = "1234567890123456"
	s.SetKey(ossserver.Key{ID: scriptKeyID, Secret: scriptKeySecret, Account: account})
	for _, bucket := range buckets {
		ts.Check(s.CreateBucket(bucket, account))
	}
	l, err := s.Listen("127.0.0.1:0")
	ts.Check(err)
	ossServers.Store(ts, s)
	ts.Defer(func() {
		ossServers.Delete(ts)
		l.Close()
	})
	ts.Setenv("OSS", l.URL)
	ts.Setenv("EASCMD_OSS_ENDPOINT", l.URL)
	ts.Setenv("EASCMD_ACCESS_KEY_ID", scriptKeyID)
	ts.Setenv("EASCMD_ACCESS_KEY_SECRET", scriptKeySecret)
}
