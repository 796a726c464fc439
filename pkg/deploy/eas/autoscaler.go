package eas

import (
	"context"
	"errors"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

// strategy is a rule as requests have it.
type strategy struct {
	MetricName string  `json:"metricName"`
	Service    string  `json:"service,omitempty"`
	Threshold  float64 `json:"threshold"`
}

// window is how long a service stays as it is before it is scaled again.
type window struct {
	Seconds *int `json:"stabilizationWindowSeconds,omitempty"`
}

type behavior struct {
	ScaleUp   *window `json:"scaleUp,omitempty"`
	ScaleDown *window `json:"scaleDown,omitempty"`
}

// autoscalerAnswer is the rules as answers have them.
type autoscalerAnswer struct {
	reply
	MinReplica, MaxReplica integer
	ScaleStrategies        []metric
	CurrentMetrics         []metric
	Behavior               struct {
		ScaleUp, ScaleDown struct {
			StabilizationWindowSeconds *integer
		}
	}
}

// metric is a rule, or what is measured for one.
type metric struct {
	MetricName, Service text
	Threshold, Value    number
}

// Autoscaler returns the rules by which a service is scaled.
func (t *Target) Autoscaler(ctx context.Context, name string) (*deploy.Autoscaler, deploy.Reply, error) {
	r := request{op: describeAutoScaler, name: name}
	var got autoscalerAnswer
	if err := t.call(ctx, r, &got); err != nil {
		return nil, deploy.Reply{}, err
	}
	if got.MaxReplica == 0 && len(got.ScaleStrategies) == 0 {
		return nil, got.deploy(), fault.New(fault.Remote, "%s: %w", t.nameOf(r), &deploy.Error{
			Operation: r.op.name,
			RequestID: got.deploy().RequestID,
			Why:       "it has none",
			Err:       deploy.ErrNotFound,
		})
	}
	rules := &deploy.Autoscaler{Min: int(got.MinReplica), Max: int(got.MaxReplica), Strategies: []deploy.Strategy{}}
	for _, m := range got.ScaleStrategies {
		rules.Strategies = append(rules.Strategies, deploy.Strategy{Metric: string(m.MetricName), Service: string(m.Service), Threshold: float64(m.Threshold)})
	}
	for _, m := range got.CurrentMetrics {
		rules.Current = append(rules.Current, deploy.Strategy{Metric: string(m.MetricName), Service: string(m.Service), Threshold: float64(m.Value)})
	}
	rules.ScaleUpDelay = (*int)(got.Behavior.ScaleUp.StabilizationWindowSeconds)
	rules.ScaleDownDelay = (*int)(got.Behavior.ScaleDown.StabilizationWindowSeconds)
	return rules, got.deploy(), nil
}

// SetAutoscaler changes the rules by which a service is scaled, or makes them
// where there are none: the API has an operation for each.
func (t *Target) SetAutoscaler(ctx context.Context, name string, rules deploy.Autoscaler) (deploy.Reply, error) {
	body := struct {
		Min        int        `json:"min"`
		Max        int        `json:"max"`
		Strategies []strategy `json:"scaleStrategies"`
		Behavior   *behavior  `json:"behavior,omitempty"`
	}{Min: rules.Min, Max: rules.Max, Strategies: []strategy{}}
	for _, s := range rules.Strategies {
		body.Strategies = append(body.Strategies, strategy{s.Metric, s.Service, s.Threshold})
	}
	if rules.ScaleUpDelay != nil || rules.ScaleDownDelay != nil {
		body.Behavior = &behavior{}
	}
	if rules.ScaleUpDelay != nil {
		body.Behavior.ScaleUp = &window{rules.ScaleUpDelay}
	}
	if rules.ScaleDownDelay != nil {
		body.Behavior.ScaleDown = &window{rules.ScaleDownDelay}
	}
	got, err := t.act(ctx, request{op: updateAutoScaler, name: name, body: body})
	if errors.Is(err, deploy.ErrNotFound) {
		got, err = t.act(ctx, request{op: createAutoScaler, name: name, body: body})
	}
	if errors.Is(err, deploy.ErrExists) { // made meanwhile, or by an attempt whose answer got lost
		return t.act(ctx, request{op: updateAutoScaler, name: name, body: body})
	}
	return got, err
}

// RemoveAutoscaler leaves a service with the instances that it has.
func (t *Target) RemoveAutoscaler(ctx context.Context, name string) (deploy.Reply, error) {
	return t.act(ctx, request{op: deleteAutoScaler, name: name})
}
