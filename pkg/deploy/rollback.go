package deploy

import (
	"context"

	"github.com/openeas/eascmd/internal/fault"
)

// Rollback makes a service again what it was in a snapshot, and waits until it
// runs: the version that it had, or, where the change made no version, the
// description. Of opts everything but Before and Version counts.
func Rollback(ctx context.Context, target Target, before *Snapshot, opts WaitOptions) (*Service, error) {
	old := before.Service
	failed, err := Look(ctx, target, old.Name)
	if err != nil {
		return nil, fault.New(kindOf(err), "roll back service %s: %w", old.Name, err)
	}
	opts.Goal, opts.Before, opts.Version = ToRun, failed, 0
	switch now := failed.Service; {
	case now.LatestVersion > old.LatestVersion && old.CurrentVersion > 0:
		opts.Version = old.CurrentVersion
		_, err = target.SwitchVersion(ctx, old.Name, old.CurrentVersion)
	case len(old.Description) > 0:
		_, err = target.Update(ctx, old.Name, UpdateRequest{Description: old.Description, Replace: true})
	default:
		return nil, fault.New(fault.Remote, "roll back service %s: there is no version to go back to", old.Name).
			WithHint("`eascmd versions %s` lists those that there are", old.Name)
	}
	if err != nil {
		return nil, fault.New(kindOf(err), "roll back service %s: %w", old.Name, err)
	}
	if old.Status == Stopped {
		// It did not run before, so it is not waited for.
		return target.Describe(ctx, old.Name)
	}
	return Wait(ctx, target, old.Name, opts)
}
