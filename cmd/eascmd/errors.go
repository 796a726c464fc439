package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/ui"
)

// exit reports err, if there is one, and returns the exit status. It is the
// only place where errors are printed.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	kind, message, hint := fault.KindOf(err), ui.Printable(err.Error()), ui.Printable(fault.HintOf(err))
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		kind, message, hint = fault.Interrupted, "interrupted", ""
	}
	if a.output == ui.JSON {
		a.printJSONError(kind, message, hint)
		return int(kind)
	}
	fmt.Fprintf(a.term.Err, "eascmd: error: %s\n", message)
	if hint != "" {
		fmt.Fprintf(a.term.Err, "eascmd: hint: %s\n", hint)
	}
	return int(kind)
}

func (a *app) printJSONError(kind fault.Kind, message, hint string) {
	type body struct {
		Kind    string `json:"kind"`
		Exit    int    `json:"exit"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}
	e := json.NewEncoder(a.term.Err)
	e.SetEscapeHTML(false)
	e.Encode(map[string]body{"error": {kindName(kind), int(kind), message, hint}})
}

// kindName is the word for a kind of failure in JSON.
func kindName(kind fault.Kind) string {
	switch kind {
	case fault.Usage:
		return "usage"
	case fault.Description:
		return "description"
	case fault.Processor:
		return "processor"
	case fault.Answer:
		return "answer"
	case fault.Missing:
		return "missing"
	case fault.Remote:
		return "remote"
	case fault.Interrupted:
		return "interrupted"
	default:
		return "failed"
	}
}
