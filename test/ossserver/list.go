package ossserver

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strings"
)

type owner struct{ ID, DisplayName string }

func (x *exchange) owner() *owner { return &owner{x.key.Account, x.key.Account} }

type bucketXML struct {
	Name             string
	Location         string
	CreationDate     string
	ExtranetEndpoint string
	IntranetEndpoint string
	Region           string
	StorageClass     string
	DataRedundancy   string  `xml:"DataRedundancyType,omitempty"`
	Owner            *owner  `xml:",omitempty"`
	Grant            *string `xml:"AccessControlList>Grant"`
}

func (x *exchange) bucketXML(b bucket) bucketXML {
	region := x.server.region
	return bucketXML{
		Name: b.Name, Location: "oss-" + region, CreationDate: b.Created.Format(timeXML), Region: region, StorageClass: "Standard",
		ExtranetEndpoint: endpoint(region, false), IntranetEndpoint: endpoint(region, true),
	}
}

func (x *exchange) listBuckets() error {
	out := struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		Owner   *owner
		Buckets []bucketXML `xml:"Buckets>Bucket"`
	}{Owner: x.owner()}
	for _, b := range x.server.state.bucketsOf(x.key.Account) {
		out.Buckets = append(out.Buckets, x.bucketXML(b))
	}
	return x.answer(out)
}

func (x *exchange) putBucket() error {
	if x.key.ReadOnly {
		return errAccessDenied
	}
	if err := x.server.CreateBucket(x.Bucket, x.key.Account); err != nil {
		return err
	}
	x.empty(http.StatusOK)
	return nil
}

func (x *exchange) deleteBucket() error {
	if err := x.server.state.deleteBucket(x.Bucket); err != nil {
		return err
	}
	x.empty(http.StatusNoContent)
	return nil
}

func (x *exchange) getBucketLocation() error {
	return x.answer(struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		Text    string   `xml:",chardata"`
	}{Text: "oss-" + x.server.region})
}

func (x *exchange) getBucketInfo() error {
	for _, b := range x.server.state.bucketsOf(x.key.Account) {
		if b.Name == x.Bucket {
			out, private := x.bucketXML(b), "private"
			out.Owner, out.Grant, out.DataRedundancy = x.owner(), &private, "LRS"
			return x.answer(struct {
				XMLName xml.Name `xml:"BucketInfo"`
				Bucket  bucketXML
			}{Bucket: out})
		}
	}
	return errNoSuchBucket.with("BucketName", x.Bucket)
}

type contents struct {
	Key          string
	LastModified string
	ETag         string
	Type         string
	Size         int64
	StorageClass string
	Owner        *owner `xml:",omitempty"`
}

type commonPrefix struct{ Prefix string }

// page is a part of a list: keys and common prefixes together are bounded.
type page struct {
	objects  []*object
	prefixes []string
	last     string // where the next page begins; "" at the end
}

// list makes a page of what is behind after.
func (x *exchange) list(prefix, delimiter, after string, most int) page {
	var p page
	group, last := "", ""
	for _, o := range x.server.state.objectsAfter(x.Bucket, prefix, after) {
		in := ""
		if delimiter != "" {
			if i := strings.Index(o.Key[len(prefix):], delimiter); i >= 0 {
				in = o.Key[:len(prefix)+i+len(delimiter)]
			}
		}
		if in != "" && (in == group || after == in || strings.HasPrefix(after, in)) {
			continue // it has been told
		}
		if len(p.objects)+len(p.prefixes) == most {
			p.last = last
			return p
		}
		if group = in; in != "" {
			p.prefixes = append(p.prefixes, in)
			last = in
		} else {
			p.objects = append(p.objects, o)
			last = o.Key
		}
	}
	return p
}

func (x *exchange) contents(p page, owner *owner) (all []contents, prefixes []commonPrefix) {
	for _, o := range p.objects {
		all = append(all, contents{
			Key: x.encoded(o.Key), LastModified: o.Modified.Format(timeXML), ETag: quote(o.ETag), Type: o.Type,
			Size: o.Size, StorageClass: "Standard", Owner: owner,
		})
	}
	for _, prefix := range p.prefixes {
		prefixes = append(prefixes, commonPrefix{x.encoded(prefix)})
	}
	return all, prefixes
}

func (x *exchange) listObjects() error {
	most, err := x.limit("max-keys", 100, 1000)
	if err != nil {
		return err
	}
	q := x.query
	p := x.list(q.Get("prefix"), q.Get("delimiter"), q.Get("marker"), most)
	out := struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		Name           string
		Prefix         string
		Marker         string
		MaxKeys        int
		Delimiter      string
		EncodingType   string `xml:",omitempty"`
		IsTruncated    bool
		NextMarker     string `xml:",omitempty"`
		Contents       []contents
		CommonPrefixes []commonPrefix
	}{
		Name: x.Bucket, Prefix: x.encoded(q.Get("prefix")), Marker: x.encoded(q.Get("marker")), MaxKeys: most,
		Delimiter: x.encoded(q.Get("delimiter")), EncodingType: q.Get("encoding-type"),
		IsTruncated: p.last != "", NextMarker: x.encoded(p.last),
	}
	out.Contents, out.CommonPrefixes = x.contents(p, x.owner())
	return x.answer(out)
}

func (x *exchange) listObjectsV2() error {
	most, err := x.limit("max-keys", 100, 1000)
	if err != nil {
		return err
	}
	q := x.query
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		b, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return errInvalidArgument.message("The continuation token is not valid.").with("ArgumentName", "continuation-token")
		}
		after = string(b)
	}
	p := x.list(q.Get("prefix"), q.Get("delimiter"), after, most)
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		Prefix                string
		StartAfter            string
		ContinuationToken     string `xml:",omitempty"`
		MaxKeys               int
		Delimiter             string
		EncodingType          string `xml:",omitempty"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		KeyCount              int
		Contents              []contents
		CommonPrefixes        []commonPrefix
	}{
		Name: x.Bucket, Prefix: x.encoded(q.Get("prefix")), StartAfter: x.encoded(q.Get("start-after")),
		ContinuationToken: q.Get("continuation-token"), MaxKeys: most,
		Delimiter: x.encoded(q.Get("delimiter")), EncodingType: q.Get("encoding-type"),
		IsTruncated: p.last != "", NextContinuationToken: x.encoded(base64.StdEncoding.EncodeToString([]byte(p.last))),
		KeyCount: len(p.objects) + len(p.prefixes),
	}
	var who *owner
	if q.Get("fetch-owner") == "true" {
		who = x.owner()
	}
	out.Contents, out.CommonPrefixes = x.contents(p, who)
	return x.answer(out)
}
