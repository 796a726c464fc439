// Package gpu says which GPUs a run asks for, in the words of `--gpus` and of
// the service description. The engines turn it into what their place
// understands.
//
// One rule holds everywhere: what asks for GPUs gets them or an error. To go on
// without is the user's choice, and is spelled `--gpus none`.
package gpu

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/service"
)

// Request is what a run asks for. The zero value asks for nothing, and leaves
// the place as it is.
type Request struct {
	All   bool     // every GPU that is there
	Count int      // that many: the first ones
	IDs   []string // those: an index or a UUID each
	None  bool     // none, even where there are some

	// CUDA is the host directory to have at /usr/local/cuda, such as the
	// description's "cuda": "/usr/local/cuda". Empty: none.
	CUDA string

	// CUDAVersion is the version of CUDA that the processor is for, as far as
	// the description tells. Empty: it does not.
	CUDAVersion string

	// Why names what asked for it: "metadata.gpu", "cuda", "--gpus".
	Why string
}

// Flag is the flag that asks for GPUs on the command line.
const Flag = "--gpus"

// Wanted reports whether any GPU is asked for.
func (r Request) Wanted() bool { return r.All || r.Count > 0 || len(r.IDs) > 0 }

// String is the request in the words of the flag.
func (r Request) String() string {
	switch {
	case r.All:
		return "all"
	case r.Count > 0:
		return strconv.Itoa(r.Count)
	case len(r.IDs) == 1:
		return r.IDs[0] + ","
	case len(r.IDs) > 0:
		return strings.Join(r.IDs, ",")
	default:
		return "none"
	}
}

// maxCount is more GPUs than any machine has, and a number that was meant.
const maxCount = 1024

// Parse reads the value of --gpus: "all", "none", a number of GPUs ("2"), or a
// list of indexes and UUIDs ("0,1", "GPU-…"). One index is written with a comma
// behind it, "0,", since a number alone is a count.
func Parse(text string) (Request, error) {
	r := Request{Why: Flag}
	refuse := func(why string) (Request, error) {
		return Request{}, fault.New(fault.Usage, "%s %s: %s", Flag, text, why).
			WithHint("write all, none, a number of GPUs such as 2, or indexes and UUIDs such as 0,1 (one index: 0,)")
	}
	trimmed := strings.TrimSpace(text)
	switch strings.ToLower(trimmed) {
	case "all":
		r.All = true
		return r, nil
	case "none":
		r.None = true
		return r, nil
	case "":
		return refuse("nothing is asked for")
	}
	if n, err := strconv.Atoi(trimmed); err == nil {
		switch {
		case n < 0:
			return refuse("a number of GPUs is not negative")
		case n > maxCount:
			return refuse("no machine has so many GPUs")
		}
		r.Count, r.None = n, n == 0
		return r, nil
	}
	for id := range strings.SplitSeq(strings.TrimSuffix(trimmed, ","), ",") {
		id = strings.TrimSpace(id)
		if !validID(id) {
			return refuse(fmt.Sprintf("%q is neither an index nor a UUID", id))
		}
		if slices.Contains(r.IDs, id) {
			return refuse(id + " is named twice")
		}
		r.IDs = append(r.IDs, id)
	}
	return r, nil
}

// validID reports whether text names a GPU: an index, "GPU-…" or "MIG-…", as
// nvidia-smi -L lists them, or "1:0", a MIG device by its indexes.
func validID(text string) bool {
	index, sub, isMIG := strings.Cut(text, ":")
	if isIndex(index) && (!isMIG || isIndex(sub)) {
		return true
	}
	rest, ok := strings.CutPrefix(text, "GPU-")
	if !ok {
		rest, ok = strings.CutPrefix(text, "MIG-")
	}
	return ok && rest != "" && len(text) <= 128 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '/'
	})
}

func isIndex(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n < maxCount && strconv.Itoa(n) == text
}

// FromDescription returns what a description asks for.
//
// metadata.gpu is a number of GPUs. A share of one (gpu_memory,
// gpu_core_percentage) is one here, where there is nobody to share it with. cuda
// and metadata.cuda alone ask for all: a processor for CUDA is one for a GPU,
// and on EAS the instance type decides how many there are.
func FromDescription(d *service.Description) Request { return fromDescription(d, isDir) }

func fromDescription(d *service.Description, isDir func(string) bool) Request {
	var r Request
	m := &d.Metadata
	switch {
	case m.GPU > 0:
		r.Count, r.Why = m.GPU, "metadata.gpu"
	case m.GPUMemory > 0:
		r.Count, r.Why = 1, "metadata.gpu_memory"
	case m.GPUCorePercentage > 0:
		r.Count, r.Why = 1, "metadata.gpu_core_percentage"
	case d.CUDA != "":
		r.All, r.Why = true, "cuda"
	case m.CUDA != "":
		r.All, r.Why = true, "metadata.cuda"
	}
	// What runs here is named by cuda; metadata.cuda is for a deployed service,
	// and counts where nothing else is said.
	named := d.CUDA
	if named == "" {
		named = m.CUDA
	}
	if isCUDAVersion(named) {
		r.CUDAVersion = named
		if dir := "/usr/local/cuda-" + named; isDir(dir) {
			r.CUDA = dir
		}
		return r
	}
	r.CUDA = named
	if isCUDAVersion(m.CUDA) {
		r.CUDAVersion = m.CUDA
	} else if named != "" {
		r.CUDAVersion = nvidia.CUDAVersion(named)
	}
	return r
}

// Choose returns what a run asks for: what the flag says where it was given,
// otherwise what the description does. The CUDA directory is the description's
// in either case, so that a processor which is linked with CUDA's libraries
// finds them also where it is to run without a GPU.
func Choose(flag string, given bool, d *service.Description) (Request, error) {
	r := FromDescription(d)
	if given {
		asked, err := Parse(flag)
		if err != nil {
			return Request{}, err
		}
		asked.CUDA, asked.CUDAVersion = r.CUDA, r.CUDAVersion
		r = asked
	}
	if r.CUDA != "" && !strings.HasPrefix(r.CUDA, "/") {
		return Request{}, fault.New(fault.Description, "cuda: %q is no absolute path", r.CUDA).
			WithHint("name the directory of CUDA on the machine that the service runs on, such as /usr/local/cuda, or a version such as 11.2")
	}
	return r, nil
}

// isCUDAVersion reports whether text is a version such as "11.2".
func isCUDAVersion(text string) bool {
	parts := strings.Split(text, ".")
	return len(parts) <= 3 && !slices.ContainsFunc(parts, func(part string) bool {
		_, err := strconv.ParseUint(part, 10, 16)
		return err != nil
	})
}

func isDir(path string) bool {
	info, err := os.Stat(filepath.FromSlash(path))
	return err == nil && info.IsDir()
}
