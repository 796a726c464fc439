package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
)

// single is a request with one right answer.
type single struct {
	name        string
	body        []byte
	contentType string
	want        answer
}

// singles are requests that are no usual picture. Whoever serves the model answers
// them in these words.
func singles(d *digit, recognized string) []single {
	file := d.jpeg(kindPlain, 0)
	isOne := answer{http.StatusOK, recognized}
	bad := func(text string) answer { return answer{http.StatusBadRequest, text} }
	large := func(text string) answer { return answer{http.StatusRequestEntityTooLarge, text} }
	noJPEG := func(what string) answer { return bad("this is " + what + ": send a JPEG file") }
	broken := func(why string) answer { return bad("the JPEG is broken: " + why) }
	const limits = "at most 100 megapixels, progressive 16"

	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("file", "digit.jpg")
	if err == nil {
		_, err = part.Write(file)
	}
	if err = errors.Join(err, parts.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	ordinary := frame{marker: baseline, bits: 8, width: 28, height: 28, components: 1, scans: 1}
	with := func(change func(f *frame)) []byte {
		f := ordinary
		change(&f)
		return f.file()
	}
	const jpegType = "image/jpeg"
	return []single{
		// Whatever is said of it, a JPEG is one.
		{"a JPEG", file, jpegType, isOne},
		{"a JPEG without a type", file, "", isOne},
		{"a JPEG as text", file, "text/plain; charset=utf-8", isOne},
		{"a JPEG as JSON", file, "application/json", isOne},
		{"a JPEG as PNG", file, "image/png", isOne},
		{"a JPEG as curl sends it", file, "application/x-www-form-urlencoded", isOne},
		{"a JPEG with more behind it", append(slices.Clone(file), "\r\n--more"...), jpegType, isOne},
		{"two JPEGs", slices.Concat(file, d.jpeg(kindInverted, 1)), jpegType, isOne},
		{"a JPEG with a comment", insert(file, comment, []byte("a digit")), jpegType, isOne},
		{"a JPEG with a picture in it", insert(file, application1, file), jpegType, isOne},
		{"a JPEG with bytes between its segments", slices.Concat(file[:2], []byte{0xff, 0xff, 0xff}, file[2:]), jpegType, isOne},

		{"nothing", nil, jpegType, bad("empty: send a JPEG file")},
		{"nothing, as text", nil, "text/plain", bad("empty: send a JPEG file")},
		{"text", []byte("a nine\n"), "text/plain", noJPEG("text, no JPEG")},
		{"text as JPEG", []byte("a nine\n"), jpegType, noJPEG("text, no JPEG")},
		{"JSON", []byte(`{"image": "nine"}`), "application/json", noJPEG("text, no JPEG")},
		{"a JPEG in base64", []byte(base64.StdEncoding.EncodeToString(file)), jpegType, noJPEG("a JPEG in base64, no JPEG")},
		{"a data URL", []byte("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(file)), "", noJPEG("a data URL, no JPEG")},
		{"a form", form.Bytes(), parts.FormDataContentType(), noJPEG("a form of several parts, no JPEG")},
		{"a PNG", d.png(), "image/png", noJPEG("a PNG, no JPEG")},
		{"a PNG as JPEG", d.png(), jpegType, noJPEG("a PNG, no JPEG")},
		{"a GIF", d.gif(), "image/gif", noJPEG("a GIF, no JPEG")},
		{"a WebP", []byte("RIFF\x10\x00\x00\x00WEBPVP8 \x00\x00\x00\x00"), "image/webp", noJPEG("a WebP, no JPEG")},
		{"a BMP", append([]byte("BM"), make([]byte, 60)...), "image/bmp", noJPEG("a BMP, no JPEG")},
		{"a HEIC", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), "image/heic", noJPEG("a HEIC, AVIF or MP4, no JPEG")},
		{"a TIFF", append([]byte("II*\x00"), make([]byte, 60)...), "image/tiff", noJPEG("a TIFF, no JPEG")},
		{"a PDF", []byte("%PDF-1.7\n"), "application/pdf", noJPEG("a PDF, no JPEG")},
		{"a JPEG in a ZIP archive", append([]byte("PK\x03\x04"), file...), "application/zip", noJPEG("a ZIP archive, no JPEG")},
		{"a JPEG compressed by gzip", append([]byte("\x1f\x8b\x08"), file...), "application/gzip", noJPEG("compressed by gzip, no JPEG")},
		{"zeros", make([]byte, 1000), jpegType, noJPEG("no JPEG")},
		{"a byte", []byte{1}, jpegType, noJPEG("no JPEG")},
		{"a JPEG behind a byte", append([]byte{0}, file...), jpegType, noJPEG("no JPEG")},

		{"black", empty(0).jpeg(kindPlain, 0), jpegType, bad("no digit in the picture: it is all of one brightness")},
		{"white", empty(255).jpeg(kindPlain, 0), jpegType, bad("no digit in the picture: it is all of one brightness")},
		{"one pixel", d.huge(1, 1, 0), jpegType, bad("no digit in the picture: it is all of one brightness")},

		{"the beginning of a JPEG", file[:2], jpegType, bad("the JPEG ends too early")},
		{"a JPEG without its last byte", file[:len(file)-1], jpegType, bad("the JPEG ends too early")},
		{"a JPEG without a picture", []byte{0xff, 0xd8, 0xff, 0xd9}, jpegType, broken("it holds no picture")},
		{"a frame without a scan", with(func(f *frame) { f.scans = 0 }), jpegType, broken("it holds no picture")},
		{"a text in a JPEG", []byte("\xff\xd8nonsense"), jpegType, broken("no marker at byte 2")},
		{"no columns", with(func(f *frame) { f.width = 0 }), jpegType, broken("0x28 pixels")},
		{"no rows", with(func(f *frame) { f.height = 0 }), jpegType, broken("28x0 pixels")},
		{"two colour components", with(func(f *frame) { f.components = 2 }), jpegType, bad("a JPEG of 2 colour components is not taken: send a grey or RGB one")},
		{"four colour components", with(func(f *frame) { f.components = 4 }), jpegType, bad("a JPEG of 4 colour components is not taken: send a grey or RGB one")},
		{"12 bits", with(func(f *frame) { f.bits = 12 }), jpegType, bad("a JPEG of 12 bits is not taken: send one of 8 bits")},
		{"lossless", with(func(f *frame) { f.marker = 0xffc3 }), jpegType, bad("a lossless or arithmetic coded JPEG is not taken: send a baseline or progressive one")},
		{"arithmetic coded", with(func(f *frame) { f.marker = 0xffc9 }), jpegType, bad("a lossless or arithmetic coded JPEG is not taken: send a baseline or progressive one")},

		{"too many pixels", with(func(f *frame) { f.width, f.height = 65500, 65500 }), jpegType, large("too large: 65500x65500 pixels; " + limits)},
		{"a few too many pixels", with(func(f *frame) { f.width, f.height = 10000, 10001 }), jpegType, large("too large: 10000x10001 pixels; " + limits)},
		{"too many progressive pixels", with(func(f *frame) { f.marker, f.width, f.height = progressive, 4000, 4001 }), jpegType, large("too large: 4000x4001 pixels; " + limits)},
		{"too many pixels of separate colours", separate(frame{marker: baseline, bits: 8, width: 4000, height: 4001, components: 3}), jpegType, large("too large: 4000x4001 pixels; " + limits)},
		{"too many scans", d.huge(64, 64, 100), jpegType, large("too large: more than 100 scans")},
	}
}

// separate returns a file whose colours come one after the other.
func separate(f frame) []byte {
	f.scans = 0
	file := f.file()
	w := writer{file: file[:len(file)-2]} // without its end
	for i := range f.components {
		w.scan(i, 0, 63)
	}
	w.marker(endOfImage)
	return w.file
}

// refused asks for what is no usual picture.
func (e *examination) refused(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	d := &digits[0]
	plain, err := e.ask(ctx, d.jpeg(kindPlain, 0), "image/jpeg")
	if err != nil {
		return err
	}
	if _, err := plain.digit(); err != nil {
		return err
	}
	var faults []error
	for _, s := range singles(d, plain.text) {
		got, err := e.ask(ctx, s.body, s.contentType)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(e.out, "%s: %v\n", s.name, got)
		if got != s.want {
			faults = append(faults, fmt.Errorf("%s: the answer is\n\t%v, not\n\t%v", s.name, got, s.want))
		}
	}
	return errors.Join(faults...)
}

// early is what is said to a JPEG file that lacks its end.
const early = "the JPEG ends too early"

// cut asks for files of every length, or of many.
func (e *examination) cut(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	type part struct {
		name   string
		whole  []byte
		length int
	}
	var parts []part
	for _, f := range []struct {
		name  string
		file  []byte
		parts int
	}{
		{"plain", digits[0].jpeg(kindPlain, 0), 1 << 20},
		{"coloured", digits[1].jpeg(kindTogether, 1), 200},
		{"larger", digits[2].jpeg(kindLarger, 2), 200},
		{"with Exif", digits[3].oriented(6, bigEndian), 200},
		{"progressive", digits[4].huge(200, 200, 3), 1 << 20},
	} {
		step := max(len(f.file)/f.parts, 1) * e.every
		// The last ones lack no more than the end's marker.
		for length := 1; length < len(f.file); length += step {
			parts = append(parts, part{f.name, f.file, length})
		}
		parts = append(parts, part{f.name, f.file, len(f.file) - 1}, part{f.name, f.file, len(f.file) - 2})
	}
	answers, err := e.askAll(ctx, len(parts), func(i int) []byte { return parts[i].whole[:parts[i].length] })
	if err != nil {
		return err
	}
	var faults []error
	for i, a := range answers {
		if a != (answer{http.StatusBadRequest, early}) {
			faults = append(faults, fmt.Errorf("%s, cut from %d bytes to %d: %v", parts[i].name, len(parts[i].whole), parts[i].length, a))
		}
	}
	fmt.Fprintf(e.out, "%d files were cut\n", len(answers))
	return some(faults)
}

// some joins errors, but no more than can be read.
func some(faults []error) error {
	if most := 20; len(faults) > most {
		faults = append(faults[:most:most], fmt.Errorf("and %d more", len(faults)-most))
	}
	return errors.Join(faults...)
}

// isSentence reports whether an error's text can be shown to a user.
func isSentence(text string) bool {
	return text != "" && len(text) < 300 && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\ufffd' })
}
