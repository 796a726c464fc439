package docker

import (
	"path"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// javaHome is where Debian has its Java 17, but for the CPU at the end.
const javaHome = "/usr/lib/jvm/java-17-openjdk-"

func TestJavaImage(t *testing.T) {
	it := newImageTest(t)
	jdk := it.derive("jdk", dockertest.Base(t),
		"RUN mkdir -p /usr/share/man/man1 && apt-get -q update && apt-get -q install -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io openjdk-17-jdk-headless")
	// At a place where only what leads there finds it.
	hidden := it.derive("hidden", jdk,
		"RUN mv "+javaHome+it.d.Arch()+" /stash && rm -rf /usr/lib/jvm")
	jar := path.Join(HostsDir, hosts.JavaName())
	ensure := func(t *testing.T, o imageOptions) (image, *journal) {
		t.Helper()
		var said journal
		o.Language, o.Log = "java", said.log
		img, err := it.d.ensureImage(t.Context(), o)
		if err != nil {
			t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
		}
		it.wantNothingLeft()
		return img, &said
	}
	// wantHost wants an image whose Java runs the host.
	wantHost := func(t *testing.T, img image, java string) {
		t.Helper()
		if got := it.run(img.ID, java, "-cp", jar, "eashost.Main", "--version"); got != "eashost-java protocol 1-1\n" {
			t.Errorf("the host says %q", got)
		}
	}
	unreachable := func(string) string { return "http://192.0.2.1:3128" }

	t.Run("of a base that has all", func(t *testing.T) {
		img, said := ensure(t, imageOptions{Base: jdk, Env: unreachable})
		if said.has("installing") || !said.has("compiling the host for Java processors") {
			t.Errorf("steps are %q", said.lines)
		}
		wantHost(t, img, "java")
		if again, said := ensure(t, imageOptions{Base: jdk}); again.ID != img.ID || len(said.lines) > 0 {
			t.Errorf("a second time it is %s, not %s, and %q was said", again.ID, img.ID, said.lines)
		}
	})

	t.Run("of a base with a Java elsewhere and no compiler", func(t *testing.T) {
		java, _, err := jvm.Choose(t.Context())
		if err != nil {
			t.Skipf("missing: a JDK (%v)", err)
		}
		host, err := hosts.JavaJar(t.Context(), java, hosts.Options{})
		if err != nil {
			t.Skipf("missing: a JDK (%v)", err)
		}
		base := it.derive("elsewhere", hidden, "RUN rm /stash/bin/javac", "ENV JAVA_HOME=/stash")
		img, said := ensure(t, imageOptions{Base: base, Host: host, Env: unreachable})
		if said.has("installing") || said.has("compiling") {
			t.Errorf("steps are %q", said.lines)
		}
		wantHost(t, img, "/stash/bin/java")
	})

	t.Run("with authorities", func(t *testing.T) {
		bundle, certificate := caBundle(t)
		img, _ := ensure(t, imageOptions{Base: jdk, CABundle: bundle})
		// The certificate in one line: that of a keytool is broken elsewhere.
		oneLine := func(text string) string { return strings.Join(strings.Fields(text), "") }
		trusted := it.run(img.ID, "keytool", "-list", "-rfc", "-cacerts", "-storepass", "changeit")
		if !strings.Contains(oneLine(trusted), oneLine(certificate)) {
			t.Error("the authority is not trusted by Java")
		}
	})

	// What stands for the package manager of another distribution says how it is
	// called, and has what it installs in a directory beside.
	for _, tt := range []struct {
		manager string
		steps   []string
	}{
		{"apk", []string{
			"called apk add --no-cache openjdk17-jre-headless libgomp ca-certificates",
			"called apk add --no-cache openjdk17-jdk",
		}},
		{"dnf", []string{
			"there is no java-17-openjdk-headless; taking another",
			"called dnf -y --setopt=install_weak_deps=False install java-21-openjdk-headless libgomp ca-certificates",
			"called dnf -y --setopt=install_weak_deps=False install java-21-openjdk-devel",
		}},
	} {
		t.Run("with "+tt.manager, func(t *testing.T) {
			program := `#!/bin/sh\necho "eascmd: called ${0##*/} $*" >&2\n` +
				`case "$*" in\n*list*17*) exit 1 ;;\n*list*|*clean*) ;;\n` +
				`*headless*) ln -sf /stash/bin/java /usr/bin/java ;;\n*) ln -sf /stash/bin/javac /stash/bin/jar /usr/bin ;;\nesac\n`
			base := it.derive(tt.manager, hidden,
				"RUN rm /usr/bin/apt-get && printf '"+program+"' >/usr/bin/"+tt.manager+" && chmod 755 /usr/bin/"+tt.manager)
			img, said := ensure(t, imageOptions{Base: base})
			for _, step := range tt.steps {
				if !said.has(step) {
					t.Errorf("nothing was said of %q: %q", step, said.lines)
				}
			}
			wantHost(t, img, "java")
			if got := it.run(img.ID, "/bin/sh", "-c", "command -v javac || echo none; ls /tmp"); got != "none\n" {
				t.Errorf("the image has, of compilers and left-overs: %q", got)
			}
		})
	}
}
