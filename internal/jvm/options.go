package jvm

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Variables are those of an environment from which a JVM, its launcher or what it
// runs takes options and classes.
var Variables = []string{"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}

// Options are options of a JVM, one word each, as its launcher takes them.
type Options []string

// ParseOptions splits options as a shell does, at blanks and with quotes, and
// refuses what a launcher takes for something else than an option, or what would
// have it run something else. Whether a JVM knows an option only it can tell. An
// error is of kind Description and does not say where the text stands.
func ParseOptions(text string) (Options, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(words); i++ {
		word := words[i]
		name, _, _ := strings.Cut(word, "=")
		switch why, refuse := refused[name]; {
		case refuse:
			return nil, fault.New(fault.Description, "%s %s", name, why.text).WithHint("%s", why.hint)
		case slices.Contains(takeWord, word):
			if i++; i == len(words) {
				return nil, fault.New(fault.Description, "%s lacks the word that comes after it", word)
			}
		case slices.Contains(sizes, word) && i+1 < len(words) && isSize(words[i+1]):
			return nil, fault.New(fault.Description, "%s and %s are two words", word, words[i+1]).WithHint("write %s%s", word, words[i+1])
		case sizeOf(word) != "" && !isSize(sizeOf(word)), slices.Contains(sizes, word):
			return nil, fault.New(fault.Description, "%s names no size", word).WithHint("write a number and k, m or g, such as -Xmx4g")
		case !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "@"):
			return nil, fault.New(fault.Description, "%q is no option: a JVM takes it for the class to run", word).
				WithHint("options begin with -; what has a blank in it needs quotes")
		}
	}
	return words, nil
}

// reason is why an option is refused.
type reason struct{ text, hint string }

// Options that are refused.
var (
	noClassPath = reason{"is not taken: the class path is made of what the processor brings",
		"put the jars into the processor: every *.jar below its directory is on the class path"}
	noMain = reason{"is not taken: it says what is run, which is processor_mainclass",
		"leave it out; the processor's jars are found, and processor_mainclass names the class in them"}
	noEnd = reason{"is not taken: a JVM prints something and ends with it", "leave it out"}

	refused = map[string]reason{
		"-cp": noClassPath, "-classpath": noClassPath, "--class-path": noClassPath,
		"-jar": noMain, "-m": noMain, "--module": noMain, "--source": noMain,
		"-version": noEnd, "--version": noEnd, "-fullversion": noEnd, "--full-version": noEnd,
		"-help": noEnd, "--help": noEnd, "-h": noEnd, "-?": noEnd, "-X": noEnd, "--help-extra": noEnd,
		"-d": noEnd, "--describe-module": noEnd, "--list-modules": noEnd, "--validate-modules": noEnd, "--dry-run": noEnd,
		"-Xshare:dump": noEnd,
	}
)

// takeWord are the options whose value may be the next word. With a = in it they
// are one word.
var takeWord = []string{
	"--add-modules", "--add-exports", "--add-opens", "--add-reads", "--limit-modules", "--patch-module",
	"--module-path", "-p", "--upgrade-module-path", "--enable-native-access",
}

// sizes are the options with a size right behind them.
var sizes = []string{"-Xmx", "-Xms", "-Xmn", "-Xss"}

// sizeOf returns the size that an option sets, as it is written, and "" of
// others.
func sizeOf(word string) string {
	for _, name := range sizes {
		if size, ok := strings.CutPrefix(word, name); ok {
			return size
		}
	}
	for _, name := range [...]string{maxHeapSize, initialHeapSize} {
		if size, ok := strings.CutPrefix(word, name); ok {
			return size
		}
	}
	return ""
}

const (
	maxHeapSize     = "-XX:MaxHeapSize="
	initialHeapSize = "-XX:InitialHeapSize="
)

// MaxHeap returns how large the heap may become. Said is whether the options
// speak of it at all: bytes are 0 where they do so by a share of the memory.
func (o Options) MaxHeap() (bytes int64, said bool) {
	for _, word := range o {
		switch {
		case strings.HasPrefix(word, "-Xmx"), strings.HasPrefix(word, maxHeapSize):
			bytes, _ = parseSize(sizeOf(word))
			said = true
		case strings.HasPrefix(word, "-XX:MaxRAM"): // and …Percentage, …Fraction
			said = true
		}
	}
	return bytes, said
}

// InitialHeap returns how large the heap is at first, 0 where the options do not
// say it.
func (o Options) InitialHeap() (bytes int64) {
	for _, word := range o {
		if strings.HasPrefix(word, "-Xms") || strings.HasPrefix(word, initialHeapSize) {
			bytes, _ = parseSize(sizeOf(word))
		}
	}
	return bytes
}

// Stack returns how large the stack of a thread is, 0 where the options do not say
// it.
func (o Options) Stack() (bytes int64) {
	for _, word := range o {
		if strings.HasPrefix(word, "-Xss") {
			bytes, _ = parseSize(sizeOf(word))
		}
	}
	return bytes
}

// ClassData reports whether the options speak of class-data sharing or its
// successor, the ahead-of-time cache: what one says of it excludes what another says.
func (o Options) ClassData() bool {
	return slices.ContainsFunc(o, func(word string) bool {
		for _, name := range [...]string{"-Xshare:", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:AOT", "-XX:+AutoCreateSharedArchive"} {
			if strings.HasPrefix(word, name) {
				return true
			}
		}
		return false
	})
}

func isSize(text string) bool {
	_, ok := parseSize(text)
	return ok
}

// parseSize reads a number of bytes as a JVM does: decimal or with 0x, and k, m,
// g or t behind it.
func parseSize(text string) (bytes int64, ok bool) {
	unit := int64(1)
	if text != "" {
		if i := strings.IndexByte("kmgt", text[len(text)-1]|0x20); i >= 0 {
			unit, text = 1<<(10*(i+1)), text[:len(text)-1]
		}
	}
	digits, base := text, 10
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, false
	}
	return int64(n) * unit, true
}

// splitWords splits a text at blanks, outside of quotes. Between single quotes
// everything stands for itself; between double ones a backslash takes the meaning
// from " and \, elsewhere from everything.
func splitWords(text string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune // that is open, or 0
		began  int  // where it was opened, counted from 1
		escape bool
	)
	for i, c := range []rune(text) {
		switch {
		case c == 0:
			return nil, fault.New(fault.Description, "there is a zero byte at character %d", i+1)
		case escape:
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escape = false
		case c == '\\' && quote != '\'':
			escape, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, began, inWord = c, i+1, true
		case strings.ContainsRune(" \t\r\n\v\f", c):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	switch {
	case quote != 0:
		return nil, fault.New(fault.Description, "the quote %c at character %d is not closed", quote, began)
	case escape:
		return nil, fault.New(fault.Description, "there is a backslash at the end, with nothing behind it")
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}
