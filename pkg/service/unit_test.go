package service

import (
	"fmt"
	"strings"
	"testing"
)

// A number with a unit is refused with the value in the field's own unit.
func TestUnits(t *testing.T) {
	for _, tt := range []struct{ field, value, fix string }{
		{"rpc.keepalive", "5s", "write the milliseconds, 5000"},
		{"rpc.keepalive", "1.5 s", "write the milliseconds, 1500"},
		{"rpc.keepalive", "2m", "write the milliseconds, 120000"},
		{"rpc.keepalive", "1h", "write the milliseconds, 3600000"},
		{"rpc.keepalive", "250ms", "write the milliseconds, 250"},
		{"rpc.keepalive", "3000us", "write the milliseconds, 3"},
		{"rpc.keepalive", "500us", "write a whole number of milliseconds"},
		{"rpc.keepalive", "5MB", "write a whole number of milliseconds"},
		{"rpc.keepalive", "999999h", "write a whole number of milliseconds"},
		{"rpc.max_batch_timeout", "0.1s", "write the milliseconds, 100"},
		{"eas.termination_grace_period", "2m", "write the seconds, 120"},
		{"eas.termination_grace_period", "30000ms", "write the seconds, 30"},
		{"memory", "2G", "write the megabytes, 2000"},
		{"memory", "4 GiB", "write the megabytes, 4000"},
		{"memory", "512Mi", "write the megabytes, 512"},
		{"memory", "1.5gb", "write the megabytes, 1500"},
		{"gpu_memory", "8000MB", "write the gigabytes, 8"},
		{"shm_size", "64M", "write a whole number of gigabytes"},
		{"rpc.worker_threads", "5 threads", "write 5"},
		{"cpu", "500m", "write a whole number"},
		{"cpu", "1.5 cores", "write a whole number"},
	} {
		_, err := Parse("s.json", fmt.Appendf(nil, `{"name":"x","processor":"pmml","model_path":"m","metadata":{%q:%q}}`, tt.field, tt.value))
		if err == nil || !strings.HasSuffix(err.Error(), "; the number goes without a unit; "+tt.fix) {
			t.Errorf("%s %q: %v, want %s", tt.field, tt.value, err, tt.fix)
		}
	}
	for _, value := range []string{"soon", "s", "-5s", "1e999s", "1.2.3s", "0x5s"} {
		_, err := Parse("s.json", fmt.Appendf(nil, `{"name":"x","processor":"pmml","model_path":"m","metadata":{"rpc.keepalive":%q}}`, value))
		if err == nil || !strings.HasSuffix(err.Error(), "not a number; write a whole number") {
			t.Errorf("%q: %v", value, err)
		}
	}
}
