package portable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// compiler makes an interpreter compile sources, which it reads by their names
// from its standard input, and write the bytecode, in the form that is valid
// for a source of that hash, to its standard output.
const compiler = `
import sys, json, marshal, base64, importlib.util
out = {}
for name, text in json.load(sys.stdin).items():
    source = text.encode()
    code = compile(source, name, "exec", dont_inherit=True)
    pyc = importlib.util.MAGIC_NUMBER + b"\x01\x00\x00\x00" + importlib.util.source_hash(source) + marshal.dumps(code)
    out[name] = base64.b64encode(pyc).decode()
json.dump({"tag": sys.implementation.cache_tag, "code": out}, sys.stdout)
`

// compile adds the bytecode of modules of the standard library that were
// rewritten. Without it a process that may not write beside them would compile
// them at every start. Python 3.6 does not know the form.
func (b *builder) compile() error {
	sources := map[string]string{}
	for name, it := range b.items {
		if it.data != nil && strings.HasSuffix(name, ".py") && strings.HasPrefix(name, b.stdlib+"/") && !strings.HasPrefix(name, b.packages()+"/") {
			sources[name] = string(it.data)
		}
	}
	if len(sources) == 0 || b.python.Minor < 7 {
		return nil
	}
	text, err := json.Marshal(sources)
	if err != nil {
		return err
	}
	var stdout, stderr bytes.Buffer
	cmd := python.Command(b.ctx, b.python.Executable, "-I", "-S", "-B", "-X", "utf8", "-c", compiler)
	cmd.Env = python.Environ(os.Environ())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile the standard library: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var made struct {
		Tag  string            `json:"tag"`
		Code map[string][]byte `json:"code"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &made); err != nil {
		return fmt.Errorf("compile the standard library: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(made.Code)) {
		dir, base := path.Split(name)
		b.put(dir+"__pycache__/"+strings.TrimSuffix(base, "py")+made.Tag+".pyc", 0o644, made.Code[name])
	}
	return nil
}
