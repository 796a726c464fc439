package backtrace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// damage writes over bytes of a file: each 6 bytes of plan are an offset (4),
// what is done there (1) and with what (1).
func damage(data, plan []byte) []byte {
	out := append([]byte(nil), data...)
	for ; len(plan) >= 6; plan = plan[6:] {
		at := int(binary.LittleEndian.Uint32(plan)) % len(out)
		switch plan[4] % 5 {
		case 0:
			out[at] ^= plan[5]
		case 1:
			out[at] = plan[5]
		case 2:
			for i := at; i < len(out) && i < at+8; i++ {
				out[i] = plan[5]
			}
		case 3:
			for i := at; i < len(out) && i < at+int(plan[5]); i++ {
				out[i] = 0
			}
		case 4:
			if at > 64 && plan[5] < 8 {
				out = out[:at]
			}
		}
	}
	return out
}

// FuzzResolve explains a crash with a damaged library. Whatever is wrong with
// it, there must be an explanation, and soon.
func FuzzResolve(f *testing.F) {
	dir := source(f, "chain.cc")
	run(f, dir, "g++", "-g", "-O2", "-shared", "-fPIC", "-o", "chain.so", "chain.cc")
	rec := record(f, dir, "chain.so")
	for i := range rec.Maps {
		rec.Maps[i].Inode = 0 // take whatever file is there
	}
	library := filepath.Join(dir, "chain.so")
	built, err := os.ReadFile(library)
	if err != nil {
		f.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		plan := make([]byte, 6*(1+random.IntN(20)))
		for i := range plan {
			plan[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 {
			// The headers deserve more than their share.
			binary.LittleEndian.PutUint32(plan, uint32(random.IntN(1024)))
		}
		f.Add(plan)
	}
	// The sections' headers come last.
	for i := range 64 {
		f.Add(binary.LittleEndian.AppendUint32(nil, uint32(len(built)-1-i*32)))
	}
	f.Fuzz(func(t *testing.T, plan []byte) {
		if err := os.WriteFile(library, damage(built, plan), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		e := rec.Explain(ctx, Options{})
		if len(e.Frames) == 0 {
			t.Error("no frames")
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
