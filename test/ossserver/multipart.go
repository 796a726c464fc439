package ossserver

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	minPart   = 100 << 10 // of all but the last
	mostParts = 10_000
)

func (x *exchange) initiateMultipartUpload() error {
	if err := x.checkKey(); err != nil {
		return err
	}
	if !x.mayOverwrite() {
		if _, release, err := x.server.state.object(x.Bucket, x.Key); err == nil {
			release()
			return errFileExists.with("Key", x.Key)
		}
	}
	u := &upload{ID: newID(), Bucket: x.Bucket, Key: x.Key, Initiated: x.modified(), Header: headerToKeep(x.r.Header)}
	if err := x.server.state.createUpload(u); err != nil {
		return err
	}
	x.note(func(r *Request) { r.UploadID = u.ID })
	return x.answer(struct {
		XMLName      xml.Name `xml:"InitiateMultipartUploadResult"`
		EncodingType string   `xml:",omitempty"`
		Bucket       string
		Key          string
		UploadID     string `xml:"UploadId"`
	}{EncodingType: x.query.Get("encoding-type"), Bucket: x.Bucket, Key: x.encoded(x.Key), UploadID: u.ID})
}

// checkPart checks that a part may come.
func (x *exchange) checkPart() error {
	if x.Part < 1 || x.Part > mostParts {
		return errInvalidArgument.message(fmt.Sprintf("Part number must be an integer between 1 and %d.", mostParts)).
			with("ArgumentName", "partNumber").with("ArgumentValue", x.query.Get("partNumber"))
	}
	_, _, err := x.server.state.upload(x.Bucket, x.Key, x.UploadID)
	return err
}

func (x *exchange) putPart(r *received) (*part, error) {
	p := &part{Number: x.Part, ETag: r.etag(), CRC: r.crc, Modified: x.modified(), Data: r.piece}
	if err := x.server.state.putPart(x.Bucket, x.Key, x.UploadID, p); err != nil {
		return nil, err
	}
	x.header().Set("ETag", quote(p.ETag))
	x.header().Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(p.CRC, 10))
	return p, nil
}

func (x *exchange) uploadPart() error {
	if err := x.checkPart(); err != nil {
		return err
	}
	r, err := x.receive()
	if err != nil {
		return err
	}
	if _, err := x.putPart(r); err != nil {
		return err
	}
	x.empty(http.StatusOK)
	return nil
}

func (x *exchange) uploadPartCopy() error {
	if err := x.checkPart(); err != nil {
		return err
	}
	bucket, from, release, err := x.source()
	if err != nil {
		return err
	}
	defer release()
	h := http.Header{"X-Oss-Range-Behavior": {"standard"}}
	h.Set("Range", x.r.Header.Get("X-Oss-Copy-Source-Range"))
	offset, n, _, err := parseRange(h, from.Size)
	if err != nil {
		return err
	}
	r, err := x.copied(bucket, from, offset, n)
	if err != nil {
		return err
	}
	p, err := x.putPart(r)
	if err != nil {
		return err
	}
	return x.answer(copyResult{XMLName: xml.Name{Local: "CopyPartResult"}, ETag: quote(p.ETag), LastModified: p.Modified.Format(timeXML)})
}

func (x *exchange) listParts() error {
	most, err := x.limit("max-parts", 1000, 1000)
	if err != nil {
		return err
	}
	after, _ := strconv.Atoi(x.query.Get("part-number-marker"))
	_, parts, err := x.server.state.upload(x.Bucket, x.Key, x.UploadID)
	if err != nil {
		return err
	}
	type partXML struct {
		PartNumber   int
		LastModified string
		ETag         string
		HashCRC64    string `xml:"HashCrc64ecma"`
		Size         int64
	}
	out := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		EncodingType         string   `xml:",omitempty"`
		Bucket               string
		Key                  string
		UploadID             string `xml:"UploadId"`
		StorageClass         string
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []partXML
	}{
		EncodingType: x.query.Get("encoding-type"), Bucket: x.Bucket, Key: x.encoded(x.Key), UploadID: x.UploadID,
		StorageClass: "Standard", PartNumberMarker: after, MaxParts: most,
	}
	for _, p := range parts {
		if p.Number <= after {
			continue
		}
		if len(out.Part) == most {
			out.IsTruncated = true
			break
		}
		out.NextPartNumberMarker = p.Number
		out.Part = append(out.Part, partXML{p.Number, p.Modified.Format(timeXML), quote(p.ETag), strconv.FormatUint(p.CRC, 10), p.Data.Size})
	}
	return x.answer(out)
}

func (x *exchange) listMultipartUploads() error {
	most, err := x.limit("max-uploads", 1000, 1000)
	if err != nil {
		return err
	}
	q := x.query
	prefix, delimiter, key, id := q.Get("prefix"), q.Get("delimiter"), q.Get("key-marker"), q.Get("upload-id-marker")
	type uploadXML struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated string
	}
	out := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		EncodingType       string   `xml:",omitempty"`
		Bucket             string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string
		NextUploadIDMarker string `xml:"NextUploadIdMarker"`
		Prefix             string
		Delimiter          string
		MaxUploads         int
		IsTruncated        bool
		Upload             []uploadXML
		CommonPrefixes     []commonPrefix
	}{
		EncodingType: q.Get("encoding-type"), Bucket: x.Bucket, KeyMarker: x.encoded(key), UploadIDMarker: id,
		Prefix: x.encoded(prefix), Delimiter: x.encoded(delimiter), MaxUploads: most,
	}
	group := ""
	for _, u := range x.server.state.uploadsOf(x.Bucket) {
		if !strings.HasPrefix(u.Key, prefix) || u.Key < key || u.Key == key && (id == "" || u.ID <= id) {
			continue
		}
		in := ""
		if delimiter != "" {
			if i := strings.Index(u.Key[len(prefix):], delimiter); i >= 0 {
				in = u.Key[:len(prefix)+i+len(delimiter)]
			}
		}
		if in != "" && (in == group || key != "" && strings.HasPrefix(key, in)) {
			continue
		}
		if len(out.Upload)+len(out.CommonPrefixes) == most {
			out.IsTruncated = true
			break
		}
		out.NextKeyMarker, out.NextUploadIDMarker = x.encoded(u.Key), u.ID
		if group = in; in != "" {
			out.NextKeyMarker, out.NextUploadIDMarker = x.encoded(in), ""
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{x.encoded(in)})
		} else {
			out.Upload = append(out.Upload, uploadXML{x.encoded(u.Key), u.ID, u.Initiated.Format(timeXML)})
		}
	}
	if !out.IsTruncated {
		out.NextKeyMarker, out.NextUploadIDMarker = "", ""
	}
	return x.answer(out)
}

// namedPart is a part as the request to complete an upload names it.
type namedPart struct {
	PartNumber int
	ETag       string
}

func (x *exchange) completeMultipartUpload() error {
	var ask struct {
		XMLName xml.Name    `xml:"CompleteMultipartUpload"`
		Part    []namedPart `xml:"Part"`
	}
	all := x.r.Header.Get("X-Oss-Complete-All") == "yes"
	if !all {
		if err := x.read(&ask); err != nil {
			return err
		}
		if len(ask.Part) == 0 || len(ask.Part) > mostParts {
			return errMalformedXML
		}
	}
	o, err := x.server.state.completeUpload(x.Bucket, x.Key, x.UploadID, x.mayOverwrite(), func(have map[int]*part) (*object, []piece, error) {
		if all {
			for _, n := range slices.Sorted(maps.Keys(have)) {
				ask.Part = append(ask.Part, namedPart{n, have[n].ETag})
			}
		}
		return x.assemble(ask.Part, have)
	})
	if err != nil {
		return err
	}
	x.header().Set("ETag", quote(o.ETag))
	x.header().Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(o.CRC, 10))
	return x.answer(struct {
		XMLName      xml.Name `xml:"CompleteMultipartUploadResult"`
		EncodingType string   `xml:",omitempty"`
		Location     string
		Bucket       string
		Key          string
		ETag         string
	}{
		EncodingType: x.query.Get("encoding-type"), Location: "http://" + x.r.Host + x.r.URL.EscapedPath(),
		Bucket: x.Bucket, Key: x.encoded(x.Key), ETag: quote(o.ETag),
	})
}

// assemble makes an object of the parts named, and tells the data of the others.
func (x *exchange) assemble(named []namedPart, have map[int]*part) (*object, []piece, error) {
	o := &object{Key: x.Key, Type: "Multipart", Modified: x.modified()}
	var etags strings.Builder
	last := 0
	for i, n := range named {
		if n.PartNumber <= last {
			return nil, nil, errInvalidPartOrder.with("UploadId", x.UploadID)
		}
		last = n.PartNumber
		p := have[n.PartNumber]
		if p == nil || p.ETag != strings.Trim(n.ETag, `"`) {
			return nil, nil, errInvalidPart.with("UploadId", x.UploadID).with("PartNumber", strconv.Itoa(n.PartNumber)).with("PartEtag", n.ETag)
		}
		if p.Data.Size < minPart && i < len(named)-1 {
			return nil, nil, errEntityTooSmall.with("PartNumber", strconv.Itoa(n.PartNumber)).
				with("ProposedSize", strconv.FormatInt(p.Data.Size, 10)).with("MinSizeAllowed", strconv.Itoa(minPart))
		}
		o.CRC = combineCRC(o.CRC, p.CRC, p.Data.Size)
		o.Size += p.Data.Size
		o.Data = append(o.Data, p.Data)
		etags.WriteString(p.ETag)
	}
	sum := md5.Sum([]byte(etags.String()))
	o.ETag = strings.ToUpper(hex.EncodeToString(sum[:])) + "-" + strconv.Itoa(len(named))
	var unused []piece
	for _, p := range have {
		if !slices.Contains(o.Data, p.Data) {
			unused = append(unused, p.Data)
		}
	}
	return o, unused, nil
}

func (x *exchange) abortMultipartUpload() error {
	if _, _, err := x.server.state.upload(x.Bucket, x.Key, x.UploadID); err != nil {
		return err
	}
	if err := x.server.state.dropUpload(x.UploadID); err != nil {
		return err
	}
	x.empty(http.StatusNoContent)
	return nil
}
