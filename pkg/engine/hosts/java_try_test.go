package hosts_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

func TestJavaTry(t *testing.T) {
	host := hosts.JavaHost{Java: needJDK(t)}
	for _, test := range []struct{ options, err, hint string }{
		{"", "", ""},
		{"-Xmx1g -Da=b -ea", "", ""},
		{"-Xms8m -XX:+UseSerialGC", "", ""},
		{"-XX:+NoSuchThing -XX:+IgnoreUnrecognizedVMOptions", "", ""},
		{"-Xmx64m -XX:+NoSuchThing", "does not take them: Unrecognized VM option 'NoSuchThing'", "-XX:+IgnoreUnrecognizedVMOptions"},
		{"-Xno-such-thing", "does not take them: Unrecognized option: -Xno-such-thing", "JAVA_HOME"},
		{"-Xmx1m", "does not take them: Too small maximum heap", "correct it"},
		{"-Xss512k", "", ""},
		{"-J-ea", "does not take them: Unrecognized option: -J-ea", "correct it"},
		{"-javaagent", "does not take them: Unrecognized option: -javaagent", "correct it"},
		{"-Xmx64m -Xms128m", "does not take them: Initial heap size set to a larger value than the maximum heap size", "correct it"},
	} {
		options, err := jvm.ParseOptions(test.options)
		if err != nil {
			t.Fatal(err)
		}
		err = host.Try(t.Context(), options)
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.HasSuffix(err.Error(), test.err) ||
			!strings.Contains(fault.HintOf(err), test.hint) || fault.KindOf(err) != fault.Description) {
			t.Errorf("%q: %v (kind %d, hint %q), want %q and %q", test.options, err, fault.KindOf(err), fault.HintOf(err), test.err, test.hint)
		}
	}
}

// No JVM is started for what every Java has, and none with what has an effect.
func TestJavaTryStartsNothing(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	for version, tests := range map[string][]struct{ options, words, err string }{
		"17.0.9": {
			{"-Xmx1g -Xss2m -Da=b -ea --add-opens java.base/java.lang=ALL-UNNAMED", "", ""},
			{"-agentlib:jdwp=server=y -javaagent:a.jar -Xlog:gc:file=gc.log -Xshare:off -XX:StartFlightRecording", "", ""},
			{"-Xmx1g -Xss512k @file -p mods --add-modules a -showversion -splash:a.png", "", ""},
			{"-Xss1k", "-Xss1k -version", ""},
			{"-p mods -no-such", "-no-such -version", ""},
			{"-Xmx1g -agentlib:jdwp=server=y -XX:+UseParallelGC", "-Xmx1g -XX:+UseParallelGC -version", ""},
		},
		"1.8.0_392": {
			{"-Xmx1g", "", ""},
			{"-ea --add-opens java.base/java.lang=ALL-UNNAMED", "", "Java 1.8.0_392 has no option --add-opens"},
		},
	} {
		host := hosts.JavaHost{Java: fakeJava(t, version, map[string]string{"java": `echo "$@" >` + said})}
		for _, test := range tests {
			options, err := jvm.ParseOptions(test.options)
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Try(t.Context(), options); err == nil && test.err != "" || err != nil && err.Error() != test.err {
				t.Errorf("Java %s, %q: %v, want %q", version, test.options, err, test.err)
			}
			data, err := os.ReadFile(said)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if words := strings.TrimSpace(string(data)); !strings.HasSuffix(words, test.words) || (words == "") != (test.words == "") {
				t.Errorf("Java %s, %q: tried with %q, want %q at the end", version, test.options, words, test.words)
			}
			os.Remove(said)
		}
	}
}

// A Java that cannot be tried is for the worker to complain of.
func TestJavaTryFails(t *testing.T) {
	host := hosts.JavaHost{Java: jvm.Runtime{Home: t.TempDir(), Version: "17"}}
	if err := host.Try(t.Context(), jvm.Options{"-XX:+UseParallelGC"}); err != nil {
		t.Error(err)
	}
	host.Java = fakeJava(t, "17", map[string]string{"java": "exec sleep 600"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := host.Try(ctx, jvm.Options{"-XX:+UseParallelGC"}); fault.KindOf(err) != fault.Interrupted {
		t.Errorf("got %v, want one of kind Interrupted", err)
	}
	host.Java = fakeJava(t, "17", map[string]string{"java": "echo 'VM warning: x'; echo 'Error: Could not create the Java Virtual Machine.'; exit 1"})
	if err := host.Try(t.Context(), jvm.Options{"-XX:+UseParallelGC"}); err == nil || !strings.HasSuffix(err.Error(), "it does not say why") {
		t.Errorf("got %v", err)
	}
}
