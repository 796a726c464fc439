// Package gpu says which GPUs a run asks for, in the words of `--gpus`. The
// engines turn it into what their place understands.
package gpu

// Request is what a run asks for. The zero value asks for none.
type Request struct {
	All   bool     // every GPU that is there
	Count int      // that many, whichever
	IDs   []string // those: an index or a UUID each

	// CUDA is the host directory to have at /usr/local/cuda, such as the
	// description's "cuda": "/usr/local/cuda". Empty: none.
	CUDA string

	// Why names what asked for it: "metadata.gpu", "cuda", "--gpus".
	Why string
}

// Wanted reports whether any GPU is asked for.
func (r Request) Wanted() bool { return r.All || r.Count > 0 || len(r.IDs) > 0 }
