package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// CheckInstance returns an error, with ErrNotFound in its chain, where a name is
// none of those of a service's instances; the hint tells these.
func CheckInstance(service, name string, instances []Instance) error {
	var names []string
	for _, i := range instances {
		names = append(names, i.Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	err := fault.New(fault.Usage, "%w", &Error{Why: fmt.Sprintf("service %s has no instance %q", service, name), Err: ErrNotFound})
	const shown = 5
	switch {
	case len(names) == 0:
		return err.WithHint("it has none at the moment; `eascmd desc %s` shows its state", service)
	case len(names) > shown:
		return err.WithHint("`eascmd showworkers %s` lists its %d instances", service, len(names))
	}
	slices.Sort(names)
	return err.WithHint("there is %s", strings.Join(names, ", "))
}
