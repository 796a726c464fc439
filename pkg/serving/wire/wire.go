// Package wire is the frame format of the worker protocol, as
// docs/worker-protocol.md specifies it. It knows bytes only: connections,
// requests and processes belong to package serving.
package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The protocol versions that this package speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Sizes of a frame, in bytes, and of a message cut into frames.
const (
	HeaderSize = 16
	MaxPayload = 256 << 10
	MaxMessage = 1<<31 - 1
)

// Type is a frame's type.
type Type uint8

// The types of frame.
const (
	Hello    Type = 1
	Start    Type = 2
	Ready    Type = 3
	Failed   Type = 4
	Request  Type = 5
	Response Type = 6
	Cancel   Type = 7
	Ping     Type = 8
	Pong     Type = 9
	Drain    Type = 10
	Drained  Type = 11
	Frames   Type = 12
	Settings Type = 13
)

var typeNames = [...]string{
	Hello: "HELLO", Start: "START", Ready: "READY", Failed: "FAILED", Request: "REQUEST", Response: "RESPONSE",
	Cancel: "CANCEL", Ping: "PING", Pong: "PONG", Drain: "DRAIN", Drained: "DRAINED", Frames: "FRAMES", Settings: "PROPERTIES",
}

func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Known reports whether this version of the protocol defines t.
func (t Type) Known() bool { return t >= Hello && t <= Settings }

// Flags are a frame's flags. Unknown ones are ignored.
type Flags uint8

// The flags.
const (
	More      Flags = 0x01 // the message goes on in a later frame
	Exception Flags = 0x02 // of a Response: the payload is an exception's message
	Optional  Flags = 0x80 // may be skipped by who does not know the type
)

// StatusOutOfRange stands for a processor's return value that no header can
// hold.
const StatusOutOfRange = 65535

// Header is a frame's header.
type Header struct {
	Length uint32 // of the payload
	Type   Type
	Flags  Flags
	Status uint16
	ID     uint64 // 0 where the frame is about the connection
}

// Append appends the header's 16 bytes to b.
func (h Header) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.Length)
	b = append(b, byte(h.Type), byte(h.Flags))
	b = binary.LittleEndian.AppendUint16(b, h.Status)
	return binary.LittleEndian.AppendUint64(b, h.ID)
}

// ParseHeader reads a header from the first 16 bytes of b. It fails for a
// length over MaxPayload and for a type that is neither known nor optional;
// both end a connection.
func ParseHeader(b []byte) (Header, error) {
	_ = b[HeaderSize-1]
	h := Header{
		Length: binary.LittleEndian.Uint32(b),
		Type:   Type(b[4]),
		Flags:  Flags(b[5]),
		Status: binary.LittleEndian.Uint16(b[6:]),
		ID:     binary.LittleEndian.Uint64(b[8:]),
	}
	if h.Length > MaxPayload {
		return h, fmt.Errorf("frame %v has %d bytes of payload; the limit is %d", h.Type, h.Length, MaxPayload)
	}
	if !h.Type.Known() && h.Flags&Optional == 0 {
		return h, fmt.Errorf("frame of unknown %v", h.Type)
	}
	return h, nil
}

// AppendFrame appends a whole frame. The payload must not be longer than
// MaxPayload.
func AppendFrame(b []byte, h Header, payload []byte) []byte {
	if len(payload) > MaxPayload {
		panic("wire: payload over the limit")
	}
	h.Length = uint32(len(payload))
	return append(h.Append(b), payload...)
}

// AppendMessage appends a message as one frame or, where it is longer than
// MaxPayload, as several.
func AppendMessage(b []byte, h Header, payload []byte) []byte {
	for len(payload) > MaxPayload {
		part := h
		part.Flags |= More
		b = AppendFrame(b, part, payload[:MaxPayload])
		payload = payload[MaxPayload:]
	}
	return AppendFrame(b, h, payload)
}

// AppendProperty appends one property to a payload. Neither string may hold a
// zero byte.
func AppendProperty(b []byte, name, value string) ([]byte, error) {
	for _, s := range [...]string{name, value} {
		if bytes.IndexByte([]byte(s), 0) >= 0 {
			return b, fmt.Errorf("property %q holds a zero byte", name)
		}
	}
	b = append(append(b, name...), 0)
	return append(append(b, value...), 0), nil
}

// Properties reads a payload of properties. Of a name that stands twice the
// last value counts.
func Properties(payload []byte) (map[string]string, error) {
	props := make(map[string]string)
	for rest := payload; len(rest) > 0; {
		name, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, fmt.Errorf("property name without its zero byte")
		}
		value, after, ok := bytes.Cut(after, []byte{0})
		if !ok {
			return nil, fmt.Errorf("property %q without its value", name)
		}
		props[string(name)] = string(value)
		rest = after
	}
	return props, nil
}
