package ossserver_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/test/ossserver"
)

func TestMain(m *testing.M) {
	// The SDK leaves those behind that send parts when one of them has failed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/aliyun/aliyun-oss-go-sdk/oss.worker"))
}

const (
	keyID  = "LTAI5tTestTestTestTest"
	secret = "the-secret-of-the-test"
)

var key = ossserver.Key{ID: keyID, Secret: secret, Account: "1001"}

// rig is a server with a bucket, and clients of it.
type rig struct {
	*ossserver.Server
	*ossserver.Listener
	t   *testing.T
	dir string
	web *http.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	transport := &http.Transport{
		// Every host is this machine, so that buckets can be names of hosts.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, strings.TrimPrefix(r.URL, "http://"))
		},
	}
	r.web = &http.Client{Transport: transport}
	r.start()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		r.Listener.Close()
	})
	return r
}

// start starts the server of the directory, again if need be.
func (r *rig) start() {
	r.t.Helper()
	if r.Listener != nil {
		r.Listener.Close()
		r.web.CloseIdleConnections()
	}
	var err error
	if r.Server, err = ossserver.New(ossserver.Options{Dir: r.dir}); err != nil {
		r.t.Fatal(err)
	}
	r.SetKey(key)
	if err := r.CreateBucket("models", key.Account); err != nil {
		r.t.Fatal(err)
	}
	if r.Listener, err = r.Listen("127.0.0.1:0"); err != nil {
		r.t.Fatal(err)
	}
}

// client returns a client of the vendor's SDK.
func (r *rig) client(k ossserver.Key, options ...oss.ClientOption) *oss.Client {
	r.t.Helper()
	options = append([]oss.ClientOption{
		oss.HTTPClient(r.web), oss.Region(ossserver.DefaultRegion), oss.AuthVersion(oss.AuthV4), oss.SecurityToken(k.Token),
	}, options...)
	c, err := oss.New(r.URL, k.ID, k.Secret, options...)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) bucket(options ...oss.ClientOption) *oss.Bucket { return r.bucketOf(key, options...) }

func (r *rig) bucketOf(k ossserver.Key, options ...oss.ClientOption) *oss.Bucket {
	r.t.Helper()
	b, err := r.client(k, options...).Bucket("models")
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func crcOf(b []byte) string {
	return strconv.FormatUint(crc64.Checksum(b, crc64.MakeTable(crc64.ECMA)), 10)
}

// get reads an object; its checksum has been held against the server's.
func (r *rig) get(b *oss.Bucket, name string, options ...oss.Option) []byte {
	r.t.Helper()
	var header http.Header
	body, err := b.GetObject(name, append(options, oss.GetResponseHeader(&header))...)
	if err != nil {
		r.t.Fatalf("get %s: %v", name, err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatalf("get %s: %v", name, err)
	}
	if header.Get("Content-Range") == "" && header.Get("X-Oss-Hash-Crc64ecma") != crcOf(got) {
		r.t.Fatalf("the CRC-64 of %s is %s, the header says %s", name, crcOf(got), header.Get("X-Oss-Hash-Crc64ecma"))
	}
	return got
}

// code returns the code of a service's error.
func code(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[oss.ServiceError](err)
	if !ok {
		t.Fatalf("%v is no answer of the service", err)
	}
	if e.RequestID == "" || e.Ec == "" || e.HostID == "" {
		t.Errorf("%#v lacks something that OSS says", e)
	}
	return e.Code
}

// Every way to sign, and every way to name a bucket, works for every kind of
// request that the SDK signs differently.
func TestSignatures(t *testing.T) {
	r := newRig(t)
	sts := ossserver.Key{ID: "STS.NTest", Secret: "temporary", Token: "token+with/odd=characters", Account: key.Account, Expires: time.Now().Add(time.Hour)}
	r.SetKey(sts)
	body := noise(5000)
	for _, version := range []oss.AuthVersionType{oss.AuthV1, oss.AuthV4} {
		for _, k := range []ossserver.Key{key, sts} {
			for _, host := range []string{"", "http://oss-cn-shanghai.aliyuncs.com", "http://oss-cn-shanghai-internal.aliyuncs.com", "http://localhost"} {
				t.Run(fmt.Sprintf("%s/%s/%s", version, k.ID, strings.TrimPrefix(host, "http://")), func(t *testing.T) {
					options := []oss.ClientOption{oss.AuthVersion(version), oss.AdditionalHeaders([]string{"host", "cache-control"})}
					b := r.bucketOf(k, options...)
					if host != "" {
						c, err := oss.New(host, k.ID, k.Secret, append([]oss.ClientOption{
							oss.HTTPClient(r.web), oss.Region(ossserver.DefaultRegion), oss.SecurityToken(k.Token),
						}, options...)...)
						if err != nil {
							t.Fatal(err)
						}
						if b, err = c.Bucket("models"); err != nil {
							t.Fatal(err)
						}
					}
					name := "a b/ä+%2F&=?#~/" + k.ID
					err := b.PutObject(name, bytes.NewReader(body), oss.Meta("By", "me"), oss.ContentType("text/x; y=z"), oss.CacheControl("no-store"))
					if err != nil {
						t.Fatal(err)
					}
					header, err := b.GetObjectDetailedMeta(name)
					if err != nil {
						t.Fatal(err)
					}
					for name, want := range map[string]string{
						"Content-Length": "5000", "X-Oss-Meta-By": "me", "Content-Type": "text/x; y=z", "Cache-Control": "no-store",
						"X-Oss-Hash-Crc64ecma": crcOf(body), "ETag": fmt.Sprintf("\"%X\"", md5.Sum(body)), "X-Oss-Object-Type": "Normal",
					} {
						if got := header.Get(name); got != want {
							t.Errorf("%s is %q, want %q", name, got, want)
						}
					}
					if got := r.get(b, name, oss.ResponseContentType("a/b")); !bytes.Equal(got, body) {
						t.Error("it came back otherwise")
					}
					found, err := b.ListObjects(oss.Prefix("a b/ä+"), oss.Delimiter("~/"))
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]string{"a b/ä+%2F&=?#~/"}, found.CommonPrefixes); diff != "" {
						t.Error(diff)
					}

					put, err := b.SignURL("signed", oss.HTTPPut, 60, oss.ContentType("text/plain"))
					if err != nil {
						t.Fatal(err)
					}
					if err := b.PutObjectWithURL(put, bytes.NewReader(body), oss.ContentType("text/plain")); err != nil {
						t.Fatal(err)
					}
					get, err := b.SignURL("signed", oss.HTTPGet, 60)
					if err != nil {
						t.Fatal(err)
					}
					answer, err := b.GetObjectWithURL(get)
					if err != nil {
						t.Fatal(err)
					}
					defer answer.Close()
					if got, err := io.ReadAll(answer); err != nil || !bytes.Equal(got, body) {
						t.Errorf("it came back otherwise: %v", err)
					}
					if _, err := b.GetObjectWithURL(strings.Replace(get, "signed", "other", 1)); code(t, err) != "SignatureDoesNotMatch" {
						t.Errorf("another object with the signature: %v", err)
					}
				})
			}
		}
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	r.SetKey(ossserver.Key{ID: "STS.good", Secret: "s", Token: "token", Account: key.Account})
	r.SetKey(ossserver.Key{ID: "STS.old", Secret: "s", Token: "token", Account: key.Account, Expires: time.Now().Add(-time.Minute)})
	r.SetKey(ossserver.Key{ID: "stranger", Secret: "s", Account: "1002"})
	r.SetKey(ossserver.Key{ID: "reader", Secret: "s", Account: key.Account, ReadOnly: true})
	tests := []struct {
		name string
		key  ossserver.Key
		skew time.Duration
		more []oss.ClientOption
		want string
	}{
		{name: "unknown id", key: ossserver.Key{ID: "nobody", Secret: secret}, want: "InvalidAccessKeyId"},
		{name: "wrong secret", key: ossserver.Key{ID: keyID, Secret: "wrong"}, want: "SignatureDoesNotMatch"},
		{name: "no token", key: ossserver.Key{ID: "STS.good", Secret: "s"}, want: "InvalidAccessKeyId"},
		{name: "wrong token", key: ossserver.Key{ID: "STS.good", Secret: "s", Token: "other"}, want: "InvalidSecurityToken"},
		{name: "token of none", key: ossserver.Key{ID: keyID, Secret: secret, Token: "other"}, want: "InvalidSecurityToken"},
		{name: "expired token", key: ossserver.Key{ID: "STS.old", Secret: "s", Token: "token"}, want: "SecurityTokenExpired"},
		{name: "server's clock ahead", key: key, skew: 16 * time.Minute, want: "RequestTimeTooSkewed"},
		{name: "server's clock behind", key: key, skew: -16 * time.Minute, want: "RequestTimeTooSkewed"},
		{name: "another account's", key: ossserver.Key{ID: "stranger", Secret: "s"}, want: "AccessDenied"},
		{name: "no right to write", key: ossserver.Key{ID: "reader", Secret: "s"}, want: "AccessDenied"},
	}
	for _, version := range []oss.AuthVersionType{oss.AuthV1, oss.AuthV4} {
		for _, test := range tests {
			t.Run(string(version)+"/"+test.name, func(t *testing.T) {
				r.SetSkew(test.skew)
				defer r.SetSkew(0)
				b := r.bucketOf(test.key, oss.AuthVersion(version))
				if got := code(t, b.PutObject("x", strings.NewReader("x"))); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			})
		}
	}
	t.Run("another region's signature", func(t *testing.T) {
		if err := r.bucket(oss.Region("cn-hangzhou")).PutObject("x", strings.NewReader("x")); code(t, err) != "InvalidArgument" {
			t.Error(err)
		}
	})
	t.Run("another region's endpoint", func(t *testing.T) {
		c, err := oss.New("http://oss-cn-hangzhou.aliyuncs.com", keyID, secret, oss.HTTPClient(r.web), oss.Region("cn-hangzhou"), oss.AuthVersion(oss.AuthV4))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := c.Bucket("models")
		err = b.PutObject("x", strings.NewReader("x"))
		e, ok := errors.AsType[oss.ServiceError](err)
		if !ok || e.Code != "AccessDenied" || e.Endpoint != "oss-cn-shanghai.aliyuncs.com" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such bucket", func(t *testing.T) {
		b, _ := r.client(key).Bucket("missing")
		if err := b.PutObject("x", strings.NewReader("x")); code(t, err) != "NoSuchBucket" {
			t.Error(err)
		}
	})
	t.Run("no signature", func(t *testing.T) {
		resp, err := r.web.Get(r.URL + "/models/x")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("got %s", resp.Status)
		}
	})
	t.Run("an expired address", func(t *testing.T) {
		for _, version := range []oss.AuthVersionType{oss.AuthV1, oss.AuthV4} {
			b := r.bucket(oss.AuthVersion(version))
			signed, err := b.SignURL("x", oss.HTTPGet, 600)
			if err != nil {
				t.Fatal(err)
			}
			r.SetSkew(11 * time.Minute)
			if _, err := b.GetObjectWithURL(signed); code(t, err) != "AccessDenied" || !strings.Contains(err.Error(), "expired") {
				t.Errorf("%s: %v", version, err)
			}
			r.SetSkew(0)
		}
	})
	if found, err := r.bucket().ListObjects(); err != nil || len(found.Objects) != 0 {
		t.Errorf("there is something now: %v, %v", found.Objects, err)
	}
}

func TestObjects(t *testing.T) {
	r := newRig(t)
	b := r.bucket()
	body := noise(3000)
	if err := b.PutObject("x", bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	t.Run("ranges", func(t *testing.T) {
		for _, test := range []struct {
			header, behavior string
			want             []byte
		}{
			{"bytes=0-0", "", body[:1]},
			{"bytes=1000-1999", "", body[1000:2000]},
			{"bytes=2999-", "", body[2999:]},
			{"bytes=-10", "", body[2990:]},
			{"bytes=3000-", "", body},
			{"bytes=2000-4000", "", body},
			{"bytes=2000-4000", "standard", body[2000:]},
			{"lines=1-2", "", body},
		} {
			got := r.get(b, "x", oss.SetHeader("Range", test.header), oss.SetHeader("x-oss-range-behavior", test.behavior))
			if !bytes.Equal(got, test.want) {
				t.Errorf("%s %s: %d bytes, want %d", test.header, test.behavior, len(got), len(test.want))
			}
		}
		_, err := b.GetObject("x", oss.SetHeader("Range", "bytes=3000-"), oss.RangeBehavior("standard"))
		if code(t, err) != "InvalidRange" {
			t.Error(err)
		}
	})
	t.Run("conditions", func(t *testing.T) {
		etag := fmt.Sprintf("\"%X\"", md5.Sum(body))
		r.get(b, "x", oss.IfMatch(etag))
		if _, err := b.GetObject("x", oss.IfMatch(`"other"`)); code(t, err) != "PreconditionFailed" {
			t.Error(err)
		}
		if _, err := b.GetObject("x", oss.IfNoneMatch(etag)); err == nil || !strings.Contains(err.Error(), "304") {
			t.Error(err)
		}
		if _, err := b.GetObject("x", oss.IfModifiedSince(time.Now().Add(time.Hour))); err == nil || !strings.Contains(err.Error(), "304") {
			t.Error(err)
		}
	})
	t.Run("content MD5", func(t *testing.T) {
		sum := md5.Sum(body)
		if err := b.PutObject("y", bytes.NewReader(body), oss.ContentMD5(base64.StdEncoding.EncodeToString(sum[:]))); err != nil {
			t.Error(err)
		}
		if err := b.PutObject("y", bytes.NewReader(body[1:]), oss.ContentMD5(base64.StdEncoding.EncodeToString(sum[:]))); code(t, err) != "InvalidDigest" {
			t.Error(err)
		}
	})
	t.Run("no overwriting", func(t *testing.T) {
		if err := b.PutObject("x", strings.NewReader("other"), oss.ForbidOverWrite(true)); code(t, err) != "FileAlreadyExists" {
			t.Error(err)
		}
		if err := b.PutObject("z", strings.NewReader("new"), oss.ForbidOverWrite(true)); err != nil {
			t.Error(err)
		}
	})
	t.Run("copies", func(t *testing.T) {
		if err := b.PutObject("from é", bytes.NewReader(body), oss.Meta("a", "b")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.CopyObject("from é", "to é"); err != nil {
			t.Fatal(err)
		}
		header, err := b.GetObjectDetailedMeta("to é")
		if err != nil || header.Get("X-Oss-Meta-A") != "b" {
			t.Errorf("%v, %v", header, err)
		}
		if got := r.get(b, "to é"); !bytes.Equal(got, body) {
			t.Error("it came back otherwise")
		}
		if _, err := b.CopyObject("missing", "to"); code(t, err) != "NoSuchKey" {
			t.Error(err)
		}
	})
	t.Run("deletion", func(t *testing.T) {
		deleted, err := b.DeleteObjects([]string{"from é", "to é", "missing"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"from é", "to é", "missing"}, deleted.DeletedObjects); diff != "" {
			t.Error(diff)
		}
		if err := b.DeleteObject("z"); err != nil {
			t.Error(err)
		}
		if there, err := b.IsObjectExist("z"); err != nil || there {
			t.Errorf("%v, %v", there, err)
		}
	})
	t.Run("buckets", func(t *testing.T) {
		c := r.client(key)
		if err := c.CreateBucket("second"); err != nil {
			t.Fatal(err)
		}
		all, err := c.ListBuckets()
		if err != nil || len(all.Buckets) != 2 || all.Buckets[1].Name != "second" {
			t.Errorf("%v, %v", all, err)
		}
		if where, err := c.GetBucketLocation("second"); err != nil || where != "oss-cn-shanghai" {
			t.Errorf("%s, %v", where, err)
		}
		info, err := c.GetBucketInfo("second")
		if err != nil || info.BucketInfo.IntranetEndpoint != "oss-cn-shanghai-internal.aliyuncs.com" || info.BucketInfo.ACL != "private" {
			t.Errorf("%v, %v", info, err)
		}
		if err := c.DeleteBucket("models"); code(t, err) != "BucketNotEmpty" {
			t.Error(err)
		}
		if err := c.DeleteBucket("second"); err != nil {
			t.Error(err)
		}
	})
}

func TestList(t *testing.T) {
	r := newRig(t)
	b := r.bucket()
	var names []string
	for _, name := range []string{"a", "a b", "a/1", "a/2", "a/b/1", "a0", "b/1", "ä/\x01"} {
		names = append(names, name)
		if err := b.PutObject(name, strings.NewReader(name)); err != nil {
			t.Fatal(err)
		}
	}
	type found struct{ Keys, Prefixes []string }
	tests := []struct {
		prefix, delimiter string
		want              found
	}{
		{"", "", found{Keys: names}},
		{"", "/", found{[]string{"a", "a b", "a0"}, []string{"a/", "b/", "ä/"}}},
		{"a/", "/", found{[]string{"a/1", "a/2"}, []string{"a/b/"}}},
		{"a/b", "", found{Keys: []string{"a/b/1"}}},
		{"none", "/", found{}},
	}
	for _, test := range tests {
		for most := 1; most <= len(names)+1; most++ {
			var v1, v2 found
			for marker, more := "", true; more; {
				page, err := b.ListObjects(oss.Prefix(test.prefix), oss.Delimiter(test.delimiter), oss.MaxKeys(most), oss.Marker(marker))
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range page.Objects {
					v1.Keys = append(v1.Keys, o.Key)
					if o.Size != int64(len(o.Key)) || o.LastModified.IsZero() || o.ETag == "" {
						t.Errorf("%+v", o)
					}
				}
				v1.Prefixes = append(v1.Prefixes, page.CommonPrefixes...)
				marker, more = page.NextMarker, page.IsTruncated
			}
			for token, more := "", true; more; {
				options := []oss.Option{oss.Prefix(test.prefix), oss.Delimiter(test.delimiter), oss.MaxKeys(most)}
				if token != "" {
					options = append(options, oss.ContinuationToken(token))
				}
				page, err := b.ListObjectsV2(options...)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range page.Objects {
					v2.Keys = append(v2.Keys, o.Key)
				}
				v2.Prefixes = append(v2.Prefixes, page.CommonPrefixes...)
				token, more = page.NextContinuationToken, page.IsTruncated
			}
			if diff := cmp.Diff(test.want, v1); diff != "" {
				t.Errorf("V1 of %q by %q, %d a page: %s", test.prefix, test.delimiter, most, diff)
			}
			if diff := cmp.Diff(test.want, v2); diff != "" {
				t.Errorf("V2 of %q by %q, %d a page: %s", test.prefix, test.delimiter, most, diff)
			}
		}
	}
	// Not every client takes a plus for a space.
	raw, err := b.Client.Conn.Do("GET", "models", "", map[string]any{"encoding-type": "url"}, nil, nil, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Body.Close()
	if text, err := io.ReadAll(raw.Body); err != nil || !strings.Contains(string(text), "<Key>a%20b</Key>") {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := b.ListObjects(oss.MaxKeys(1001)); code(t, err) != "InvalidArgument" {
		t.Error(err)
	}
}

const partSize = 100 << 10

// sent sends body in parts but does not complete it.
func (r *rig) sent(b *oss.Bucket, name string, body []byte) (oss.InitiateMultipartUploadResult, []oss.UploadPart) {
	r.t.Helper()
	up, err := b.InitiateMultipartUpload(name, oss.Meta("from", "parts"))
	if err != nil {
		r.t.Fatal(err)
	}
	var parts []oss.UploadPart
	for i := 0; i*partSize < len(body); i++ {
		piece := body[i*partSize : min(len(body), (i+1)*partSize)]
		p, err := b.UploadPart(up, bytes.NewReader(piece), int64(len(piece)), i+1)
		if err != nil {
			r.t.Fatal(err)
		}
		parts = append(parts, p)
	}
	return up, parts
}

func TestMultipart(t *testing.T) {
	r := newRig(t)
	b := r.bucket()
	body := noise(3*partSize + 17)
	up, parts := r.sent(b, "big", body)

	t.Run("the parts are listed", func(t *testing.T) {
		for most := 1; most <= 5; most++ {
			var sizes []int
			for marker, more := 0, true; more; {
				page, err := b.ListUploadedParts(up, oss.MaxParts(most), oss.PartNumberMarker(marker))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page.UploadedParts {
					sizes = append(sizes, p.Size)
				}
				marker, _ = strconv.Atoi(page.NextPartNumberMarker)
				more = page.IsTruncated
			}
			if diff := cmp.Diff([]int{partSize, partSize, partSize, 17}, sizes); diff != "" {
				t.Errorf("%d a page: %s", most, diff)
			}
		}
		page, err := b.ListMultipartUploads(oss.Prefix("b"))
		if err != nil || len(page.Uploads) != 1 || page.Uploads[0].Key != "big" || page.Uploads[0].UploadID != up.UploadID {
			t.Errorf("%+v, %v", page, err)
		}
	})
	t.Run("what cannot be completed", func(t *testing.T) {
		wrong := func(change func([]oss.UploadPart) []oss.UploadPart) string {
			_, err := b.CompleteMultipartUpload(up, change(append([]oss.UploadPart(nil), parts...)))
			return code(t, err)
		}
		if got := wrong(func(p []oss.UploadPart) []oss.UploadPart { p[1].ETag = p[0].ETag; return p }); got != "InvalidPart" {
			t.Errorf("another ETag: %s", got)
		}
		if got := wrong(func(p []oss.UploadPart) []oss.UploadPart { p[3].PartNumber = 9; return p }); got != "InvalidPart" {
			t.Errorf("a part that is missing: %s", got)
		}
		if got := wrong(func(p []oss.UploadPart) []oss.UploadPart { p[1] = p[0]; return p }); got != "InvalidPartOrder" {
			t.Errorf("a part twice: %s", got)
		}
		if got := wrong(func([]oss.UploadPart) []oss.UploadPart { return nil }); got != "MalformedXML" {
			t.Errorf("no part: %s", got)
		}
		small, _ := r.sent(b, "small", nil)
		var of []oss.UploadPart
		for n := 1; n <= 2; n++ {
			p, err := b.UploadPart(small, strings.NewReader("small"), 5, n)
			if err != nil {
				t.Fatal(err)
			}
			of = append(of, p)
		}
		if _, err := b.CompleteMultipartUpload(small, of); code(t, err) != "EntityTooSmall" {
			t.Error(err)
		}
		if err := b.AbortMultipartUpload(small); err != nil {
			t.Error(err)
		}
	})
	t.Run("a restart, and it is completed", func(t *testing.T) {
		r.start()
		b := r.bucket()
		done, err := b.CompleteMultipartUpload(up, parts)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(done.ETag, `-4"`) || done.Key != "big" {
			t.Errorf("%+v", done)
		}
		if got := r.get(b, "big"); !bytes.Equal(got, body) {
			t.Error("it came back otherwise")
		}
		if got := r.get(b, "big", oss.Range(partSize-5, 2*partSize+5)); !bytes.Equal(got, body[partSize-5:2*partSize+6]) {
			t.Error("a range over three parts came back otherwise")
		}
		header, err := b.GetObjectDetailedMeta("big")
		if err != nil || header.Get("X-Oss-Object-Type") != "Multipart" || header.Get("X-Oss-Meta-From") != "parts" {
			t.Errorf("%v, %v", header, err)
		}
		if _, err := b.CompleteMultipartUpload(up, parts); code(t, err) != "NoSuchUpload" {
			t.Error(err)
		}
		if err := b.AbortMultipartUpload(up); code(t, err) != "NoSuchUpload" {
			t.Error(err)
		}
	})
	t.Run("copied parts", func(t *testing.T) {
		b := r.bucket()
		to, err := b.InitiateMultipartUpload("changed")
		if err != nil {
			t.Fatal(err)
		}
		first, err := b.UploadPartCopy(to, "models", "big", 0, 2*partSize, 1)
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.UploadPart(to, strings.NewReader("and an end"), 10, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.CompleteMultipartUpload(to, []oss.UploadPart{first, second}); err != nil {
			t.Fatal(err)
		}
		if got := r.get(b, "changed"); !bytes.Equal(got, append(bytes.Clone(body[:2*partSize]), "and an end"...)) {
			t.Error("it came back otherwise")
		}
	})
	t.Run("what is given up leaves nothing", func(t *testing.T) {
		b := r.bucket()
		up, _ := r.sent(b, "x", body)
		if err := b.AbortMultipartUpload(up); err != nil {
			t.Fatal(err)
		}
		r.sent(b, "y", body)
		r.ExpireUploads("models")
		for _, name := range []string{"big", "changed"} {
			if err := b.DeleteObject(name); err != nil {
				t.Fatal(err)
			}
		}
		left, err := filepath.Glob(filepath.Join(r.dir, "buckets", "models", "data", "*"))
		if err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if left := r.Uploads("models"); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// The SDK's own resumable transfers, with several parts at a time.
func TestResumable(t *testing.T) {
	r := newRig(t)
	b := r.bucket()
	dir := t.TempDir()
	body := noise(20*partSize + 5)
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, body, 0o600); err != nil {
		t.Fatal(err)
	}
	checkpoint := oss.Checkpoint(true, filepath.Join(dir, "checkpoint"))
	r.Inject(ossserver.Fault{Operation: ossserver.UploadPart, Part: 7, Action: ossserver.Fail, Status: 403, Code: "AccessDenied"})
	if err := b.UploadFile("file", from, partSize, checkpoint, oss.Routines(3)); err == nil {
		t.Fatal("it went well")
	}
	r.start()
	b = r.bucket()
	if err := b.UploadFile("file", from, partSize, checkpoint, oss.Routines(3)); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := r.Count(ossserver.UploadPart); n == 0 || n > 20 {
		t.Errorf("%d parts were sent the second time", n)
	}
	if err := b.DownloadFile("file", to, partSize, oss.Routines(3)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, body) {
		t.Errorf("it came back otherwise: %v", err)
	}
	if err := b.CopyFile("models", "file", "copy", partSize, oss.Routines(3)); err != nil {
		t.Fatal(err)
	}
	if got := r.get(b, "copy"); !bytes.Equal(got, body) {
		t.Error("the copy came back otherwise")
	}
}
