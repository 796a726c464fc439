package runplan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Read reads a plan's JSON form and refuses what it does not understand: an
// unknown field could be a limit that this version would not keep.
func Read(r io.Reader) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read run plan: %w", err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("read run plan: longer than %d bytes", maxSize)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read run plan: %w", err)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("read run plan: version %d; this eascmd reads version %d", head.Version, Version)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p Plan
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("read run plan: %w", err)
	}
	if p.Gateway.Token == mask {
		return nil, fmt.Errorf("read run plan: its token is masked; write one in its place, or remove it to let anybody call")
	}
	return &p, nil
}

// mask stands for a token in a plan that is shown.
const mask = "****"

// maxSize bounds a plan: model_config is the only field of any size, and a
// description is bounded below this.
const maxSize = 64 << 20

// Write writes the plan's JSON form, token included.
func (p *Plan) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return fmt.Errorf("write run plan: %w", err)
	}
	return nil
}

// WriteLine writes the plan's JSON form as one line, token included.
func (p *Plan) WriteLine(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return fmt.Errorf("write run plan: %w", err)
	}
	return nil
}

// ReadLine reads the plan that is the next line of r, and nothing behind it.
func ReadLine(r *bufio.Reader) (*Plan, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxSize:
			return nil, fmt.Errorf("read run plan: longer than %d bytes", maxSize)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0):
			return nil, fmt.Errorf("read run plan: %w", err)
		}
		return Read(bytes.NewReader(line))
	}
}

// Masked returns a copy that may be shown: the token is replaced.
func (p *Plan) Masked() *Plan {
	c := *p
	if c.Gateway.Token != "" {
		c.Gateway.Token = mask
	}
	return &c
}
