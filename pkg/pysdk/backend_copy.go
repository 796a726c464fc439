package pysdk

import (
	"context"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/portable"
)

// makeCopy makes the environment a private copy of an interpreter of this
// machine, which needs nothing of the original any more.
func (b *builder) makeCopy(ctx context.Context) error {
	b.step("Copying Python " + b.interpreter.Version + " of " + b.interpreter.BasePrefix)
	tree, err := portable.Interpreter(ctx, b.interpreter, portable.Options{})
	if err != nil {
		return err
	}
	for _, f := range tree.Findings {
		if f.Severity == portable.Error {
			return fault.New(fault.Failed, "Python %s of %s cannot be copied: %s: %s", b.interpreter.Version, b.interpreter.BasePrefix, f.Path, f.Text).
				WithHint("%s", f.Hint)
		}
	}
	return portable.Materialize(ctx, tree, b.stage.path, b.Progress)
}
