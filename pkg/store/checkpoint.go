package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// checkpointVersion changes with the meaning of what a checkpoint has.
const checkpointVersion = 2

// maxCheckpoint bounds the file of a checkpoint, in bytes: 10,000 parts need a
// tenth of it.
const maxCheckpoint = 16 << 20

// checkpoint is what is needed to go on with an upload in parts: what is sent
// where in which parts, and which of them the store has confirmed. It holds
// neither content nor credentials.
type checkpoint struct {
	Version  int    `json:"version"`
	Address  string `json:"address"`
	Endpoint string `json:"endpoint"`
	Upload   string `json:"upload"` // the store's id; empty until the store has told it
	SHA256   string `json:"sha256"` // of the file
	layout
	Parts []Part `json:"parts"` // confirmed, by number
	Sum   string `json:"sum"`   // SHA-256 of all this with an empty sum
}

func (c checkpoint) sum() string {
	c.Sum = ""
	b, _ := json.Marshal(c) // strings and numbers: it never fails
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// parseCheckpoint reads a checkpoint. One that is not exactly what was written
// is an error, and comes with it where that much can be told.
func parseCheckpoint(data []byte) (*checkpoint, error) {
	var c checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, errors.New("it is damaged")
	}
	switch {
	case c.Version != checkpointVersion:
		return &c, fmt.Errorf("it is of version %d", c.Version)
	case c.Sum != c.sum():
		return &c, errors.New("it is damaged")
	}
	return &c, c.check()
}

// check looks for what cannot be.
func (c *checkpoint) check() error {
	if c.Upload == "" && len(c.Parts) > 0 || !c.possible() || !isSum(c.SHA256) {
		return errors.New("it is not complete")
	}
	last := 0
	for _, p := range c.Parts {
		if p.Number <= last || p.Number > c.count() {
			return fmt.Errorf("part %d does not fit", p.Number)
		}
		if _, size := c.section(p.Number); p.Size != size {
			return fmt.Errorf("part %d does not fit", p.Number)
		}
		last = p.Number
	}
	return nil
}

// journal is a checkpoint and the file that it is kept in.
type journal struct {
	path   string
	silent atomic.Bool // that it cannot be written has been said

	mu    sync.Mutex
	state checkpoint
	turn  int // counts what was added

	saving sync.Mutex
	saved  int // what was added up to this turn is in the file
}

// readCheckpoint reads the file of a checkpoint; os.ErrNotExist where there is
// none.
func readCheckpoint(path string) (*checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCheckpoint {
		return nil, errors.New("it is too large")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseCheckpoint(data)
}

// add notes a part that the store has confirmed. When it returns, the file says
// so too. Parts that come at the same time are written at once.
func (j *journal) add(p Part) error {
	j.mu.Lock()
	at, found := slices.BinarySearchFunc(j.state.Parts, p, func(a, b Part) int { return a.Number - b.Number })
	if found {
		j.state.Parts[at] = p
	} else {
		j.state.Parts = slices.Insert(j.state.Parts, at, p)
	}
	j.turn++
	turn := j.turn
	j.mu.Unlock()

	j.saving.Lock()
	defer j.saving.Unlock()
	if j.saved >= turn {
		return nil
	}
	j.mu.Lock()
	state := j.state
	state.Parts = slices.Clone(state.Parts)
	turn = j.turn
	j.mu.Unlock()
	if err := j.write(state); err != nil {
		return err
	}
	j.saved = turn
	return nil
}

func (j *journal) write(state checkpoint) error {
	state.Sum = state.sum()
	return writeJSON(j.path, state)
}

// parts returns the parts that are confirmed.
func (j *journal) parts() []Part {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.state.Parts)
}
