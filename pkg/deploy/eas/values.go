package eas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The API is not of one mind about its types: a number comes as a string here
// and there, a time in two forms, JSON inside of a string. What reads an answer
// takes them all.

// text is a string, or whatever else as it is written. null is empty.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		return nil
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	}
	*t = text(b)
	return nil
}

// integer is a number, also one in a string. null and "" are 0.
type integer int

func (i *integer) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil || s == "" {
		return err
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(string(s)), 64)
	if err != nil || f != float64(int(f)) {
		return fmt.Errorf("%s is no whole number", clean(string(s)))
	}
	*i = integer(f)
	return nil
}

// number is a number, also one in a string. null and "" are 0.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil || s == "" {
		return err
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(string(s)), 64)
	if err != nil {
		return fmt.Errorf("%s is no number", clean(string(s)))
	}
	*n = number(f)
	return nil
}

// denial is true where "false" was said: what is unknown counts as yes.
type denial bool

func (d *denial) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	*d = denial(strings.EqualFold(string(s), "false"))
	return nil
}

// moment is a time in UTC. One that cannot be read is none: no list is to be
// lost for it.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(layout, strings.TrimSpace(string(s))); err == nil {
			m.Time = at.UTC()
			break
		}
	}
	return nil
}

// document is JSON that comes as it is or in a string. What is none is kept as
// a JSON string.
type document json.RawMessage

func (d *document) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil || s == "" {
		return err
	}
	if inner := bytes.TrimSpace([]byte(s)); json.Valid(inner) {
		*d = document(inner)
		return nil
	}
	*d = append((*d)[:0], b...)
	return nil
}

// timeOf writes a time as the API's queries want it, which is in UTC; the zero
// time is left out.
func timeOf(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.DateTime)
}
