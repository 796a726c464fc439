package docker

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/workers"
)

//go:embed Dockerfile-cpp
var cppDockerfile string

//go:embed Dockerfile-java
var javaDockerfile string

//go:embed Dockerfile-python
var pythonDockerfile string

//go:embed Dockerfile-python-dev
var pythonDevDockerfile string

//go:embed prepare.sh
var prepare string

// recipe is what an image is built from, but for its base.
type recipe struct {
	language   string
	dockerfile string // with the names of recipeData between braces
	data       recipeData

	files []contextFile // beside the Dockerfile
	made  []contextFile // likewise: what follows from these, and need not be made again

	authorities string // the hash of those that it trusts, or "none"
}

// recipeData fills in a Dockerfile.
type recipeData struct {
	Base, BuildLabel    string
	Host, Flags         string // the path of the host in the image and, of C, its compiler's flags
	Environment, Python string // of a development image: its path, and the version asked for or ""
}

// fill puts the data in the place of its names in a Dockerfile. It is no
// text/template because that calls methods by name, for which the linker has to
// keep every method of the program.
func (d recipeData) fill(dockerfile string) string {
	return strings.NewReplacer(
		"{{Base}}", d.Base, "{{BuildLabel}}", d.BuildLabel,
		"{{Host}}", d.Host, "{{Flags}}", d.Flags,
		"{{Environment}}", d.Environment, "{{Python}}", d.Python,
	).Replace(dockerfile)
}

// contextFile is a file of a build's context.
type contextFile struct {
	name string
	data []byte
}

// newRecipe returns the recipe for processors in a language on a CPU.
func newRecipe(o *imageOptions, arch string) (*recipe, error) {
	r := &recipe{language: o.Language, files: []contextFile{{"prepare.sh", []byte(prepare)}}}
	switch o.Language {
	case "cpp":
		r.dockerfile = cppDockerfile
		r.data.Host = path.Join(HostsDir, hosts.CPPName("linux", arch))
		r.data.Flags = strings.Join(hosts.CPPFlags(), " ")
		r.files = append(r.files, contextFile{"host.c", []byte(workers.CPPHost)})
	case "java":
		r.dockerfile = javaDockerfile
		sources, err := hosts.JavaSources()
		if err != nil {
			return nil, err
		}
		r.data.Host = path.Join(HostsDir, hosts.JavaName())
		r.data.Flags = strings.Join(hosts.JavacFlags(), " ")
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			r.files = append(r.files, contextFile{"eashost/" + name, sources[name]})
		}
		if jar, err := os.ReadFile(o.Host); err == nil { // else it is compiled
			r.made = append(r.made, contextFile{"host.jar", jar})
		}
	case "python":
		r.dockerfile = pythonDockerfile
	default:
		return nil, fault.New(fault.Description, "there is no image for processors in %q", o.Language).
			WithHint("name an image that has what they need with --image")
	}
	return r, r.trust(o.CABundle)
}

// trust adds the authorities of a PEM file to what is trusted, if there is one.
func (r *recipe) trust(caBundle string) error {
	authorities, sum, err := readAuthorities(caBundle)
	r.files = append(r.files, authorities...)
	r.authorities = sum
	return err
}

// readAuthorities returns the certificates of a PEM file, a file each, as
// update-ca-certificates wants them, and nothing else that may be in it.
func readAuthorities(name string) (files []contextFile, sum string, err error) {
	if name == "" {
		return nil, "none", nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, "", fault.New(fault.Description, "read the CA bundle: %w", err)
	}
	hash := sha256.New()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		block.Headers = nil
		files = append(files, contextFile{fmt.Sprintf("ca/eascmd-%d.crt", len(files)+1), pem.EncodeToMemory(block)})
		hash.Write(block.Bytes)
	}
	if len(files) == 0 {
		return nil, "", fault.New(fault.Description, "the CA bundle %s holds no certificate", name).
			WithHint("name a file in PEM form, with -----BEGIN CERTIFICATE----- in it")
	}
	return files, hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// hash tells recipes apart.
func (r *recipe) hash() string { return r.sum("") }

// tag is the name of what the recipe makes of a base.
func (r *recipe) tag(baseID string) string {
	return "eascmd-" + r.language + ":" + r.sum(baseID)
}

func (r *recipe) sum(baseID string) string {
	h := sha256.New()
	for _, s := range []string{r.dockerfile, r.data.Host, r.data.Flags, baseID} {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	for _, f := range r.files {
		fmt.Fprintf(h, "%s\x00%d\x00%s", f.name, len(f.data), f.data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// context returns the build's context, a tar archive.
func (r *recipe) context(baseID, build string) (io.Reader, error) {
	data := r.data
	data.Base, data.BuildLabel = baseID, buildLabel+"="+build
	text := data.fill(r.dockerfile)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range slices.Concat([]contextFile{{"Dockerfile", []byte(text)}}, r.files, r.made) {
		header := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return &archive, nil
}
