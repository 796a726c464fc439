package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// engineFile is the Dockerfile of an image with Debian's own Docker Engine.
// Packages come from where the base image gets its own; the release is changed
// where it is named, which differs between the images that go by the name of
// BaseImage.
const engineFile = `FROM ` + BaseImage + `
RUN find /etc/apt -name '*.sources' -o -name sources.list | xargs sed -i 's/` + suite + `/%s/g' \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io iproute2 iptables \
 && rm -rf /var/lib/apt/lists/*
LABEL eascmd-test=engine
`

// engineBuildTime bounds the build, 20 seconds where packages come quickly.
const engineBuildTime = 8 * time.Minute

// engineImage returns the name of an image with a Docker Engine, which is
// built where the engine of Host does not have it yet.
func engineImage(ctx context.Context, found func() (string, error), newer bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, engineBuildTime)
	defer cancel()
	host, err := found()
	if err != nil {
		return "", err
	}
	c, err := newClient(host)
	if err != nil {
		return "", err
	}
	defer c.close()
	var info struct{ SecurityOptions []string }
	if err := c.do(ctx, http.MethodGet, "/info", nil, nil, &info); err != nil {
		return "", err
	}
	if slices.Contains(info.SecurityOptions, "name=rootless") {
		return "", errors.New("the one here is rootless, so no other can run inside")
	}
	release := suite
	if newer {
		release = "trixie"
	}
	text := fmt.Sprintf(engineFile, release)
	sum := sha256.Sum256([]byte(text))
	image := "eascmd-test-engine:" + release + "-" + hex.EncodeToString(sum[:6])
	unlock, err := lock(ctx, "engine")
	if err != nil {
		return "", err
	}
	defer unlock()
	if ok, err := c.haveImage(ctx, image); ok || err != nil {
		return image, err
	}
	if err := c.build(ctx, image, text); err != nil {
		return "", fmt.Errorf("its image cannot be built: %w", err)
	}
	return image, nil
}

// build builds an image of a Dockerfile that needs no other files.
func (c *client) build(ctx context.Context, image, dockerfile string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}); err != nil {
		return err
	}
	if _, err := io.WriteString(w, dockerfile); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	proxies, err := json.Marshal(proxySettings())
	if err != nil {
		return err
	}
	stream, err := c.open(ctx, http.MethodPost, "/build",
		url.Values{"t": {image}, "rm": {"1"}, "forcerm": {"1"}, "buildargs": {string(proxies)}}, io.Reader(&archive))
	if err != nil {
		return err
	}
	defer stream.Close()
	var said tail
	if err := progress(stream, func(s string) { said.Write([]byte(s)) }); err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	return nil
}

// proxySettings returns the variables that name proxies.
func proxySettings() map[string]string {
	settings := make(map[string]string)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		for _, name := range []string{name, strings.ToLower(name)} {
			if value := os.Getenv(name); value != "" {
				settings[name] = value
			}
		}
	}
	return settings
}
