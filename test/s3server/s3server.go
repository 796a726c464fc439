// Package s3server runs a real S3 server for tests: versitygw, in the version
// that test/versitygw pins, on a directory of the test's own.
package s3server

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// patience is how long the server has to begin to listen. It only ever passes
// in full where it does not.
const patience = time.Minute

// linger is how long a client may go on sending to a server that has closed the
// connection.
const linger = 5 * time.Second

// Server is a running server with one empty bucket. It knows one account, which
// may do everything.
type Server struct {
	URL    string // http://127.0.0.1:PORT
	Bucket string
	Region string
	Dir    string // holds the buckets as directories, and the objects as files

	AccessKeyID     string
	AccessKeySecret string
}

// Start runs a server until the test ends. Where it cannot be built the test is
// skipped. It must be called before the test changes HOME, which decides where
// the built server is kept.
func Start(tb testing.TB) *Server {
	tb.Helper()
	if runtime.GOOS == "windows" {
		tb.Skip("missing: the S3 server does not run on Windows")
	}
	name, err := built()
	if err != nil {
		tb.Skipf("missing: the S3 server versitygw: %v", err)
	}
	s := &Server{Bucket: "packages", Region: "us-east-1", Dir: tb.TempDir(), AccessKeyID: "AKIDTESTEXAMPLE", AccessKeySecret: "a+secret/of=tests"}
	// A socket's path is short.
	run, err := os.MkdirTemp("", "s3-")
	if err != nil {
		tb.Fatal(err)
	}
	socket := filepath.Join(run, "socket")
	sidecar := tb.TempDir() // keeps what not every file system can: extended attributes
	if err := os.Mkdir(filepath.Join(s.Dir, s.Bucket), 0o755); err != nil {
		tb.Fatal(err)
	}
	// The shell ends the server when this process does, however it ends.
	cmd := exec.Command("sh", "-c", `"$@" & read -r _; kill $!; wait`, "sh",
		name, "--port", socket, "--region", s.Region, "--keep-alive", "--quiet", "--iam-dir", tb.TempDir(), "posix", "--sidecar", sidecar, s.Dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKeyID, "ROOT_SECRET_KEY="+s.AccessKeySecret)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	life, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		life.Close()
		cmd.Wait() // its status says that it was ended
		os.RemoveAll(run)
		if tb.Failed() {
			tb.Logf("the S3 server said:\n%s", &log)
		}
	})
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(begin) > patience {
			tb.Fatalf("the S3 server does not listen: %v", err)
		}
	}
	s.URL = "http://" + forward(tb, socket)
	return s
}

// forward lets connections through to a socket, from a free port that it
// returns. The server itself cannot be given one without a race.
func forward(tb testing.TB, socket string) (address string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go join(client, socket)
		}
	}()
	return listener.Addr().String()
}

// join carries what either side sends to the other. A server that refuses a
// request closes the connection while the rest of it is still on its way; that
// must not cost the client the answer.
func join(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		io.Copy(server, client)
		server.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, client)
	}()
	io.Copy(client, server)
	client.(*net.TCPConn).CloseWrite()
	client.SetReadDeadline(time.Now().Add(linger))
	<-sent
}

// SetEnv makes the server's key the one that Amazon's usual variables name, for
// this test, and nothing else theirs.
func (s *Server) SetEnv(tb testing.TB) {
	tb.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": s.AccessKeyID, "AWS_SECRET_ACCESS_KEY": s.AccessKeySecret, "AWS_SESSION_TOKEN": "",
		"AWS_ACCESS_KEY": "", "AWS_SECRET_KEY": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		tb.Setenv(name, value)
	}
}
