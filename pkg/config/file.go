package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// DefaultProfile is the profile of the lines above the first section.
const DefaultProfile = "default"

// file is a configuration file, kept line by line, so that comments, unknown
// keys and the spelling of known ones survive a change.
type file struct {
	lines    []line
	newline  string    // the line ending of the file
	problems []problem // lines that say nothing
}

// line is one line of a file.
type line struct {
	text    string // without its ending
	profile string // the profile that it belongs to
	section bool   // it starts the section of profile
	key     string // canonical; empty where the line sets nothing
	value   string
	from    int // the place of the value in text, quotes included
	to      int
}

// problem is a line that was ignored. It does not quote the line, which may
// hold a secret.
type problem struct {
	line int
	what string
}

// parse reads a file. It is lenient, because files of older programs are read
// too: "key=value" and "key: value", quotes, any spaces, comments after # and
// ;, either line ending, a byte order mark. What it cannot read becomes a
// problem.
func parse(data []byte) *file {
	text := decode(data)
	f := &file{newline: "\n"}
	if strings.Contains(text, "\r\n") {
		f.newline = "\r\n"
	}
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return f
	}
	profile := DefaultProfile
	for raw := range strings.SplitSeq(text, "\n") {
		l := line{text: strings.TrimSuffix(raw, "\r"), profile: profile}
		if what := l.parse(); what != "" {
			f.problems = append(f.problems, problem{len(f.lines) + 1, what})
		}
		profile = l.profile
		f.lines = append(f.lines, l)
	}
	return f
}

// parse finds out what the line says and returns what is wrong with it.
func (l *line) parse() (what string) {
	trimmed := strings.TrimSpace(l.text)
	switch {
	case trimmed == "", trimmed[0] == '#', trimmed[0] == ';', trimmed == "{", trimmed == "}":
		return "" // braces: the lines of a JSON object read as "key": "value",
	case trimmed[0] == '[':
		name, rest, closed := strings.Cut(trimmed[1:], "]")
		if rest = strings.TrimSpace(rest); !closed || (rest != "" && rest[0] != '#' && rest[0] != ';') {
			return "the section's name does not end with ]"
		}
		l.profile, l.section = sectionProfile(name), true
		return ""
	}
	separator := strings.IndexAny(l.text, "=:")
	if separator < 0 {
		return "neither a section, a comment nor key=value"
	}
	l.key = canonicalKey(strings.Trim(strings.TrimSpace(l.text[:separator]), `"'`))
	switch {
	case l.key == "":
		return "there is no key before " + l.text[separator:separator+1]
	case strings.ContainsAny(l.key, "{}[]\"',"):
		l.key = ""
		return "this is no key; write key=value, one a line"
	}
	return l.parseValue(separator + 1)
}

// parseValue reads the value that starts at the byte from.
func (l *line) parseValue(from int) (what string) {
	rest := l.text[from:]
	from += len(rest) - len(strings.TrimLeft(rest, " \t"))
	rest = l.text[from:]
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		if end := strings.IndexByte(rest[1:], rest[0]); end >= 0 {
			l.from, l.to, l.value = from, from+end+2, rest[1:end+1]
			return ""
		}
		l.key = ""
		return "the quote is not closed"
	}
	// A comment needs a space before it: secrets may contain # and ;.
	end := len(rest)
	for i := range len(rest) {
		if (rest[i] == '#' || rest[i] == ';') && (i == 0 || rest[i-1] == ' ' || rest[i-1] == '\t') {
			end = i
			break
		}
	}
	l.value = strings.TrimRight(rest[:end], " \t")
	l.from, l.to = from, from+len(l.value)
	return ""
}

// values returns what the lines of a profile set; of two lines with one key
// the later one counts.
func (f *file) values(profile string) map[string]string {
	values := map[string]string{}
	for _, l := range f.lines {
		if l.profile == profile && l.key != "" && l.value != "" {
			values[l.key] = l.value
		}
	}
	return values
}

// profiles lists the profiles that set anything, sorted, the default one first.
func (f *file) profiles() []string {
	found := map[string]bool{}
	for _, l := range f.lines {
		if l.key != "" || (l.section && l.profile != DefaultProfile) {
			found[l.profile] = true
		}
	}
	names := slices.Sorted(maps.Keys(found))
	if i := slices.Index(names, DefaultProfile); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, DefaultProfile)
	}
	return names
}

// set gives a key of a profile a value, in its line where there is one.
func (f *file) set(profile, key, value string) {
	last, place := -1, -1
	for i, l := range f.lines {
		if l.profile != profile {
			continue
		}
		if l.key == key {
			last = i
		}
		if l.key != "" || l.section {
			place = i
		}
	}
	if last >= 0 {
		l := &f.lines[last]
		quoted := quote(value)
		if l.from < l.to && (l.text[l.from] == '"' || l.text[l.from] == '\'') && !strings.Contains(value, l.text[l.from:l.from+1]) {
			quoted = l.text[l.from:l.from+1] + value + l.text[l.from:l.from+1]
		}
		rest := l.text[l.to:]
		if quoted[0] != '"' && quoted[0] != '\'' {
			// Nothing marks the end of the value, so only a comment may follow.
			if rest = strings.TrimSpace(rest); rest != "" && (rest[0] == '#' || rest[0] == ';') {
				rest = l.text[l.to:]
				if rest[0] != ' ' && rest[0] != '\t' {
					rest = " " + rest
				}
			} else {
				rest = ""
			}
		}
		l.text = l.text[:l.from] + quoted + rest
		l.value, l.to = value, l.from+len(quoted)
		return
	}
	if place < 0 && profile == DefaultProfile {
		// Above the first section, below the comment that opens the file.
		for place+1 < len(f.lines) && !f.lines[place+1].section {
			place++
		}
	} else if place < 0 {
		if len(f.lines) > 0 {
			f.lines = append(f.lines, line{profile: profile})
		}
		f.lines = append(f.lines, line{text: "[profile " + profile + "]", profile: profile, section: true})
		place = len(f.lines) - 1
	}
	l := line{text: key + " = ", profile: profile, key: key, value: value}
	l.from = len(l.text)
	l.text += quote(value)
	l.to = len(l.text)
	f.lines = slices.Insert(f.lines, place+1, l)
}

// unset removes the lines of a key and reports whether there were any.
func (f *file) unset(profile, key string) bool {
	before := len(f.lines)
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool { return l.profile == profile && l.key == key })
	return len(f.lines) < before
}

// remove takes away all lines of a profile, and the empty one above its section.
func (f *file) remove(profile string) {
	var kept []line
	for _, l := range f.lines {
		switch last := len(kept) - 1; {
		case l.profile != profile:
			kept = append(kept, l)
		case l.section && last >= 0 && strings.TrimSpace(kept[last].text) == "":
			kept = kept[:last]
		}
	}
	f.lines = kept
}

// bytes returns the file's text.
func (f *file) bytes() []byte {
	var b bytes.Buffer
	for _, l := range f.lines {
		b.WriteString(l.text)
		b.WriteString(f.newline)
	}
	return b.Bytes()
}

// checkValue refuses what cannot be written in a line and read back.
func checkValue(value string) error {
	for _, c := range value {
		if c < ' ' || c == 0x7f || c == '\ufeff' || c == '\ufffd' {
			return fmt.Errorf("it contains a control character or is no text")
		}
	}
	if strings.ContainsRune(value, '"') && strings.ContainsRune(value, '\'') {
		return fmt.Errorf("it contains both kinds of quotes")
	}
	return nil
}

// quote writes a value so that parse reads it back; plain where that works.
func quote(value string) string {
	plain := value != "" && strings.TrimSpace(value) == value && strings.Trim(value[:1], `"'#;`) != "" &&
		!strings.Contains(value, " #") && !strings.Contains(value, " ;") && !strings.ContainsAny(value, "\t")
	switch {
	case plain:
		return value
	case strings.Contains(value, `"`):
		return "'" + value + "'"
	default:
		return `"` + value + `"`
	}
}

// sectionProfile returns the profile of a section's name. Names are compared
// in lower case, and sections of older programs are the default profile.
func sectionProfile(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if rest, ok := strings.CutPrefix(name, "profile"); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\"'")) {
		name = strings.Trim(strings.TrimSpace(rest), `"'`)
	}
	switch name {
	case "", "osscredentials", "credentials", "common":
		return DefaultProfile
	}
	return name
}

// canonicalKey returns the one spelling of a known key, whatever its case and
// separators are, and the key in lower case where it is not known.
func canonicalKey(key string) string {
	key = strings.ToLower(strings.TrimSpace(key))
	switch strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(key) {
	case "accesskeyid", "accessid", "alibabacloudaccesskeyid":
		return AccessKeyID
	case "accesskeysecret", "accesskey", "accesssecret", "alibabacloudaccesskeysecret":
		return AccessKeySecret
	case "ststoken", "securitytoken", "alibabacloudsecuritytoken":
		return STSToken
	case "endpoint", "easendpoint":
		return Endpoint
	case "region", "regionid":
		return Region
	case "rolearn", "ramrolearn":
		return RoleARN
	case "ecsrole", "ecsramrole":
		return ECSRole
	case "uploadprefix":
		return UploadPrefix
	case "ossendpoint":
		return OSSEndpoint
	case "s3endpoint":
		return S3Endpoint
	case "s3region":
		return S3Region
	}
	return key
}

// decode returns the text of a file without a byte order mark. Some editors on
// Windows save UTF-16.
func decode(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return string(data[3:])
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		low, high := 0, 1
		if data[0] == 0xfe {
			low, high = 1, 0
		}
		units := make([]uint16, 0, len(data)/2)
		for i := 2; i+1 < len(data); i += 2 {
			units = append(units, uint16(data[i+low])|uint16(data[i+high])<<8)
		}
		return string(utf16.Decode(units))
	}
	return string(data)
}
