package docker

import (
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// withoutBuild is the way out where nothing can be installed.
func withoutBuild(language string) string {
	switch language {
	case "java":
		return "--base-image with an image that has a JDK, such as eclipse-temurin:17, needs no network, and --image is used as it is"
	case "python":
		return "--base-image with an image that has python3, pip and ca-certificates needs no network, and --image is used as it is"
	case devLanguage:
		return "--base with an image that has gcc, g++, make, git and Python needs no network"
	}
	return "--base-image with an image that has gcc, libstdc++, libgomp and ca-certificates needs no network, and --image is used as it is"
}

// diagnoseBuild says what the output of a failed build for a language means, and
// what to do.
func (d *Daemon) diagnoseBuild(text, language string, base image, p *buildProxies) (kind fault.Kind, why, hint string) {
	says := func(marks ...string) bool {
		for _, mark := range marks {
			if strings.Contains(text, mark) {
				return true
			}
		}
		return false
	}
	switch {
	case tellsFullDisk(text):
		return fault.Failed, "the Docker daemon's disk is full", d.freeSpace()
	case says("eascmd: no package manager"):
		return fault.Missing, "it has no package manager", "use --base-image with one that has apt-get, apk, dnf, microdnf or yum, " +
			"such as " + defaultBase + ", or --image to run in " + base.Ref + " as it is"
	case says(`"/bin/sh": stat /bin/sh`, "exec: \"/bin/sh\": ", "executable file `/bin/sh` not found"):
		return fault.Missing, "it has no shell, /bin/sh", "use --base-image with one that is a whole system, such as " + defaultBase +
			", or --image to run in " + base.Ref + " as it is"
	case says("exec format error"):
		return fault.Missing, "its programs are for another CPU than the daemon's, " + d.Arch(),
			"pull the one for this CPU: docker pull --platform linux/" + d.Arch() + " " + base.Ref
	case says("is not valid yet", "not yet valid"):
		return fault.Failed, "the clock of the daemon's machine is behind", "set its clock, by NTP or with `sudo date -s …`"
	case says("407 Proxy Authentication Required", "407  Proxy Authentication Required", "Proxy authentication required"):
		return fault.Missing, "the proxy wants a user name and a password",
			"put them into HTTP_PROXY and HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"
	case says("ertificate verif", "ertificate is NOT trusted", "certificate verify failed", "SSL certificate problem", "x509:"):
		return fault.Missing, "the certificate of a package source is not trusted",
			"name the certificate authority of the proxy or mirror with --ca-bundle FILE"
	case says("Temporary failure resolving", "Could not resolve", "Couldn't resolve", "Unable to connect to", "Could not connect to",
		"Network is unreachable", "Network unreachable", "temporary error (try again later)", "network error (check Internet connection",
		"Could not retrieve mirrorlist", "Cannot prepare internal mirrorlist", "Connection timed out", "Connection refused", "Connection failed"):
		return fault.Missing, "containers of this daemon do not reach the package sources", p.advice(d) + "; " + withoutBuild(language)
	case says("404  Not Found", "does not have a Release file", "Status code: 404", "no longer has a Release file", "The requested URL returned error: 404"):
		return fault.Missing, "its packages are no longer where it looks for them", "its distribution may have reached its end: " +
			"use a newer one with --base-image, or --image to run in " + base.Ref + " as it is"
	case says("eascmd: the base has an environment"):
		return fault.Usage, "it has an environment at " + EnvironmentDir + " already, which would be mixed with this one",
			"name the image that it was made from with --base"
	case says("eascmd: the base has Python"):
		return fault.Missing, "it has another Python than was asked for", "leave --base out, name the image of that Python with it (--base python:3.11-slim), or leave --python out"
	case says("Unable to locate package default-j", "-jre-headless (no such package)", "-jdk (no such package)",
		"No match for argument: java", "Unable to find a match: java", "No package matches 'java"):
		return fault.Missing, "its distribution has no package of a Java that is known here", "use --base-image with one that has a Java, such as " +
			"eclipse-temurin:17, or --image to run in one as it is"
	case says("eascmd: no Java compiler"):
		return fault.Failed, "the Java compiler that was installed does not work", "use another --base-image, such as " + defaultBase
	case says("eascmd: no C compiler"):
		return fault.Failed, "the C compiler that was installed does not work", "use another --base-image, such as " + defaultBase
	}
	return fault.Failed, "a step of the build failed",
		"use another --base-image, such as " + defaultBase + ", or --image to run in " + base.Ref + " as it is"
}

// tellsFullDisk reports whether a program says that there is no room.
func tellsFullDisk(text string) bool {
	for _, mark := range [...]string{"no space left on device", "No space left on device", "disk quota exceeded", "You don't have enough free space"} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// freeSpace is what to do where the daemon's disk is full.
func (d *Daemon) freeSpace() string {
	where := ""
	if d.Info.DockerRootDir != "" {
		where = ", or free some at " + d.Info.DockerRootDir + " on its machine"
	}
	return "`docker system df` shows what takes the room, and `docker system prune` makes some" + where
}
