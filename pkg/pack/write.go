package pack

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	kflate "github.com/klauspost/compress/flate"

	"github.com/openeas/eascmd/internal/fault"
)

// DefaultLevel is the level of compression that Write takes unless it is told
// another one.
const DefaultLevel = 5

// maxWorkers bounds what many processors make of the memory.
const maxWorkers = 16

// WriteOptions say how a package is written.
type WriteOptions struct {
	// Level is from 1 (fast) to 9 (small); 0 means DefaultLevel.
	Level int
	// SingleMember writes one gzip member instead of one for each segment, for
	// readers that end after the first.
	SingleMember bool
	// Workers is how many segments are compressed at the same time; 0 means as
	// many as there are processors. The bytes do not depend on it.
	Workers int
	// Progress, if set, is called now and then, from several goroutines: bytes of
	// tar read, and all of them.
	Progress func(done, total int64)
}

// WriteStats says what was written.
type WriteStats struct {
	Files    int   // regular files, further names of one among them
	Dirs     int   // directories
	Links    int   // symbolic links
	Bytes    int64 // content of all files
	Tar      int64 // bytes of tar
	Written  int64 // bytes of the package
	Segments int
}

// Write writes a package: a tar, compressed by gzip in segments that can each
// be decompressed, and written again, by itself.
//
// The order of entries does not matter. Directories that have no entry are
// added. Times, owners and modes are those of every package: Epoch, nobody's,
// and 0755 for what is executable or a directory, 0644 for the rest. Links must
// lead to somewhere inside. Memory is bounded whatever the sizes.
//
// The error names the entry that cannot be read, or that changed while it was
// read; one of w comes as it is. When ctx ends, so does Write.
func Write(ctx context.Context, w io.Writer, entries []Entry, o WriteOptions) (WriteStats, error) {
	level := o.Level
	switch {
	case level == 0:
		level = DefaultLevel
	case level < kflate.BestSpeed || level > kflate.BestCompression:
		return WriteStats{}, fault.New(fault.Usage, "there is no level %d of compression", level).
			WithHint("the levels are 1 (fast) to 9 (small)")
	}
	records, err := inOrder(entries)
	if err != nil {
		return WriteStats{}, err
	}
	if len(records) == 0 {
		return WriteStats{}, fault.New(fault.Failed, "there is nothing to pack")
	}
	a := &archive{
		records: records, segments: cut(records), out: newOutput(w),
		level: level, single: o.SingleMember, progress: o.Progress,
	}
	stats := a.stats()
	a.total = stats.Tar
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	err = a.compress(ctx, min(workers, maxWorkers, len(a.segments)))
	stats.Written = a.out.written
	return stats, err
}

// archive is one run of Write.
type archive struct {
	records  []record
	segments []segment
	out      *output
	level    int
	single   bool
	progress func(done, total int64)

	next  atomic.Int64 // the segment that is compressed next
	done  atomic.Int64 // bytes of tar
	total int64
	crcs  []uint32 // of the segments, for one member
	sizes []int64  // bytes of tar in each
}

func (a *archive) stats() WriteStats {
	s := WriteStats{Segments: len(a.segments)}
	for _, segment := range a.segments {
		s.Tar += segment.size
	}
	for _, r := range a.records {
		switch {
		case r.Mode.IsDir():
			s.Dirs++
		case r.Mode.IsRegular():
			s.Files++
			if r.same == "" {
				s.Bytes += r.Size
			}
		default:
			s.Links++
		}
	}
	return s
}

// compress compresses and writes all segments.
func (a *archive) compress(ctx context.Context, workers int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.crcs, a.sizes = make([]uint32, len(a.segments)), make([]int64, len(a.segments))
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			if err := a.worker(ctx); err != nil {
				cancel(err)
				a.out.fail(err)
			}
		})
	}
	stop := context.AfterFunc(ctx, func() { a.out.fail(context.Cause(ctx)) })
	group.Wait()
	stop()
	if err := context.Cause(ctx); err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return fault.New(fault.Interrupted, "%w", err)
		}
		return err
	}
	if !a.single {
		return nil
	}
	crc, size := uint32(0), int64(0)
	for i, n := range a.sizes {
		crc = joinCRC(crc, a.crcs[i], n)
		size += n
	}
	return a.out.write(nil, memberTrailer(crc, size))
}

// worker compresses segments until there are no more.
func (a *archive) worker(ctx context.Context) error {
	z, err := kflate.NewWriter(nil, a.level)
	if err != nil {
		return err
	}
	in, chunk := newFeed(), make([]byte, 0, outChunk)
	for {
		i := int(a.next.Add(1)) - 1
		if i >= len(a.segments) {
			return nil
		}
		p := a.out.begin(i, chunk)
		go in.segment(ctx, a.records, a.segments[i])
		if err := a.segment(ctx, i, in, z, p); err != nil {
			return err
		}
		if chunk, err = p.end(); err != nil {
			return err
		}
	}
}

// segment compresses one segment: a gzip member of its own, or a part of the
// only one, which ends at a whole byte.
func (a *archive) segment(ctx context.Context, i int, in *feed, z *kflate.Writer, p *part) error {
	z.Reset(p)
	var headerErr error
	if !a.single || i == 0 {
		_, headerErr = p.Write(memberHeader[:])
	}
	var crc uint32
	var size int64
	err := in.drain(func(b []byte) error {
		crc = crc32.Update(crc, crc32.IEEETable, b)
		size += int64(len(b))
		if done := a.done.Add(int64(len(b))); a.progress != nil {
			a.progress(done, a.total)
		}
		_, err := z.Write(b)
		return err
	})
	if err := errors.Join(headerErr, err); err != nil {
		return err
	}
	a.crcs[i], a.sizes[i] = crc, size
	if a.single && !a.segments[i].end {
		return z.Flush()
	}
	if err := z.Close(); err != nil || a.single {
		return err
	}
	_, err = p.Write(memberTrailer(crc, size))
	return err
}
