//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// uploadFigures are what was measured of uploads.
type uploadFigures struct {
	Versions map[string]string `json:"versions"`
	Shaper   string            `json:"shaper"` // what makes the line: netem, or tun
	Sizes    []uploadSize      `json:"sizes"`
	Again    []uploadTurns     `json:"again,omitempty"`    // of a file that is there already
	Killed   []killedUpload    `json:"killed,omitempty"`   // and gone on with
	Loopback []uploadTurns     `json:"loopback,omitempty"` // without the line

	// Load is the machine's load, the mean of a minute, at the begin of each round.
	Load []float64 `json:"load"`
}

// uploadSize holds the uploads of a file of one size over the line.
type uploadSize struct {
	Size    int64         `json:"size"`    // bytes
	Plain   []float64     `json:"plain"`   // seconds that one TCP connection takes for as many bytes
	Uploads []uploadTurns `json:"uploads"` // each with the same file in a round
}

// uploadTurns is what one client did.
type uploadTurns struct {
	Client  string    `json:"client"`
	Store   string    `json:"store"`
	Seconds []float64 `json:"seconds"` // from the program's start to its end
	CPU     []float64 `json:"cpu"`     // seconds, user and system
	Memory  []int64   `json:"memory"`  // the most that was resident, in bytes
	Line    []traffic `json:"line,omitempty"`
}

// killedUpload is an upload that was killed when about half of it was on the line,
// and the one that went on with it.
type killedUpload struct {
	Store   string `json:"store"`
	Size    int64  `json:"size"`
	First   int64  `json:"first"`   // bytes of the file that had been sent when it was killed, about
	Resumed int64  `json:"resumed"` // bytes that the second one did not send
	Sent    int64  `json:"sent"`    // bytes that it did
	Line    int64  `json:"line"`    // bytes on the line for that, packets' headers included
}

// again is what was sent twice.
func (k killedUpload) again() int64 { return max(0, k.First+k.Sent-k.Size) }

// The sizes of packages, in bytes.
const (
	smallUpload = 20 << 20
	usualUpload = 200 << 20
	bigUpload   = 400 << 20 // eascmd alone
)

// What uploads need beside eascmd.
const (
	shapedLine   = "root, ip and a line of netem or tun"
	s3Server     = "an S3 server built from source"
	uploadPeers  = "rclone and awscli of PyPI"
	loopbackSize = usualUpload
)

// The stores.
const (
	storeS3  = "S3"
	storeOSS = "OSS"
)

// The clients.
const (
	eascmdUpload = "eascmd"
	rcloneUsual  = "rclone"
	rcloneParts  = "rclone, 8 parts at once"
	awscliUpload = "aws s3 cp"
)

// uploads is one measurement of them.
type uploads struct {
	*bench
	*uploadFigures
	line *line
	file string // that is uploaded
	dir  string // where the stores keep what they get
}

func (b *bench) measureUploads(ctx context.Context) (err error) {
	if err := b.installUploadPeers(ctx); err != nil {
		return err
	}
	defer hurry()()
	line, err := newLine()
	if err != nil {
		b.lack(shapedLine, err)
		return nil
	}
	defer line.close()
	stores, err := storeDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(stores)
	u := &uploads{
		bench: b, line: line, uploadFigures: &uploadFigures{Shaper: line.shaper},
		file: b.path("package.tar.gz"), dir: stores,
	}
	if u.Versions, err = b.uploadVersions(ctx); err != nil {
		return err
	}
	servers, err := u.startStores(ctx)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.end(syscall.SIGTERM))
		}
	}()
	if err != nil {
		return err
	}
	if err := u.measure(ctx, u.clients(servers)); err != nil {
		return err
	}
	b.figures.Uploads = u.uploadFigures
	return nil
}

func (u *uploads) measure(ctx context.Context, clients []uploadClient) error {
	ours := slices.DeleteFunc(slices.Clone(clients), func(c uploadClient) bool { return c.name != eascmdUpload })
	sizes := []int64{smallUpload, usualUpload, bigUpload}
	u.Sizes = make([]uploadSize, len(sizes))
	for round := range u.uploadRounds {
		u.Load = append(u.Load, loadAverage())
		for i, size := range sizes {
			who := clients
			if size == bigUpload {
				who = ours
			}
			u.Sizes[i].Size = size
			if err := u.compete(ctx, round, who, &u.Sizes[i]); err != nil {
				return err
			}
			if size != usualUpload {
				continue
			}
			// The file is there now.
			if err := u.turns(ctx, "there already", round, who, true, &u.Again); err != nil {
				return err
			}
		}
		for _, c := range ours {
			if err := u.kill(ctx, c); err != nil {
				return err
			}
		}
		if err := u.newFile(loopbackSize); err != nil {
			return err
		}
		if err := u.turns(ctx, "loopback", round, clients, false, &u.Loopback); err != nil {
			return err
		}
	}
	return nil
}

// compete has each client upload the same new file, and a connection without any
// protocol carry as many bytes.
func (u *uploads) compete(ctx context.Context, round int, clients []uploadClient, to *uploadSize) error {
	if err := u.newFile(to.Size); err != nil {
		return err
	}
	u.say("%s over the line, round %d of %d: plain TCP", mebibytes(to.Size), round+1, u.uploadRounds)
	plain, err := u.line.transfer(to.Size)
	if err != nil {
		return fmt.Errorf("plain TCP over the line: %w", err)
	}
	to.Plain = append(to.Plain, plain.Seconds())
	return u.turns(ctx, mebibytes(to.Size)+" over the line", round, clients, true, &to.Uploads)
}

// turns has each client upload the file once, over the line or from the stores'
// own side of it.
func (u *uploads) turns(ctx context.Context, what string, round int, clients []uploadClient, overLine bool, to *[]uploadTurns) error {
	if *to == nil {
		for _, c := range clients {
			*to = append(*to, uploadTurns{Client: c.name, Store: c.store})
		}
	}
	where := u.line.server
	if overLine {
		where = u.line.client
	}
	for i := range clients {
		i = (round + i) % len(clients) // nobody is always the first
		c, t := clients[i], &(*to)[i]
		u.say("%s, round %d of %d: %s to %s", what, round+1, u.uploadRounds, c.name, c.store)
		use, err := u.runUpload(ctx, where, c)
		if err != nil {
			return fmt.Errorf("%s to %s: %w", c.name, c.store, err)
		}
		t.Seconds = append(t.Seconds, use.took.Seconds())
		t.CPU = append(t.CPU, use.cpu.Seconds())
		t.Memory = append(t.Memory, use.memory)
		if overLine {
			t.Line = append(t.Line, use.line)
		}
	}
	return nil
}

// kill kills an upload half of which is on the line, and has it gone on with.
func (u *uploads) kill(ctx context.Context, c uploadClient) error {
	const size = usualUpload
	if err := u.newFile(size); err != nil {
		return err
	}
	u.say("%s to %s, killed when half of it is sent", mebibytes(size), c.store)
	before, err := u.line.client.traffic(lineDevice)
	if err != nil {
		return err
	}
	run, err := u.startUpload(ctx, u.line.client, c)
	if err != nil {
		return err
	}
	k := killedUpload{Store: c.store, Size: size}
	for k.First < size/2 {
		select {
		case <-run.done:
			_, err := run.wait()
			return errors.Join(errors.New("the upload ended before half of it was sent"), err)
		case <-time.After(5 * time.Millisecond):
		}
		now, err := u.line.client.traffic(lineDevice)
		if err != nil {
			run.kill()
			return err
		}
		k.First = int64(float64(now.since(before).Sent) * payloadShare)
	}
	run.kill()
	use, err := u.runUpload(ctx, u.line.client, c)
	if err != nil {
		return err
	}
	var said struct {
		Files []struct{ Resumed, Sent int64 }
	}
	if err := json.Unmarshal(use.stdout, &said); err != nil || len(said.Files) != 1 {
		return fmt.Errorf("what upload -o json printed is not of one file: %w", err)
	}
	k.Resumed, k.Sent, k.Line = said.Files[0].Resumed, said.Files[0].Sent, use.line.Sent
	u.Killed = append(u.Killed, k)
	return nil
}

// newFile makes a file of bytes that are not compressible and were never uploaded.
func (u *uploads) newFile(size int64) error {
	f, err := os.Create(u.file)
	if err != nil {
		return err
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	source := rand.NewChaCha8(seed)
	buf := make([]byte, 1<<20)
	for at := int64(0); at < size && err == nil; at += int64(len(buf)) {
		_, _ = source.Read(buf) // never fails
		_, err = f.Write(buf[:min(int64(len(buf)), size-at)])
	}
	// What is written now is not written while it is uploaded.
	return errors.Join(err, f.Sync(), f.Close())
}

// loadAverage is the mean of a minute of how many programs wanted a processor.
func loadAverage() (load float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(strings.TrimSpace(string(text)), &load)
	}
	return load
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
