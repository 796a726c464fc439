package jvm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestParseOptions(t *testing.T) {
	for _, test := range []struct {
		text string
		want Options
	}{
		{"", nil},
		{" \t\n", nil},
		{"-Xmx4g", Options{"-Xmx4g"}},
		{"  -Xms1g\t-Xmx4g\n-ea ", Options{"-Xms1g", "-Xmx4g", "-ea"}},
		{`-Da="b c" '-Dd=e  f'`, Options{"-Da=b c", "-Dd=e  f"}},
		{`-Da=b\ c -Dd=\"e\"`, Options{"-Da=b c", `-Dd="e"`}},
		{`-Da="\"b\" \c \\" -Dd='\e'`, Options{`-Da="b" \c \`, `-Dd=\e`}},
		{`-Da='它 ' -Db=模型`, Options{"-Da=它 ", "-Db=模型"}},
		{"--add-opens java.base/java.lang=ALL-UNNAMED --add-modules=a", Options{"--add-opens", "java.base/java.lang=ALL-UNNAMED", "--add-modules=a"}},
		{"@options -XX:+UseParallelGC -XX:MaxHeapSize=0x40000000", Options{"@options", "-XX:+UseParallelGC", "-XX:MaxHeapSize=0x40000000"}},
		{"-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=5005", Options{"-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=5005"}},
	} {
		got, err := ParseOptions(test.text)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v, -want +got:\n%s", test.text, err, diff)
		}
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for _, test := range []struct{ text, err, hint string }{
		{"-Xmx4g 'a", "the quote ' at character 8 is not closed", ""},
		{`"a`, `the quote " at character 1 is not closed`, ""},
		{`-Da=\`, "there is a backslash at the end, with nothing behind it", ""},
		{"-Da=\x00", "there is a zero byte at character 5", ""},
		{"-cp lib/*", "-cp is not taken: the class path is made of what the processor brings", "put the jars into the processor"},
		{"--class-path=lib", "--class-path is not taken: the class path", "put the jars"},
		{"-jar x.jar", "-jar is not taken: it says what is run, which is processor_mainclass", "leave it out"},
		{"-ea --version", "--version is not taken: a JVM prints something and ends with it", "leave it out"},
		{"-Xshare:dump", "-Xshare:dump is not taken", "leave it out"},
		{"Xmx4g", `"Xmx4g" is no option: a JVM takes it for the class to run`, "begin with -"},
		{"-Da=b c", `"c" is no option`, "quotes"},
		{"''", `"" is no option`, "begin with -"},
		{"-Xmx 4g", "-Xmx and 4g are two words", "write -Xmx4g"},
		{"-Xmx", "-Xmx names no size", "such as -Xmx4g"},
		{"-Xmx4gb", "-Xmx4gb names no size", "such as -Xmx4g"},
		{"-Xms-1", "-Xms-1 names no size", "such as"},
		{"-XX:MaxHeapSize=many", "-XX:MaxHeapSize=many names no size", "such as"},
		{"-ea --add-opens", "--add-opens lacks the word that comes after it", ""},
	} {
		_, err := ParseOptions(test.text)
		if err == nil || !strings.HasPrefix(err.Error(), test.err) || !strings.Contains(fault.HintOf(err), test.hint) || fault.KindOf(err) != fault.Description {
			t.Errorf("%q: %v (kind %d, hint %q), want %q and %q", test.text, err, fault.KindOf(err), fault.HintOf(err), test.err, test.hint)
		}
	}
}

func TestHeap(t *testing.T) {
	type heap struct {
		Max, Initial int64
		Said         bool
	}
	for text, want := range map[string]heap{
		"":                                  {},
		"-ea -Xss2m":                        {},
		"-Xmx4g":                            {Max: 4 << 30, Said: true},
		"-Xmx4g -Xmx512M":                   {Max: 512 << 20, Said: true},
		"-Xmx4g -XX:MaxHeapSize=1024k":      {Max: 1 << 20, Said: true},
		"-Xms1g":                            {Initial: 1 << 30},
		"-Xms1g -XX:InitialHeapSize=123456": {Initial: 123456},
		"-XX:MaxRAMPercentage=50.0":         {Said: true},
		"-XX:MaxRAMFraction=2":              {Said: true},
		"-Xmx0x10m":                         {Max: 16 << 20, Said: true},
		"-Xmx1T":                            {Max: 1 << 40, Said: true},
	} {
		o, err := ParseOptions(text)
		if err != nil {
			t.Fatal(err)
		}
		got := heap{Initial: o.InitialHeap()}
		got.Max, got.Said = o.MaxHeap()
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestStack(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "-Xmx1g": 0, "-Xss512k": 512 << 10, "-Xss1m -Xss2m": 2 << 20} {
		if o, err := ParseOptions(text); err != nil || o.Stack() != want {
			t.Errorf("%q: %v, %v, want %v", text, o.Stack(), err, want)
		}
	}
}

func TestClassData(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "-Xmx1g": false, "-Xshare:off": true, "-XX:SharedArchiveFile=a": true, "-XX:ArchiveClassesAtExit=a": true, "-XX:AOTCache=a": true,
	} {
		if o, err := ParseOptions(text); err != nil || o.ClassData() != want {
			t.Errorf("%q: %v, %v, want %v", text, o.ClassData(), err, want)
		}
	}
}

// A text that is taken can be written again so that the same words come out, and
// none of them is what a launcher takes for the class to run.
func FuzzParseOptions(f *testing.F) {
	for _, text := range []string{"", "-Xmx4g -ea", `-Da="b c" '-Dd=e f'`, `-Da=\"`, "--add-opens a=b", "-cp x", "@f", "-Xmx0x10m", "-Xms9223372036854775807t"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options, err := ParseOptions(text)
		if err != nil {
			if fault.KindOf(err) != fault.Description || strings.ContainsRune(err.Error(), 0) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if bytes, _ := options.MaxHeap(); bytes < 0 || options.InitialHeap() < 0 {
			t.Errorf("%q: a heap of less than nothing", text)
		}
		var quoted []string
		value := false
		for _, word := range options {
			if !value && !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "@") {
				t.Errorf("%q: %q would be run", text, word)
			}
			value = !value && !strings.Contains(word, "=") && strings.HasPrefix(word, "-") && isTakeWord(word)
			quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		again, err := ParseOptions(strings.Join(quoted, " "))
		if diff := cmp.Diff(options, again); err != nil || diff != "" {
			t.Errorf("%q: %v, -first +again:\n%s", text, err, diff)
		}
	})
}

func isTakeWord(word string) bool {
	for _, name := range takeWord {
		if name == word {
			return true
		}
	}
	return false
}
