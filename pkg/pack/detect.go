package pack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"
	"os"

	"github.com/openeas/eascmd/internal/fault"
)

// block is the size of a tar header.
const block = 512

// foreign are archives and compressed files that users have at hand and that
// are not read. To take one for a plain file would hand it to the processor.
var foreign = [...]struct{ magic, kind string }{
	{"\xfd7zXZ\x00", "xz-compressed file"},
	{"\x28\xb5\x2f\xfd", "zstd-compressed file"},
	{"7z\xbc\xaf\x27\x1c", "7z archive"},
	{"Rar!\x1a\x07", "rar archive"},
	{"\x04\x22\x4d\x18", "lz4-compressed file"},
	{"LZIP\x01", "lzip-compressed file"},
	{"\x1f\x9d", "compress (.Z) file"},
}

// Detect says what the file at path is, by its content. See DetectReader.
func Detect(path string) (Format, error) {
	f, err := openRegular(path)
	if err != nil {
		return None, err
	}
	defer f.Close()
	format, err := DetectReader(f)
	if err != nil {
		return None, describe(path, err)
	}
	return format, nil
}

// DetectReader says what r holds, reading as little of it as it can.
//
// A gzip or bzip2 file that holds no tar is one compressed file and no
// archive, so it is None, like a program, a model or an empty file. A tar
// without entries cannot be told from zeros and is None too; compressed, both
// are an error. A .jar, a .whl
// and a PyTorch model are zip archives by content: whether one is to be
// unpacked is for the caller to say, and SingleFile tells it what they are.
//
// The error is an *UnsupportedError for an archive of a kind that is not read
// (xz, zstd, 7z, rar, ...), and another one for a compressed file whose
// beginning is damaged or holds nothing but zeros.
func DetectReader(r io.Reader) (Format, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(block)
	if err != nil && !errors.Is(err, io.EOF) {
		return None, err
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return None, &UnsupportedError{Kind: f.kind}
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")),
		bytes.HasPrefix(head, []byte("PK\x05\x06")),           // a zip without entries
		bytes.HasPrefix(head, []byte("PK\x07\x08PK\x03\x04")), // written as if to be split
		bytes.HasPrefix(head, []byte("PK00PK\x03\x04")):
		return Zip, nil
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		z, err := newGzipReader(br)
		if err != nil {
			return None, damaged("gzip", err)
		}
		return inside(z, "gzip", TarGzip)
	case isBzip2(head):
		return inside(bzip2.NewReader(br), "bzip2", TarBzip2)
	case isTarHeader(head):
		return Tar, nil
	}
	return None, nil
}

// inside returns format where the decompressed stream begins like a tar.
func inside(z io.Reader, compression string, format Format) (Format, error) {
	var head [block]byte
	n, err := io.ReadFull(z, head[:])
	switch {
	case err == nil:
	case err == io.EOF || err == io.ErrUnexpectedEOF && endsWell(z):
		return None, nil // shorter than a tar header
	case errors.Is(err, errAfterGzip):
		return None, nil
	default:
		return None, damaged(compression, err)
	}
	if isTarHeader(head[:n]) {
		return format, nil
	}
	if head == [block]byte{} {
		return None, onlyZeros(z, compression)
	}
	return None, nil
}

// zerosLooked is how many zeros at the beginning of a compressed file are
// enough to take it for one that holds nothing.
const zerosLooked = 4 << 20

// onlyZeros is called behind a first block of zeros, which is what a tar without
// entries has, and refuses the file unless something else follows. A file that
// expands to gigabytes of zeros would otherwise be handed on as it is.
func onlyZeros(z io.Reader, compression string) error {
	buf := make([]byte, holeSize)
	for seen := block; ; {
		n, err := z.Read(buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return nil
		}
		seen += n
		ended := err == io.EOF || errors.Is(err, errAfterGzip)
		switch {
		case err != nil && !ended:
			return damaged(compression, err)
		case ended:
			return fault.New(fault.Failed, "the %s data holds no files: it is nothing but zeros", compression).
				WithHint("make the archive again, and look into it with tar -t")
		case seen >= zerosLooked:
			return fault.New(fault.Failed, "the %s data holds no files: it begins with %s of nothing but zeros", compression, size(int64(seen))).
				WithHint("if it is meant as it is, unpack it yourself and name what comes out")
		}
	}
}

// endsWell tells a short stream, whose next read is a plain EOF, from a
// truncated one: io.ReadFull reports both as io.ErrUnexpectedEOF.
func endsWell(z io.Reader) bool {
	var b [1]byte
	_, err := z.Read(b[:])
	return err == io.EOF
}

func damaged(compression string, err error) error {
	return fault.New(fault.Failed, "the %s data is damaged or cut off: %w", compression, truncation(err)).
		WithHint("fetch or make the file again")
}

// isBzip2 wants the magic of the first block beside that of the file, since
// "BZh" alone is three letters that a text may begin with.
func isBzip2(head []byte) bool {
	if len(head) < 10 || string(head[:3]) != "BZh" || head[3] < '1' || head[3] > '9' {
		return false
	}
	next := string(head[4:10])
	return next == "\x31\x41\x59\x26\x53\x59" || next == "\x17\x72\x45\x38\x50\x90"
}

// isTarHeader reports whether b begins with a tar header: the checksum fits,
// and so do the fields that every writer fills in. The magic is no condition,
// since the oldest writers had none.
func isTarHeader(b []byte) bool {
	if len(b) < block || b[0] == 0 {
		return false
	}
	b = b[:block]
	const at, width = 148, 8
	var unsigned, signed int64
	for i, c := range b {
		if i >= at && i < at+width {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	sum, ok := octal(b[at : at+width])
	if !ok || (sum != unsigned && sum != signed) {
		return false
	}
	if string(b[257:262]) == "ustar" {
		return true
	}
	_, ok = octal(b[100:108]) // the mode
	return ok && (b[156] == 0 || b[156] >= '0' && b[156] <= '7')
}

// octal reads a number as tar headers have it: spaces, digits, an end of
// spaces and zero bytes.
func octal(b []byte) (int64, bool) {
	b = bytes.Trim(b, " \x00")
	if len(b) == 0 {
		return 0, false
	}
	var v int64
	for _, c := range b {
		if c < '0' || c > '7' {
			return 0, false
		}
		v = v<<3 | int64(c-'0')
	}
	return v, true
}

// openRegular opens a file and refuses what is none: to open a FIFO would wait
// for ever, to read a device has no end.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.Failed, "read archive: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.Failed, "read archive %s: it is not a regular file but %s", path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Failed, "read archive: %w", err)
	}
	return f, nil
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a FIFO"
	case m&os.ModeSocket != 0:
		return "a socket"
	case m&os.ModeDevice != 0:
		return "a device"
	case m&os.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "something else"
}

// describe puts the name of the archive before an error.
func describe(path string, err error) error {
	if _, ok := errors.AsType[*UnsupportedError](err); ok {
		return fault.New(fault.Failed, "read archive %s: %w", path, err).
			WithHint("repack it as tar.gz; tar, tar.gz, tar.bz2 and zip are read")
	}
	return fault.New(fault.KindOf(err), "read archive %s: %w", path, err)
}
