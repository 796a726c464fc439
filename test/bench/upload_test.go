//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// needLine skips a test where no line can be laid.
func needLine(t *testing.T) *line {
	t.Helper()
	l, err := newLine()
	if err != nil {
		t.Skipf("missing: %s: %v", shapedLine, err)
	}
	t.Cleanup(l.close)
	return l
}

// What is sent over the line is there, after half of a round trip each way and no
// faster than the line is.
func TestLine(t *testing.T) {
	l := needLine(t)
	before, err := l.client.traffic(lineDevice)
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	took, err := l.transfer(size)
	if err != nil {
		t.Fatal(err)
	}
	// One round trip until the connection is there, and one for the last byte and
	// the answer to it.
	if least := 2*lineRTT + time.Duration(math.Round(size/linePayload*1e9)); took < least {
		t.Errorf("%d bytes took %v, but must take %v", size, took, least)
	}
	after, err := l.client.traffic(lineDevice)
	if err != nil {
		t.Fatal(err)
	}
	if sent := after.since(before); sent.Sent < size*lineMTU/(lineMTU-52) || sent.Received == 0 || sent.Received > size {
		t.Errorf("%+v on the line for %d bytes", sent, size)
	}
}

// What arrives where nothing is up is lost, and what is sent later arrives.
func TestLineOutOfOrder(t *testing.T) {
	l := needLine(t)
	for _, end := range []*netns{l.client, l.server} {
		if err := end.command("ip", "link", "set", lineDevice, "down"); err != nil {
			t.Fatal(err)
		}
	}
	up := func(end *netns, other string) {
		t.Helper()
		for _, argv := range [][]string{{"ip", "link", "set", lineDevice, "up"}, {"ip", "route", "replace", other, "dev", lineDevice}} {
			if err := end.command(argv...); err != nil {
				t.Fatal(err)
			}
		}
	}
	up(l.client, serverAddress)
	err := l.client.do(func() error {
		_, err := net.DialTimeout("tcp4", serverAddress+":9", 4*lineRTT)
		return err
	})
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("where nobody is: %v", err)
	}
	up(l.server, clientAddress)
	if _, err := l.transfer(1 << 20); err != nil {
		t.Error(err)
	}
}

// What a namespace has is its own.
func TestNetns(t *testing.T) {
	l := needLine(t)
	if _, err := l.client.traffic("no-such-device"); err == nil {
		t.Error("a device that is not there: no error")
	}
	if err := l.client.command("ip", "link", "show", "no-such-device"); err == nil || !strings.Contains(err.Error(), "no-such-device") {
		t.Errorf("error %v", err)
	}
	if err := exec.Command("ip", "link", "show", lineDevice).Run(); err == nil {
		t.Error("the line's device is there outside of its namespace")
	}
	if err := l.server.do(func() error { return os.ErrExist }); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
}

// Packets go one after the other, and the line's clock does not go back.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	const size = 1250 // bytes: 50 µs at 200 Mbit/s
	for _, tt := range []struct{ sent, arrives time.Duration }{
		{0, 20*time.Millisecond + 50*time.Microsecond},
		{0, 20*time.Millisecond + 100*time.Microsecond},
		{10 * time.Microsecond, 20*time.Millisecond + 150*time.Microsecond},
		{time.Second, 1020*time.Millisecond + 50*time.Microsecond}, // nobody was waiting
	} {
		if got := p.arrival(now.Add(tt.sent), size).Sub(now); got != tt.arrives {
			t.Errorf("sent after %v it arrives after %v, want %v", tt.sent, got, tt.arrives)
		}
	}
}

func TestNetemCommand(t *testing.T) {
	const want = "tc qdisc add dev line root netem delay 20000us rate 200000000bit limit 1000"
	if got := strings.Join(netemCommand(), " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseTraffic(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     576       2    0    0    0     0          0         0      577       2    0    0    0     0       0          0
  line: 2215384   34567    0    0    0     0          0         0 169640561  113093    0    3    0     0       0          0
`
	got, err := parseTraffic([]byte(text), lineDevice)
	if err != nil {
		t.Fatal(err)
	}
	if want := (traffic{Sent: 169640561, Received: 2215384}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := got.since(traffic{Sent: 169640000, Received: 2215000}); got != (traffic{Sent: 561, Received: 384}) {
		t.Errorf("since: %+v", got)
	}
	for _, text := range []string{"", "line: 1 2 3", "line: a 0 0 0 0 0 0 0 1", "line2: 1 0 0 0 0 0 0 0 1"} {
		if _, err := parseTraffic([]byte(text), lineDevice); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestFirstVersion(t *testing.T) {
	for text, want := range map[string]string{
		"rclone v1.75.2\n- os/version: debian 12.1 (64 bit)\n":          "1.75.2",
		"aws-cli/1.46.3 Python/3.11.7 Linux/6.18.44 botocore/1.43.62\n": "1.46.3",
		"v1.2.0\n": "1.2.0",
	} {
		if got := firstVersion([]byte(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// The secret of the stores is in no command, and no setting of the user's leads a
// client elsewhere.
func TestUploadClients(t *testing.T) {
	t.Setenv("AWS_PROFILE", "of-the-user")
	t.Setenv("RCLONE_CONFIG", "of-the-user")
	t.Setenv("EASCMD_UPLOAD_PREFIX", "oss://of-the-user")
	t.Setenv("https_proxy", "http://of-the-user")
	u := &uploads{bench: testBench(t)}
	names := func(servers ...storeServer) (names []string) {
		for _, c := range u.clients(servers) {
			names = append(names, c.name+" "+c.store)
			if strings.Contains(strings.Join(c.argv, " "), storeSecret) {
				t.Errorf("%q", c.argv)
			}
		}
		return names
	}
	s3, oss := storeServer{store: storeS3}, storeServer{store: storeOSS}
	if diff := cmp.Diff([]string{"eascmd S3", "eascmd OSS"}, names(s3, oss)); diff != "" {
		t.Errorf("without peers (-want +got):\n%s", diff)
	}
	u.uploadVenv = "venv"
	if diff := cmp.Diff([]string{"eascmd S3", "rclone S3", "rclone, 8 parts at once S3", "aws s3 cp S3", "eascmd OSS"}, names(s3, oss)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"eascmd OSS"}, names(oss)); diff != "" {
		t.Errorf("without S3 (-want +got):\n%s", diff)
	}
	settings := map[string]string{} // the last one of a name holds
	for _, e := range u.storeEnvironment() {
		name, value, _ := strings.Cut(e, "=")
		settings[name] = value
	}
	for name, value := range settings {
		if strings.Contains(value, "of-the-user") {
			t.Errorf("%s=%s", name, value)
		}
	}
	if settings["AWS_SECRET_ACCESS_KEY"] != storeSecret || settings["EASCMD_ACCESS_KEY_SECRET"] != storeSecret {
		t.Error("a key is missing")
	}
}

func TestNewFile(t *testing.T) {
	u := &uploads{file: filepath.Join(t.TempDir(), "package")}
	var before []byte
	for range 2 {
		if err := u.newFile(3<<20 + 5); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(u.file)
		if err != nil || len(text) != 3<<20+5 {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		if bytes.Equal(text[:64], text[1<<20:1<<20+64]) || bytes.Equal(text, before) {
			t.Error("what is sent is there already, or is the same again and again")
		}
		before = text
	}
}

func TestKilledUpload(t *testing.T) {
	k := killedUpload{Size: 200, First: 105, Resumed: 80, Sent: 120}
	if k.again() != 25 {
		t.Errorf("%d sent twice", k.again())
	}
	if k.First = 70; k.again() != 0 { // more had arrived than was counted
		t.Errorf("%d sent twice", k.again())
	}
}

// A client that fails says why, and one that is killed is gone.
func TestRunUploadFails(t *testing.T) {
	u := &uploads{bench: testBench(t), line: needLine(t)}
	_, err := u.runUpload(t.Context(), u.line.client, uploadClient{argv: []string{"sh", "-c", "echo no such bucket >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "no such bucket") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	run, err := u.startUpload(t.Context(), u.line.client, uploadClient{argv: []string{"sleep", "600"}})
	if err != nil {
		t.Fatal(err)
	}
	run.kill()
	if _, err := run.wait(); err == nil {
		t.Error("killed: no error")
	}
}

// An upload of little to our OSS server over the line, with the program itself.
func TestUploadOverLine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	b := testBench(t)
	u := &uploads{bench: b, line: needLine(t), uploadFigures: &uploadFigures{}, file: filepath.Join(b.dir, "package.tar.gz"), dir: t.TempDir()}
	b.uploadRounds = 1
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := u.startOSS(t.Context())
	if server != nil {
		t.Cleanup(func() { server.end(0) })
	}
	if err != nil {
		t.Fatal(err)
	}
	clients := u.clients([]storeServer{{server, storeOSS}})
	size := uploadSize{Size: 9 << 20}
	if err := u.compete(t.Context(), 0, clients, &size); err != nil {
		t.Fatal(err)
	}
	if err := u.turns(t.Context(), "there already", 0, clients, true, &u.Again); err != nil {
		t.Fatal(err)
	}
	first, again := size.Uploads[0], u.Again[0]
	if first.Seconds[0] < float64(size.Size)/linePayload || first.Line[0].Sent < size.Size || first.Memory[0] <= 0 {
		t.Errorf("%+v", first)
	}
	if again.Line[0].Sent > size.Size/10 {
		t.Errorf("what was there was sent: %+v", again)
	}
	use, err := u.runUpload(t.Context(), u.line.client, clients[0])
	if err != nil || !json.Valid(use.stdout) {
		t.Errorf("it printed %q, %v", use.stdout, err)
	}
}
