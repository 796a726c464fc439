package ui

import "io"

// Page is several views, one below the other.
type Page []View

func (p Page) render(w io.Writer, s screen) error {
	for _, view := range p {
		if err := view.render(w, s); err != nil {
			return err
		}
	}
	return nil
}
