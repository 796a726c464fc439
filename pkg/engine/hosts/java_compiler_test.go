package hosts

import (
	"errors"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
)

func TestJavaCompiler(t *testing.T) {
	jre, jdk := jvm.Runtime{Home: "/jre", Version: "21"}, jvm.Runtime{Home: "/jdk", Version: "17", Compiler: true}
	broken := errors.New("broken")
	for _, test := range []struct {
		name      string
		java      jvm.Runtime
		all       []jvm.Runtime
		findError error
		want, err string
	}{
		{name: "its own", java: jdk, findError: broken, want: "/jdk"},
		{name: "another's", java: jre, all: []jvm.Runtime{jre, jdk}, want: "/jdk"},
		{name: "none", java: jre, all: []jvm.Runtime{jre}, err: "no Java compiler (javac), which the host of Java processors is built with: the Java in /jre is a JRE, and there is no JDK here"},
		{name: "no Java at all", err: "no Java compiler (javac), which the host of Java processors is built with: there is no JDK here"},
		{name: "not to be found", java: jre, findError: broken, err: "broken"},
	} {
		got, err := javaCompiler(test.java, func() ([]jvm.Runtime, error) { return test.all, test.findError })
		if got.Home != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: %s, %v; want %q, %q", test.name, got.Home, err, test.want, test.err)
		}
		if err != nil && test.findError == nil && (fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), "install a JDK")) {
			t.Errorf("%s: kind %d, hint %q", test.name, fault.KindOf(err), fault.HintOf(err))
		}
	}
}
