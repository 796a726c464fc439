package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/service"
)

// instanceField is the number of instances, which can change without a new
// version.
const instanceField = "metadata.instance"

// Plan is what it takes to change a service.
type Plan struct {
	Name    string
	Changes []Change // none: there is nothing to do

	// Scale is set where the number of instances is all that changes, to
	// Instances; then there is no new version and no rolling update.
	Scale     bool
	Instances int

	// Update is the request otherwise.
	Update UpdateRequest

	latest int // version, before
}

// PlanApply returns what it takes to make a service what a description says. It
// leaves alone what the platform has added, and the number of instances where
// the platform sets it by rules of its own.
func PlanApply(deployed *Service, wanted json.RawMessage) (*Plan, error) {
	have := descriptionOf(deployed)
	changes, err := Diff(have, wanted)
	if err != nil {
		return nil, err
	}
	if deployed.Autoscaled {
		changes, wanted, err = keepInstances(changes, have, wanted)
		if err != nil {
			return nil, err
		}
	}
	p := &Plan{Name: deployed.Name, Changes: changes, Update: UpdateRequest{Description: wanted}, latest: deployed.LatestVersion}
	for _, c := range changes {
		if !c.Removal() {
			continue
		}
		// Merging takes nothing away.
		p.Update.Replace = true
		if p.Update.Description, err = Complete(have, wanted); err != nil {
			return nil, err
		}
		break
	}
	p.reduce()
	return p, nil
}

// PlanModify returns what it takes to change a part of a service's description.
func PlanModify(deployed *Service, part json.RawMessage) (*Plan, error) {
	have := descriptionOf(deployed)
	merged, err := Merge(have, part)
	if err != nil {
		return nil, err
	}
	changes, err := Diff(have, merged)
	if err != nil {
		return nil, err
	}
	p := &Plan{Name: deployed.Name, Changes: changes, Update: UpdateRequest{Description: part}, latest: deployed.LatestVersion}
	p.reduce()
	return p, nil
}

// descriptionOf is the description that a service runs; one that is not told
// counts as empty.
func descriptionOf(s *Service) json.RawMessage {
	if len(bytes.TrimSpace(s.Description)) == 0 {
		return json.RawMessage(`{}`)
	}
	return s.Description
}

// reduce makes a plan of nothing but a number of instances one to scale.
func (p *Plan) reduce() {
	if len(p.Changes) != 1 || p.Changes[0].Path != instanceField {
		return
	}
	n, err := strconv.Atoi(strings.Trim(string(p.Changes[0].New), `"`))
	if err != nil || n < 0 {
		return
	}
	p.Scale, p.Instances = true, n
}

// keepInstances takes the number of instances out of changes, and puts the
// deployed one into the wanted description.
func keepInstances(changes []Change, have, wanted json.RawMessage) ([]Change, json.RawMessage, error) {
	var rest []Change
	for _, c := range changes {
		if c.Path != instanceField {
			rest = append(rest, c)
		}
	}
	if len(rest) == len(changes) {
		return changes, wanted, nil
	}
	old, err := normal(have)
	if err != nil {
		return nil, nil, err
	}
	metadata, _ := old["metadata"].(map[string]any)
	want, err := normal(wanted)
	if err != nil {
		return nil, nil, err
	}
	merge(want, map[string]any{"metadata": map[string]any{"instance": metadata["instance"]}})
	return rest, encode(want), nil
}

// Do carries a plan out, as far as to begin it. A plan without changes does
// nothing. An update is sent once, since each may make a version: when its
// answer is lost, the service is asked for until it shows the change.
func (p *Plan) Do(ctx context.Context, target Target, opts SettleOptions) (Reply, error) {
	switch {
	case len(p.Changes) == 0:
		return Reply{}, nil
	case p.Scale:
		return target.Scale(ctx, p.Name, p.Instances)
	}
	reply, err := target.Update(ctx, p.Name, p.Update)
	if Unsettled(err) {
		return p.settle(ctx, target, err, opts)
	}
	return reply, err
}

// ParseSettings makes a part of a description of settings, each a path, "=" and
// a value, as in metadata.rpc.keepalive=5000. A value is read as JSON where it
// is any, else as text; fields that are text stay text.
func ParseSettings(settings []string) (json.RawMessage, error) {
	fields := service.Fields()
	part := map[string]any{}
	for _, setting := range settings {
		path, value, ok := strings.Cut(setting, "=")
		path = strings.TrimSpace(path)
		switch {
		case !ok || path == "":
			return nil, fault.New(fault.Usage, "-D %s: it is no path=value", maskSetting(setting)).
				WithHint("write -Dmetadata.instance=2")
		case slices.Contains(strings.Split(path, "."), ""):
			return nil, fault.New(fault.Usage, "-D %s: a part of the path is empty", path).
				WithHint("write -Dmetadata.instance=2")
		case strings.ContainsAny(path, "[]"):
			return nil, fault.New(fault.Usage, "-D %s: lists change as a whole", path).
				WithHint("give all of it as JSON, such as -D 'processor_envs=[{\"name\":\"A\",\"value\":\"1\"}]', or a file with -s")
		}
		if have, twice := part[path]; twice && have != value {
			return nil, fault.New(fault.Usage, "-D %s is given twice", path)
		}
		parsed, err := parseValue(value, fields[path].Text)
		if err != nil {
			return nil, fault.New(fault.Usage, "-D %s: %w", path, err)
		}
		part[path] = parsed
	}
	text, err := ParsePart("-D", encode(part))
	if invalid, ok := errors.AsType[*service.InvalidError](err); ok {
		// Lines and columns are of a text that the user has not seen.
		var all []string
		for _, problem := range invalid.Problems {
			problem.File, problem.Line = "", 0
			all = append(all, "-D "+strings.TrimPrefix(problem.String(), ": "))
		}
		return nil, fault.New(fault.Usage, "%s", strings.Join(all, "\n")).WithHint("`eascmd schema` prints every field with its meaning")
	}
	return text, err
}

// maskSetting shows no value: it may be a secret.
func maskSetting(setting string) string {
	path, _, _ := strings.Cut(setting, "=")
	return path
}

func parseValue(value string, isText bool) (any, error) {
	if isText {
		if strings.HasPrefix(value, `"`) {
			if parsed, err := decode([]byte(value)); err == nil {
				return parsed, nil
			}
		}
		return value, nil
	}
	parsed, err := decode([]byte(value))
	switch {
	case err != nil:
		return value, nil
	case parsed == nil:
		return nil, fault.New(fault.Usage, "a field cannot be taken away so").
			WithHint("take it out of the file and use `eascmd apply FILE`")
	}
	// Something may follow what was read.
	if !json.Valid([]byte(value)) {
		return value, nil
	}
	return parsed, nil
}

// ParsePart reads a part of a description, checks what can be checked of it, and
// returns it in its normal form. file is the name that problems are reported
// under.
func ParsePart(file string, text []byte) (json.RawMessage, error) {
	d, err := service.Options{Partial: true}.Parse(file, text)
	if err != nil {
		return nil, err
	}
	return d.Canonical(), nil
}
