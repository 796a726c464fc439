package pack

import (
	"archive/zip"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// zipName returns an entry's name in UTF-8 and with slashes.
//
// The format says CP437 where the UTF-8 flag is not set; what is really there
// is UTF-8 without the flag (macOS), the Info-ZIP extra field, or the code page
// of the Windows it was made on, which for our users is GBK. GBK as Windows
// writes it for Chinese has both bytes of a character above 0xA0, where CP437
// has next to no letters, so that the two are easy to tell apart.
func zipName(f *zip.File) string {
	name := f.Name
	if f.NonUTF8 && !utf8.ValidString(name) {
		name = decodeName(f)
	}
	// Only MS-DOS (0) and NTFS (10, 11) writers mean a separator by it.
	if system := f.CreatorVersion >> 8; system == 0 || system == 10 || system == 11 {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return name
}

func decodeName(f *zip.File) string {
	if name, ok := unicodePath(f); ok {
		return name
	}
	if looksLikeGBK(f.Name) {
		if name, err := simplifiedchinese.GBK.NewDecoder().String(f.Name); err == nil && !strings.ContainsRune(name, utf8.RuneError) {
			return name
		}
	}
	name, err := charmap.CodePage437.NewDecoder().String(f.Name)
	if err != nil {
		return f.Name
	}
	return name
}

// looksLikeGBK reports whether the bytes above 0x7F come in pairs above 0xA0.
func looksLikeGBK(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf {
			continue
		}
		if s[i] <= 0xa0 || i+1 == len(s) || s[i+1] <= 0xa0 {
			return false
		}
		i++
	}
	return true
}

// unicodePath returns the name in the Info-ZIP Unicode Path extra field, if
// that belongs to the entry's name.
func unicodePath(f *zip.File) (string, bool) {
	for extra := f.Extra; len(extra) >= 4; {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			break
		}
		if id == 0x7075 && n > 5 && extra[0] == 1 &&
			binary.LittleEndian.Uint32(extra[1:]) == crc32.ChecksumIEEE([]byte(f.Name)) && utf8.Valid(extra[5:n]) {
			return string(extra[5:n]), true
		}
		extra = extra[n:]
	}
	return "", false
}
