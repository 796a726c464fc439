//go:build linux

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeas/eascmd/test/ossserver"
	"github.com/openeas/eascmd/test/s3server"
)

// storeServer is a store that serves at the line's far end.
type storeServer struct {
	*child
	store string
}

// storeSpace is what the stores take: each client's largest object, twice while it
// is made of its parts.
const storeSpace = 6 * bigUpload

// storeDir makes a directory for the stores: in memory where there is room, so that
// no disk is measured.
func storeDir() (string, error) {
	const shared = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(shared, &fs); err == nil && fs.Type == unix.TMPFS_MAGIC && fs.Bavail*uint64(fs.Bsize) > 2*storeSpace {
		if dir, err := os.MkdirTemp(shared, "eascmd-bench-"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "eascmd-bench-")
}

// startStores starts those stores that can be had, and returns them also where
// one fails. The servers of tests are what there is: they write all that they get
// to files, and check it.
func (u *uploads) startStores(ctx context.Context) (servers []storeServer, err error) {
	s3, err := u.startS3(ctx)
	if s3 != nil {
		servers = append(servers, storeServer{s3, storeS3})
	}
	if err != nil {
		return servers, err
	}
	oss, err := u.startOSS(ctx)
	if oss != nil {
		servers = append(servers, storeServer{oss, storeOSS})
	}
	return servers, err
}

func (u *uploads) startS3(ctx context.Context) (*child, error) {
	u.say("building the S3 server, if it is not there")
	program, err := s3server.Program()
	if err != nil {
		u.lack(s3Server, err)
		return nil, ctx.Err()
	}
	dir := filepath.Join(u.dir, "s3")
	for _, d := range []string{"buckets/" + bucket, "sidecar", "iam"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	env := append(os.Environ(), "ROOT_ACCESS_KEY="+keyID, "ROOT_SECRET_KEY="+storeSecret)
	return u.startStore(ctx, "s3", strings.TrimPrefix(s3URL, "http://"), env,
		program, "--port", strings.TrimPrefix(s3URL, "http://"), "--region", region, "--keep-alive", "--quiet",
		"--iam-dir", filepath.Join(dir, "iam"), "posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "buckets"))
}

func (u *uploads) startOSS(ctx context.Context) (*child, error) {
	program := u.path("ossserver")
	if _, err := output(ctx, u.module, nil, "go", "build", "-o", program, "./test/ossserver/cmd"); err != nil {
		return nil, err
	}
	env := append(os.Environ(), ossserver.EnvKeyID+"="+keyID, ossserver.EnvSecret+"="+storeSecret)
	address := strings.TrimPrefix(ossURL, "http://")
	return u.startStore(ctx, "oss", address, env, program, "-dir", filepath.Join(u.dir, "oss"), "-buckets", bucket, "-addr", address)
}

// startStore starts a server at the line's far end and waits until it can be
// reached over the line.
func (u *uploads) startStore(ctx context.Context, name, address string, env []string, argv ...string) (c *child, err error) {
	err = u.line.server.do(func() (err error) {
		c, err = start(ctx, u.path(name+".log"), env, nil, argv...)
		return err
	})
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(readyTime); ; {
		err := u.line.client.do(func() error {
			conn, err := net.DialTimeout("tcp4", address, time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return c, nil
		}
		select {
		case <-c.done:
			return nil, c.died()
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return c, err
		}
	}
}
