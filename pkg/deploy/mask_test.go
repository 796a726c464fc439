package deploy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMasked(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", ``, ``},
		{"sorted", `{"name":"echo","metadata":{"memory":1024,"cpu":1}}`, `{"metadata":{"cpu":1,"memory":1024},"name":"echo"}`},
		{"token", `{"token":"s3cret","generate_token":"false"}`, `{"generate_token":"false","token":"****"}`},
		{"empty token", `{"token":""}`, `{"token":""}`},
		{"nested", `{"metadata":{"rpc":{"token":"s3cret"}}}`, `{"metadata":{"rpc":{"token":"****"}}}`},
		{"dotted", `{"metadata":{"rpc.token":"s3cret"}}`, `{"metadata":{"rpc.token":"****"}}`},
		{"registry", `{"dockerAuth":"czNjcmV0"}`, `{"dockerAuth":"****"}`},
		{"a secret that is an object", `{"storage":[{"secret":{"a":"s3cret"}}]}`, `{"storage":[{"secret":"****"}]}`},
		{"variables", `{"processor_envs":[{"name":"DB_PASSWORD","value":"s3cret"},{"name":"OMP_NUM_THREADS","value":"2"}]}`,
			`{"processor_envs":[{"name":"DB_PASSWORD","value":"****"},{"name":"OMP_NUM_THREADS","value":"2"}]}`},
		{"variables of containers", `{"containers":[{"env":[{"name":"OPENAI_API_KEY","value":"s3cret"}]}]}`,
			`{"containers":[{"env":[{"name":"OPENAI_API_KEY","value":"****"}]}]}`},
		{"addresses", `{"model_path":"https://b.oss.example/m.tgz?Expires=1&Signature=s3cret"}`,
			`{"model_path":"https://b.oss.example/m.tgz?Expires=***&Signature=***"}`},
		{"numbers keep their text", `{"a":12345678901234567890,"b":1e3}`, `{"a":12345678901234567890,"b":1e3}`},
		{"no escapes", `{"a":"<&>"}`, `{"a":"<&>"}`},
		{"no JSON", `s3cret`, `"****"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := string(Masked(json.RawMessage(test.in)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(got, "s3cret") || strings.Contains(got, "czNjcmV0") {
				t.Errorf("a secret is shown: %s", got)
			}
		})
	}
}
