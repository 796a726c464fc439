package main

import (
	"errors"

	"github.com/openeas/eascmd/pkg/deploy"
)

// failureInfo is why a service is not where it was to be, in JSON.
type failureInfo struct {
	Cause    string           `json:"cause,omitempty"` // one word; empty where it is not known
	Text     string           `json:"text"`
	TimedOut bool             `json:"timedOut,omitempty"`
	Events   []deploy.Event   `json:"events,omitempty"`
	Instance *deploy.Instance `json:"instance,omitempty"`
	Log      []string         `json:"log,omitempty"`
}

// infoOf returns what is known of a failure; nil for another error or none.
func infoOf(err error) *failureInfo {
	f, ok := errors.AsType[*deploy.Failure](err)
	if !ok {
		return nil
	}
	info := &failureInfo{Text: f.Error(), TimedOut: f.TimedOut > 0, Events: f.Events, Instance: f.Instance, Log: f.Log}
	if f.Cause != nil {
		info.Cause = f.Cause.Name
	}
	return info
}
