package ossserver

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxObject = 5 << 30 // of one request
	maxXML    = 2 << 20
	maxKey    = 1023
)

// keptHeaders are kept with an object, beside x-oss-meta-*, and answered with it.
var keptHeaders = []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Expires"}

// headerToKeep returns what a request says about the object that it makes.
func headerToKeep(h http.Header) map[string]string {
	kept := map[string]string{}
	for _, name := range keptHeaders {
		if v := h.Get(name); v != "" {
			kept[name] = v
		}
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Oss-Meta-") {
			kept[name] = h.Get(name)
		}
	}
	if kept["Content-Type"] == "" {
		kept["Content-Type"] = "application/octet-stream"
	}
	return kept
}

func (x *exchange) mayOverwrite() bool { return x.r.Header.Get("X-Oss-Forbid-Overwrite") != "true" }

// checkKey keeps the rules for names of objects.
func (x *exchange) checkKey() error {
	if len(x.Key) > maxKey || strings.HasPrefix(x.Key, `\`) {
		return errInvalidObjectName.with("ObjectName", x.Key)
	}
	return nil
}

// receive takes the request's body in.
func (x *exchange) receive() (*received, error) {
	if x.r.ContentLength > maxObject {
		return nil, &apiError{status: 400, code: "EntityTooLarge", text: "Your proposed upload exceeds the maximum allowed size.", ec: "0016-00000502"}
	}
	r, err := x.server.state.receive(x.Bucket, x, x.r.ContentLength, x.r.Header.Get("Content-MD5"))
	if errors.Is(err, errIncompleteBody) {
		return nil, err
	}
	if _, ok := errors.AsType[*apiError](err); err != nil && !ok {
		if _, local := errors.AsType[*os.PathError](err); !local {
			return nil, errCut // the other side is gone
		}
	}
	return r, err
}

func quote(etag string) string { return `"` + etag + `"` }

func (x *exchange) modified() time.Time { return x.server.now().UTC().Truncate(time.Second) }

func (x *exchange) putObject() error {
	if err := x.checkKey(); err != nil {
		return err
	}
	r, err := x.receive()
	if err != nil {
		return err
	}
	o := &object{
		Key: x.Key, Size: r.Size, ETag: r.etag(), CRC: r.crc, Type: "Normal", Modified: x.modified(),
		Header: headerToKeep(x.r.Header), Data: []piece{r.piece},
	}
	if err := x.server.state.put(x.Bucket, o, x.mayOverwrite()); err != nil {
		return err
	}
	h := x.header()
	h.Set("ETag", quote(o.ETag))
	h.Set("Content-MD5", r.contentMD5())
	h.Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(o.CRC, 10))
	x.empty(http.StatusOK)
	return nil
}

// empty answers without a body.
func (x *exchange) empty(status int) {
	if status != http.StatusNoContent {
		x.header().Set("Content-Length", "0")
	}
	x.start(status)
}

// answer answers XML.
func (x *exchange) answer(v any) error {
	b, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	b = append([]byte(xml.Header), b...)
	x.header().Set("Content-Type", "application/xml")
	x.header().Set("Content-Length", strconv.Itoa(len(b)))
	x.start(http.StatusOK)
	_, err = x.Write(b)
	return err
}

// read reads a request of XML.
func (x *exchange) read(v any) error {
	b, err := io.ReadAll(io.LimitReader(x, maxXML))
	if err != nil {
		return errCut
	}
	if err := xml.Unmarshal(b, v); err != nil {
		return errMalformedXML
	}
	return nil
}

// describe sets the header that tells an object.
func (x *exchange) describe(o *object) {
	h := x.header()
	for name, value := range o.Header {
		h.Set(name, value)
	}
	h.Set("ETag", quote(o.ETag))
	h.Set("Last-Modified", o.Modified.Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("X-Oss-Object-Type", o.Type)
	h.Set("X-Oss-Storage-Class", "Standard")
	h.Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(o.CRC, 10))
}

// responseParams override the header of an answer.
var responseParams = map[string]string{
	"response-cache-control":       "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
	"response-content-language":    "Content-Language",
	"response-content-type":        "Content-Type",
	"response-expires":             "Expires",
}

// getObject answers HeadObject too.
func (x *exchange) getObject() error {
	o, release, err := x.server.state.object(x.Bucket, x.Key)
	if err != nil {
		return err
	}
	defer release()
	if err := checkConditions(x.r.Header, o, ""); err != nil {
		return err
	}
	offset, n, partial, err := parseRange(x.r.Header, o.Size)
	if err != nil {
		return err
	}
	x.describe(o)
	h := x.header()
	for param, name := range responseParams {
		if x.query.Has(param) {
			h.Set(name, x.query.Get(param))
		}
	}
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+n-1, o.Size))
	}
	x.start(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	_, err = io.Copy(x, x.server.state.reader(x.Bucket, o, offset, n))
	return err
}

func (x *exchange) getObjectMeta() error {
	o, release, err := x.server.state.object(x.Bucket, x.Key)
	if err != nil {
		return err
	}
	defer release()
	h := x.header()
	h.Set("ETag", quote(o.ETag))
	h.Set("Last-Modified", o.Modified.Format(http.TimeFormat))
	h.Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(o.CRC, 10))
	h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	x.start(http.StatusOK)
	return nil
}

// checkConditions checks If-Match and its likes; those of a copy have a prefix.
func checkConditions(h http.Header, o *object, prefix string) error {
	is := func(name string) bool { return strings.Trim(h.Get(name), `"`) == o.ETag || h.Get(name) == "*" }
	since := func(name string) (time.Time, bool) {
		t, err := http.ParseTime(h.Get(name))
		return t, err == nil
	}
	if name := prefix + "If-Match"; h.Get(name) != "" && !is(name) {
		return errPrecondition.with("Condition", "If-Match")
	}
	if t, ok := since(prefix + "If-Unmodified-Since"); ok && o.Modified.After(t) {
		return errPrecondition.with("Condition", "If-Unmodified-Since")
	}
	if name := prefix + "If-None-Match"; h.Get(name) != "" && is(name) {
		return errNotModified
	}
	if t, ok := since(prefix + "If-Modified-Since"); ok && !o.Modified.After(t) {
		return errNotModified
	}
	return nil
}

// parseRange reads a range. As OSS has it, one that cannot be met is as good as
// none, unless x-oss-range-behavior is "standard".
func parseRange(h http.Header, size int64) (offset, n int64, partial bool, err error) {
	text, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if !ok {
		return 0, size, false, nil
	}
	from, to, ok := strings.Cut(text, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	standard := h.Get("X-Oss-Range-Behavior") == "standard"
	switch {
	case !ok, from != "" && err1 != nil, to != "" && err2 != nil, from == "" && to == "":
		return 0, size, false, nil
	case from == "": // the last so many
		last = min(last, size)
		first, last = size-last, size-1
	case to == "":
		last = size - 1
	case last >= size && standard:
		last = size - 1
	}
	if first < 0 || first > last || last >= size {
		if standard && first >= size {
			return 0, 0, false, errInvalidRange.with("ActualObjectSize", strconv.FormatInt(size, 10)).with("RangeHeader", h.Get("Range"))
		}
		return 0, size, false, nil
	}
	return first, last - first + 1, true, nil
}

// source finds the object that a copy is made of.
func (x *exchange) source() (bucket string, o *object, release func(), err error) {
	text, _, _ := strings.Cut(x.r.Header.Get("X-Oss-Copy-Source"), "?")
	path, err := url.QueryUnescape(text) // the SDK writes + for a space
	if err != nil {
		return "", nil, nil, errInvalidArgument.message("Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.")
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || key == "" {
		return "", nil, nil, errInvalidArgument.message("Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.")
	}
	if err := x.admit(bucket, false); err != nil {
		return "", nil, nil, err
	}
	o, release, err = x.server.state.object(bucket, key)
	if err != nil {
		return "", nil, nil, err
	}
	if err := checkConditions(x.r.Header, o, "X-Oss-Copy-Source-"); err != nil {
		release()
		return "", nil, nil, err
	}
	return bucket, o, release, nil
}

// copied keeps a piece of an object as new data of the request's bucket.
func (x *exchange) copied(bucket string, o *object, offset, n int64) (*received, error) {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, x.server.state.reader(bucket, o, offset, n))
		w.CloseWithError(err)
	}()
	defer r.Close()
	return x.server.state.receive(x.Bucket, r, n, "")
}

type copyResult struct {
	XMLName      xml.Name
	ETag         string
	LastModified string
}

const timeXML = "2006-01-02T15:04:05.000Z"

func (x *exchange) copyObject() error {
	if err := x.checkKey(); err != nil {
		return err
	}
	bucket, from, release, err := x.source()
	if err != nil {
		return err
	}
	defer release()
	if from.Size > maxObject {
		return errInvalidArgument.message("The object is too large to be copied at once.")
	}
	r, err := x.copied(bucket, from, 0, from.Size)
	if err != nil {
		return err
	}
	o := &object{
		Key: x.Key, Size: r.Size, ETag: r.etag(), CRC: r.crc, Type: "Normal", Modified: x.modified(),
		Header: from.Header, Data: []piece{r.piece},
	}
	if x.r.Header.Get("X-Oss-Metadata-Directive") == "REPLACE" {
		o.Header = headerToKeep(x.r.Header)
	}
	if err := x.server.state.put(x.Bucket, o, x.mayOverwrite()); err != nil {
		return err
	}
	x.header().Set("ETag", quote(o.ETag))
	x.header().Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(o.CRC, 10))
	return x.answer(copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: quote(o.ETag), LastModified: o.Modified.Format(timeXML)})
}

func (x *exchange) deleteObject() error {
	if err := x.server.state.deleteObject(x.Bucket, x.Key); err != nil {
		return err
	}
	x.empty(http.StatusNoContent)
	return nil
}

// mostDeleted is how many objects one request may delete.
const mostDeleted = 1000

func (x *exchange) deleteMultipleObjects() error {
	var ask struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []struct{ Key string }
	}
	if err := x.read(&ask); err != nil {
		return err
	}
	if len(ask.Object) == 0 || len(ask.Object) > mostDeleted {
		return errMalformedXML
	}
	type deleted struct{ Key string }
	out := struct {
		XMLName      xml.Name  `xml:"DeleteResult"`
		EncodingType string    `xml:",omitempty"`
		Deleted      []deleted `xml:",omitempty"`
	}{EncodingType: x.query.Get("encoding-type")}
	for _, o := range ask.Object {
		if err := x.server.state.deleteObject(x.Bucket, o.Key); err != nil {
			return err
		}
		if !ask.Quiet {
			out.Deleted = append(out.Deleted, deleted{x.encoded(o.Key)})
		}
	}
	return x.answer(out)
}

// encoded writes a key as the request wants to have keys.
func (x *exchange) encoded(key string) string {
	if x.query.Get("encoding-type") == "url" {
		return escape(key)
	}
	return key
}

// limit reads a parameter that bounds how much is listed.
func (x *exchange) limit(name string, usual, most int) (int, error) {
	n, err := strconv.Atoi(cmp.Or(x.query.Get(name), strconv.Itoa(usual)))
	if err != nil || n < 1 || n > most {
		return 0, errInvalidArgument.message("Argument "+name+" must be an integer between 1 and "+strconv.Itoa(most)+".").
			with("ArgumentName", name).with("ArgumentValue", x.query.Get(name))
	}
	if x.server.page > 0 {
		n = min(n, x.server.page)
	}
	return n, nil
}
