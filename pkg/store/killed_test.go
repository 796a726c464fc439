package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/test/ossserver"
)

// The program of a test is an upload where this names the file.
const uploadVariable = "EASCMD_STORE_TEST_UPLOAD"

const (
	killedParts    = 24
	killedPartSize = 100 << 10
	killedParallel = 3
)

// fixedKey is a key that does not change.
type fixedKey config.Credentials

func (k fixedKey) Credentials(context.Context) (config.Credentials, error) {
	return config.Credentials(k), nil
}

// uploadHelper uploads in a process of its own: address, endpoint, cache.
func uploadHelper() {
	addr, err := ParseAddress(os.Args[1])
	if err == nil {
		_, err = Upload(context.Background(), UploadOptions{
			File: os.Getenv(uploadVariable), To: addr, CacheDir: os.Args[3],
			Options:  Options{OSSEndpoint: os.Args[2], Region: ossserver.DefaultRegion, Credentials: fixedKey{"LTAI5tKilled", "the-secret", ""}},
			PartSize: killedPartSize, Parallel: killedParallel, RetryDelay: time.Millisecond,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// killer is in front of a server and kills whoever uploads to it at a given
// moment.
type killer struct {
	http.Handler

	mu    sync.Mutex
	kill  func()      // nil: nobody
	at    int64       // when so many bytes of parts have come,
	op    string      // or when this begins,
	after bool        // or has been carried out
	got   int64       // bytes of parts, in all
	whole map[int]int // how often each part came whole

	serving sync.RWMutex // held for reading by each request; a WaitGroup does not let one begin during Wait
}

// arm sets what is killed when.
func (k *killer) arm(kill func(), at int64, op string, after bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kill, k.at, k.op, k.after = kill, at, op, after
}

// shoot kills once.
func (k *killer) shoot() {
	if k.kill != nil {
		k.kill()
		k.kill = nil
	}
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.serving.RLock()
	defer k.serving.RUnlock()
	part, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
	isPart := r.Method == http.MethodPut && part > 0
	op := r.Method
	if r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
		op = "create"
	}
	k.mu.Lock()
	if k.op == op && !k.after {
		k.shoot()
	}
	k.mu.Unlock()
	body := &countedBody{ReadCloser: r.Body, killer: k, counts: isPart}
	r.Body = body
	k.Handler.ServeHTTP(w, r)
	k.mu.Lock()
	defer k.mu.Unlock()
	if isPart && body.n == r.ContentLength {
		k.whole[part]++
	}
	if k.op == op && k.after {
		k.shoot()
	}
}

type countedBody struct {
	io.ReadCloser
	killer *killer
	counts bool
	n      int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 4<<10)])
	b.n += int64(n)
	if b.counts {
		b.killer.mu.Lock()
		defer b.killer.mu.Unlock()
		b.killer.got += int64(n)
		if b.killer.at -= int64(n); b.killer.at < 0 && b.killer.op == "" {
			b.killer.shoot()
		}
	}
	return n, err
}

// An upload is killed at 20 moments, wherever it is then. Each time the next one
// goes on: in the end the right bytes are there, and what was sent twice is no
// more than was on its way.
func TestUploadKilled(t *testing.T) {
	const kills = 20
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("EASCMD_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("EASCMD_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	server, err := ossserver.New(ossserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server.SetKey(ossserver.Key{ID: "LTAI5tKilled", Secret: "the-secret", Account: "1"})
	if err := server.CreateBucket("models", "1"); err != nil {
		t.Fatal(err)
	}
	k := &killer{Handler: server}
	front := httptest.NewServer(k)
	defer front.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := noise((killedParts-1)*killedPartSize + 1234)
	file := filepath.Join(t.TempDir(), "package.tar.gz")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()

	killed := 0
	for round := 0; killed < kills; round++ {
		addr, err := ParseAddress(fmt.Sprintf("oss://models/x%d", round))
		if err != nil {
			t.Fatal(err)
		}
		k.mu.Lock()
		k.got, k.whole = 0, map[int]int{}
		k.mu.Unlock()
		inRound := 0
		for finished := false; !finished; {
			cmd := exec.CommandContext(t.Context(), self, addr.String(), front.URL, cache)
			cmd.Env = append(os.Environ(), uploadVariable+"="+file)
			var said bytes.Buffer
			cmd.Stderr = &said
			started := make(chan struct{})
			shoot := func() {
				<-started
				_ = cmd.Process.Kill()
			}
			if killed == kills {
				shoot = nil
			}
			at, op, after := int64(0), "", random.IntN(2) == 0
			switch random.IntN(8) {
			case 0:
				op = "create"
			case 1:
				op = http.MethodPost // the end of the parts
			case 2:
				op = http.MethodHead
			default:
				at = random.Int64N(int64(len(data)) / 3)
			}
			k.arm(shoot, at, op, after)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			close(started)
			err := cmd.Wait()
			// What the store was asked before is not to happen after what follows.
			front.CloseClientConnections()
			k.serving.Lock()
			k.mu.Lock()
			wasKilled := shoot != nil && k.kill == nil
			k.kill = nil
			k.mu.Unlock()
			k.serving.Unlock()
			switch {
			case wasKilled:
				killed++
				inRound++
			case err != nil:
				t.Fatalf("after %d kills: %v\n%s", inRound, err, said.String())
			}
			// A program may have been done before it could be killed.
			finished = err == nil
		}
		k.mu.Lock()
		got, most := k.got, int64(len(data))+int64(inRound)*killedParallel*killedPartSize
		if got < int64(len(data)) || got > most {
			t.Errorf("round %d: %d bytes came for %d, with %d kills", round, got, len(data), inRound)
		}
		twice := 0
		for _, n := range k.whole {
			twice += n - 1
		}
		if twice > inRound*killedParallel {
			t.Errorf("round %d: %d parts came twice with %d kills", round, twice, inRound)
		}
		t.Logf("round %d: %d kills, %d of %d bytes sent again, %d whole parts", round, inRound, got-int64(len(data)), len(data), twice)
		k.mu.Unlock()
		wantObject(t, server, front.URL, addr, data)
		if left := server.Uploads("models"); len(left) > 0 {
			t.Errorf("round %d: uploads are left: %v", round, left)
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "uploads", "*.json")); len(left) > 0 {
			t.Errorf("checkpoints are left: %v", left)
		}
	}
}

// wantObject holds an object against what it is to be.
func wantObject(t *testing.T, server *ossserver.Server, endpoint string, addr Address, want []byte) {
	t.Helper()
	st, err := Open(t.Context(), addr, Options{OSSEndpoint: endpoint, Region: server.Region(), Credentials: fixedKey{"LTAI5tKilled", "the-secret", ""}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r, o, err := st.Open(t.Context(), addr.Key, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes (%v) that are not the %d of the file", addr, len(got), err, len(want))
	}
	if o.Metadata[MetadataSHA256] == "" || o.Sums.CRC64 == "" {
		t.Errorf("%s is %+v", addr, o)
	}
}
