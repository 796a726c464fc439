package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	tests := []struct {
		name             string
		deployed, wanted string
		want             []string
	}{
		{"same", `{"name":"e","metadata":{"cpu":1}}`, `{"name":"e","metadata":{"cpu":1}}`, nil},
		{"loose forms", `{"name":"e","metadata":{"cpu":"1","rpc":{"keepalive":100}},"uncompress":"true"}`,
			`{"metadata":{"name":"e","cpu":1,"rpc.keepalive":"100"},"uncompress":true}`, nil},
		{"JSON as text", `{"model_config":"{\"a\": 1, \"b\": [2]}"}`, `{"model_config":{"b":[2],"a":1}}`, nil},
		{"numbers", `{"metadata":{"cpu":1,"memory":1024}}`, `{"metadata":{"cpu":2,"memory":1024}}`, []string{"metadata.cpu 1 -> 2"}},
		{"added", `{"metadata":{"cpu":1}}`, `{"metadata":{"cpu":1,"rpc":{"keepalive":100}}}`, []string{"metadata.rpc.keepalive  -> 100"}},
		{"removed", `{"metadata":{"cpu":1,"rpc":{"keepalive":100}}}`, `{"metadata":{"cpu":1}}`, []string{"metadata.rpc.keepalive 100 -> "}},
		{"a default", `{"metadata":{"cpu":1,"rpc":{"keepalive":5000}}}`, `{"metadata":{"cpu":1}}`, nil},
		{"a default, written", `{"metadata":{"cpu":1}}`, `{"metadata":{"cpu":1,"gpu":0,"rpc":{"keepalive":5000}}}`, nil},
		{"no instances are no default", `{"metadata":{"cpu":1}}`, `{"metadata":{"cpu":1,"instance":0}}`, []string{"metadata.instance  -> 0"}},
		{"what the platform adds",
			`{"name":"e","token":"t","source":"x","metadata":{"cpu":1,"region":"cn-beijing","workspace_id":"7","unheard_of":3},"unheard":{"a":1}}`,
			`{"name":"e","metadata":{"cpu":1}}`, nil},
		{"region only in the file", `{"metadata":{"cpu":1}}`, `{"metadata":{"cpu":1,"region":"cn-beijing"}}`, nil},
		{"labels", `{"labels":{"a":"1","b.c":"2"}}`, `{"labels":{"a":"1","d":"3"}}`, []string{"labels.b.c \"2\" -> ", "labels.d  -> \"3\""}},
		{"variables by name",
			`{"processor_envs":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}`,
			`{"processor_envs":[{"name":"B","value":"3"},{"name":"A","value":"1"}]}`, []string{`processor_envs[B].value "2" -> "3"`}},
		{"a list that grows", `{"storage":[{"mount_path":"/a"}]}`, `{"storage":[{"mount_path":"/a"},{"mount_path":"/b"}]}`,
			[]string{`storage[1]  -> {"mount_path":"/b"}`}},
		{"secrets", `{"token":"old-s3cret","processor_envs":[{"name":"KEY","value":"s3cret-1"}]}`,
			`{"token":"new-s3cret","processor_envs":[{"name":"KEY","value":"s3cret-2"}]}`,
			[]string{`processor_envs[KEY].value "****" -> "****"`, `token "****" -> "****"`}},
		{"a variable that is new", `{"processor_envs":[]}`, `{"processor_envs":[{"name":"DB_PASSWORD","value":"s3cret"}]}`,
			[]string{`processor_envs[DB_PASSWORD]  -> {"name":"DB_PASSWORD","value":"****"}`}},
		{"long numbers", `{"a":9007199254740993}`, `{"a":9007199254740992}`, []string{"a 9007199254740993 -> 9007199254740992"}},
		{"a description that breaks the rules", `{"name":"e","metadata":{"cpu":"many"}}`, `{"name":"e","metadata":{"cpu":1}}`, []string{`metadata.cpu "many" -> 1`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changes, err := Diff(json.RawMessage(test.deployed), json.RawMessage(test.wanted))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				got = append(got, fmt.Sprintf("%s %s -> %s", c.Path, c.Old, c.New))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(strings.Join(got, "\n"), "s3cret") {
				t.Error("a secret is shown")
			}
			// What was changed as the differences say is the same.
			completed, err := Complete(json.RawMessage(test.deployed), json.RawMessage(test.wanted))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Diff(completed, json.RawMessage(test.wanted)); err != nil || len(again) > 0 {
				t.Errorf("after replacing there are differences: %v, %v", again, err)
			}
		})
	}
}

func TestDiffOfNoJSON(t *testing.T) {
	for _, text := range []string{"", "[]", "{", "null"} {
		if _, err := Diff(json.RawMessage(text), json.RawMessage(`{}`)); err == nil {
			t.Errorf("%q is a description", text)
		}
	}
}

func TestComplete(t *testing.T) {
	deployed := `{"name":"e","token":"t","metadata":{"cpu":1,"shm_size":2,"region":"cn-beijing","unheard_of":3,"rpc":{"keepalive":7,"new_switch":1}}}`
	got, err := Complete(json.RawMessage(deployed), json.RawMessage(`{"metadata":{"name":"e","cpu":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"metadata":{"cpu":2,"region":"cn-beijing","rpc":{"new_switch":1},"unheard_of":3},"name":"e","token":"t"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMerge(t *testing.T) {
	got, err := Merge(json.RawMessage(`{"name":"e","metadata":{"cpu":1,"rpc":{"keepalive":7}},"storage":[1,2]}`),
		json.RawMessage(`{"metadata.cpu":2,"rpc.worker_threads":3,"storage":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"metadata":{"cpu":2,"rpc":{"keepalive":7,"worker_threads":3}},"name":"e","storage":[]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
