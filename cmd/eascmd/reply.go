package main

import (
	"github.com/openeas/eascmd/pkg/ui"
)

// withRequestID puts the line that the original begins its answers with above a
// view. id is empty where no request was made.
func withRequestID(id string, views ...ui.View) ui.View {
	if id == "" {
		return ui.Page(views)
	}
	return append(ui.Page{ui.Text("[RequestId]: " + ui.Printable(id))}, views...)
}
