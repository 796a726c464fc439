package ossserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The environment variables that have the access key that Run lets in.
const (
	EnvKeyID  = "OSSSERVER_KEY_ID"
	EnvSecret = "OSSSERVER_KEY_SECRET"
	EnvToken  = "OSSSERVER_TOKEN" // optional: the key is one of STS
)

// account is whose Run's key and buckets are.
const account = "1234567890123456"

// Run is the server as a program, for scripts: it serves until ctx ends. args
// are its flags, without the program's name. When it can be reached it prints
// two lines to out, and writes them to the file of -ready:
//
//	http://127.0.0.1:PORT   where the buckets are
//	http://127.0.0.1:PORT   where it is controlled; see Admin
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ossserver", flag.ContinueOnError)
	flags.SetOutput(out)
	dir := flags.String("dir", "", "`directory` that keeps the state")
	region := flags.String("region", DefaultRegion, "region that the server is in")
	buckets := flags.String("buckets", "", "`names` of buckets to make, with commas between them")
	addr := flags.String("addr", "127.0.0.1:0", "`address` to serve at")
	admin := flags.String("admin", "127.0.0.1:0", "`address` to be controlled at")
	ready := flags.String("ready", "", "`file` that is there when the server is, with both addresses")
	if err := flags.Parse(args); err != nil {
		return err
	}
	id, secret := os.Getenv(EnvKeyID), os.Getenv(EnvSecret)
	if *dir == "" || id == "" || secret == "" {
		return errors.New("ossserver: -dir, " + EnvKeyID + " and " + EnvSecret + " must be given")
	}
	s, err := New(Options{Dir: *dir, Region: *region})
	if err != nil {
		return err
	}
	s.SetKey(Key{ID: id, Secret: secret, Token: os.Getenv(EnvToken), Account: account})
	for name := range strings.SplitSeq(*buckets, ",") {
		if name != "" {
			if err := s.CreateBucket(name, account); err != nil {
				return fmt.Errorf("ossserver: bucket %s: %w", name, err)
			}
		}
	}
	front, err := s.Listen(*addr)
	if err != nil {
		return fmt.Errorf("ossserver: %w", err)
	}
	defer front.Close()
	back, err := s.ListenAdmin(*admin)
	if err != nil {
		return fmt.Errorf("ossserver: %w", err)
	}
	defer back.Close()
	where := front.URL + "\n" + back.URL + "\n"
	if *ready != "" {
		if err := writeWhole(*ready, where); err != nil {
			return fmt.Errorf("ossserver: %w", err)
		}
	}
	if _, err := io.WriteString(out, where); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// writeWhole writes a file that is there with all of its text, or not at all.
func writeWhole(file, text string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".ready-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
