package service_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/openeas/eascmd/pkg/service"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := service.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(service.SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(service.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s.Validate(v)
}

// TestSchemaAcceptsSamples checks the samples in their normal form, which has
// no comments and trailing commas, and as they are where they have none.
func TestSchemaAcceptsSamples(t *testing.T) {
	s := compileSchema(t)
	for _, file := range samples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d, err := service.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := check(t, s, string(d.Canonical())); err != nil {
				t.Error(err)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.ContainsRune(raw, '#') {
				if err := check(t, s, string(raw)); err != nil {
					t.Errorf("as written: %v", err)
				}
			}
		})
	}
}

// TestSchemaAgrees checks that schema and parser agree about descriptions that
// differ in one point.
func TestSchemaAgrees(t *testing.T) {
	s := compileSchema(t)
	const cpp = `"name":"x","processor_path":"p.so","processor_type":"cpp","processor_entry":"p.so"`
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"least", `{` + cpp + `}`, true},
		{"$schema", `{"$schema":"./schema.json",` + cpp + `}`, true},
		{"unknown field", `{` + cpp + `,"zzz":{"a":[1]}}`, true},
		{"numbers as text", `{` + cpp + `,"metadata":{"instance":"1","cpu":"2","memory":4000.0}}`, true},
		{"booleans as text", `{` + cpp + `,"generate_token":"False","uncompress":0}`, true},
		{"number as text field", `{` + cpp + `,"metadata":{"cuda":10.1}}`, true},
		{"dotted in metadata", `{` + cpp + `,"metadata":{"rpc.keepalive":"5000"}}`, true},
		{"dotted at the top", `{` + cpp + `,"metadata.rpc.keepalive":5000}`, true},
		{"dotted second place", `{` + cpp + `,"rpc.keepalive":5000}`, true},
		{"nested", `{` + cpp + `,"rpc":{"keepalive":5000,"new":1}}`, true},
		{"termination", `{` + cpp + `,"metadata":{"eas.termination_grace_period":30}}`, true},
		{"model_config object", `{` + cpp + `,"model_config":{"a":1}}`, true},
		{"quantities", `{` + cpp + `,"metadata":{"rolling_strategy":{"max_surge":"5%","max_unavailable":1}}}`, true},
		{"labels", `{` + cpp + `,"labels":{"a.b/c":"d"},"features":{"eas.aliyun.com/x":"1"}}`, true},
		{"name in metadata", `{"metadata":{"name":"x"},"processor":"pmml"}`, true},
		{"name dotted", `{"metadata.name":"x","processor":"pmml"}`, true},
		{"java", `{"name":"x","processor_path":"p.jar","processor_type":"java","processor_mainclass":"A"}`, true},
		{"container", `{"name":"x","containers":[{"image":"i","port":"8000","env":[{"name":"A","value":"1"}]}]}`, true},
		{"null for nothing", `{` + cpp + `,"token":null,"processor":null,"containers":null,"processor_envs":null,"labels":null,"metadata":{"instance":null,"rpc":null,"rpc.keepalive":null}}`, true},
		{"null for a choice", `{"name":"x","processor":"pmml","processor_type":null,"metadata":null}`, true},
		{"punctuation in a name", `{"name":"a-b._~!$&'()*+,;=:@","processor":"pmml"}`, true},
		{"number for a name", `{"name":7,"processor":"pmml"}`, true},

		{"null for the name", `{"name":null,"processor":"pmml"}`, false},
		{"null for the name in metadata", `{"metadata":{"name":null},"processor":"pmml"}`, false},
		{"null for metadata with the name", `{"metadata":null,"processor":"pmml"}`, false},
		{"null for the processor", `{"name":"x","processor":null}`, false},
		{"null for the language", `{"name":"x","processor_path":"p","processor_type":null,"processor_entry":"p.so"}`, false},
		{"null for the image", `{"name":"x","containers":[{"image":null}]}`, false},
		{"null for a variable", `{` + cpp + `,"processor_envs":[{"name":null,"value":"1"}]}`, false},
		{"null in a list", `{` + cpp + `,"processor_envs":[null]}`, false},
		{"blank in the name", `{"name":"My Service","processor":"pmml"}`, false},
		{"slash in the name", `{"name":"a/b","processor":"pmml"}`, false},
		{"dots for a name", `{"name":"..","processor":"pmml"}`, false},
		{"blank in the token", `{` + cpp + `,"token":"a b"}`, false},
		{"no name", `{"processor":"pmml"}`, false},
		{"not an object", `[]`, false},
		{"no processor", `{"name":"x"}`, false},
		{"two processors", `{` + cpp + `,"processor":"pmml"}`, false},
		{"processor and containers", `{"name":"x","processor":"pmml","containers":[{"image":"i"}]}`, false},
		{"unknown language", `{"name":"x","processor_path":"p","processor_type":"c++","processor_entry":"p.so"}`, false},
		{"no language", `{"name":"x","processor_path":"p","processor_entry":"p.so"}`, false},
		{"no entry", `{"name":"x","processor_path":"p","processor_type":"python"}`, false},
		{"no main class", `{"name":"x","processor_path":"p","processor_type":"java"}`, false},
		{"instance", `{` + cpp + `,"metadata":{"instance":"many"}}`, false},
		{"cpu", `{` + cpp + `,"metadata":{"cpu":0}}`, false},
		{"memory with a unit", `{` + cpp + `,"metadata":{"memory":"2G"}}`, false},
		{"keepalive nested", `{` + cpp + `,"metadata":{"rpc":{"keepalive":0}}}`, false},
		{"keepalive dotted", `{` + cpp + `,"metadata":{"rpc.keepalive":0}}`, false},
		{"keepalive dotted at the top", `{` + cpp + `,"metadata.rpc.keepalive":false}`, false},
		{"keepalive second place", `{` + cpp + `,"rpc":{"keepalive":"soon"}}`, false},
		{"boolean", `{` + cpp + `,"generate_token":"maybe"}`, false},
		{"port", `{"name":"x","containers":[{"image":"i","port":8080}]}`, false},
		{"command and script", `{"name":"x","containers":[{"image":"i","command":"a","script":"b"}]}`, false},
		{"no image", `{"name":"x","containers":[{"port":8000}]}`, false},
		{"list for object", `{` + cpp + `,"metadata":[]}`, false},
		{"object for list", `{` + cpp + `,"processor_envs":{"A":"b"}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := check(t, s, tt.text); (err == nil) != tt.ok {
				t.Errorf("schema: ok = %v, want %v: %v", err == nil, tt.ok, err)
			}
			if _, err := service.Parse("s.json", []byte(tt.text)); (err == nil) != tt.ok {
				t.Errorf("parser: ok = %v, want %v: %v", err == nil, tt.ok, err)
			}
		})
	}
}
