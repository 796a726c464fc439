package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// The names of rules that are set one by one.
const (
	ruleMin       = "min"
	ruleMax       = "max"
	ruleUp        = "behavior.scaleUp.stabilizationWindowSeconds"
	ruleDown      = "behavior.scaleDown.stabilizationWindowSeconds"
	ruleStrategy  = "strategies."
	maxInstances  = 1000
	rulesExpected = "min, max, strategies.METRIC, " + ruleUp + " and " + ruleDown
)

// scalerFile is a file of rules: the flat form of the original, the form of the
// API, or both in one.
type scalerFile struct {
	Min             *int               `json:"min"`
	Max             *int               `json:"max"`
	Strategies      map[string]float64 `json:"strategies"`
	ScaleStrategies []struct {
		Metric    string  `json:"metricName"`
		Service   string  `json:"service"`
		Threshold float64 `json:"threshold"`
	} `json:"scaleStrategies"`
	Behavior struct {
		ScaleUp   scalerDelay `json:"scaleUp"`
		ScaleDown scalerDelay `json:"scaleDown"`
	} `json:"behavior"`
}

type scalerDelay struct {
	Seconds *int `json:"stabilizationWindowSeconds"`
}

// ParseAutoscaler reads rules from the text of a file. Errors are of kind
// Description and name the file.
func ParseAutoscaler(file string, text []byte) (*Autoscaler, error) {
	var f scalerFile
	d := json.NewDecoder(bytes.NewReader(text))
	// A rule that is not known would silently do nothing.
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fault.New(fault.Description, "%s: %w", file, err).
			WithHint(`write {"min": 2, "max": 5, "strategies": {"qps": 10}}`)
	}
	if d.More() {
		return nil, fault.New(fault.Description, "%s: there is something after the rules", file)
	}
	rules := &Autoscaler{ScaleUpDelay: f.Behavior.ScaleUp.Seconds, ScaleDownDelay: f.Behavior.ScaleDown.Seconds}
	if f.Min != nil {
		rules.Min = *f.Min
	}
	if f.Max != nil {
		rules.Max = *f.Max
	}
	for _, metric := range slices.Sorted(maps.Keys(f.Strategies)) {
		rules.Strategies = append(rules.Strategies, Strategy{Metric: metric, Threshold: f.Strategies[metric]})
	}
	for _, s := range f.ScaleStrategies {
		rules.Strategies = append(rules.Strategies, Strategy{Metric: s.Metric, Service: s.Service, Threshold: s.Threshold})
	}
	return rules, nil
}

// Set changes single rules, each given as name=value: min, max, and
// strategies.METRIC, which an empty value removes. Errors are of kind Usage.
func (r *Autoscaler) Set(settings ...string) error {
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fault.New(fault.Usage, "-D%s: write -Dname=value", setting)
		}
		if metric, ok := strings.CutPrefix(name, ruleStrategy); ok && metric != "" {
			if err := r.setStrategy(metric, value); err != nil {
				return fault.New(fault.Usage, "-D%s: the threshold has to be a number above 0", setting)
			}
			continue
		}
		n, err := strconv.Atoi(value)
		switch name {
		case ruleMin:
			r.Min = n
		case ruleMax:
			r.Max = n
		case ruleUp:
			r.ScaleUpDelay = &n
		case ruleDown:
			r.ScaleDownDelay = &n
		default:
			return fault.New(fault.Usage, "-D%s: there is no rule %q", setting, name).WithHint("the rules are %s", rulesExpected)
		}
		if err != nil || n < 0 {
			return fault.New(fault.Usage, "-D%s: a whole number is needed", setting)
		}
	}
	return nil
}

// setStrategy sets the threshold of a metric of the service itself.
func (r *Autoscaler) setStrategy(metric, value string) error {
	at := slices.IndexFunc(r.Strategies, func(s Strategy) bool { return s.Metric == metric })
	if value == "" {
		if at >= 0 {
			r.Strategies = slices.Delete(r.Strategies, at, at+1)
		}
		return nil
	}
	threshold, err := strconv.ParseFloat(value, 64)
	if err != nil || !(threshold > 0) || threshold > 1e15 {
		return strconv.ErrRange
	}
	if at < 0 {
		r.Strategies = append(r.Strategies, Strategy{Metric: metric})
		at = len(r.Strategies) - 1
	}
	r.Strategies[at].Threshold = threshold
	return nil
}

// Check tells what is wrong with rules as a whole; the error is of kind Usage.
func (r *Autoscaler) Check() error {
	switch {
	case r.Max == 0:
		return fault.New(fault.Usage, "the largest number of instances is missing").WithHint("give -Dmax=N")
	case r.Max > maxInstances:
		return fault.New(fault.Usage, "max is %d, and it may be %d at most", r.Max, maxInstances)
	case r.Min < 0 || r.Min > r.Max:
		return fault.New(fault.Usage, "min is %d and max %d: min may be 0 to max", r.Min, r.Max)
	case len(r.Strategies) == 0:
		return fault.New(fault.Usage, "there is no metric to scale by").WithHint("give one, such as -Dstrategies.qps=10")
	}
	for _, s := range r.Strategies {
		if s.Metric == "" || !(s.Threshold > 0) {
			return fault.New(fault.Usage, "metric %q: the threshold has to be above 0", s.Metric)
		}
	}
	return nil
}
