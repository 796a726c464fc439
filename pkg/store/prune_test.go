package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPruneCache(t *testing.T) {
	opts := quick(t)
	if freed, err := PruneCache(opts.CacheDir, 0); freed != 0 || err != nil {
		t.Errorf("no cache: %d, %v", freed, err)
	}
	o := newOrigin(t, 1000)
	paths := map[string]string{}
	for i, name := range []string{"oldest", "used", "middle", "young"} {
		o.set(func() { o.body, o.etag = noise(1000+i), `"`+name+`"` })
		paths[name] = mustFetch(t, o.URL+"/"+name, opts, o.body)
	}
	// All but one came long ago; one of them was used again.
	age := func(name string, by time.Duration) {
		then := time.Now().Add(-by)
		u, err := parseURL(o.URL + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		c := &cache{dir: opts.CacheDir}
		for _, file := range []string{paths[name], c.entryFile(cacheKey(identity(u)))} {
			if err := os.Chtimes(file, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	age("oldest", 72*time.Hour)
	age("used", 71*time.Hour)
	age("middle", 24*time.Hour)
	offline := opts
	offline.Offline = true
	o.set(func() { o.body = noise(1001) })
	mustFetch(t, o.URL+"/used", offline, o.body)

	old := filepath.Join(opts.CacheDir, "parts", "old")
	if err := os.WriteFile(old, make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}

	check := func(max, wantFreed int64, wantLeft ...string) {
		t.Helper()
		freed, err := PruneCache(opts.CacheDir, max)
		if err != nil || freed != wantFreed {
			t.Errorf("freed %d, %v; want %d", freed, err, wantFreed)
		}
		left := map[string]bool{}
		for _, name := range wantLeft {
			left[name] = true
		}
		for name, path := range paths {
			if _, err := os.Stat(path); (err == nil) != left[name] {
				t.Errorf("max %d: %s: %v", max, name, err)
			}
		}
	}
	check(1<<20, 7, "oldest", "used", "middle", "young")
	check(3500, 1000, "used", "middle", "young")

	// One that is being fetched stays.
	u, err := parseURL(o.URL + "/middle")
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{dir: opts.CacheDir}
	unlock, _, err := c.lock(context.Background(), cacheKey(identity(u)), func() {})
	if err != nil {
		t.Fatal(err)
	}
	check(0, 0, "used", "middle", "young")
	unlock()
	check(0, 1002, "used", "young")

	// What was removed is fetched again.
	o.set(func() { o.body = noise(1002) })
	mustFetch(t, o.URL+"/middle", opts, o.body)
}
