package ossserver

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strconv"
)

// apiError is an error as OSS tells it.
type apiError struct {
	status int
	code   string
	text   string
	ec     string
	more   []element
}

type element struct{ name, value string }

func (e *apiError) Error() string { return e.code + ": " + e.text }

// message returns a copy of e that says something else.
func (e *apiError) message(text string) *apiError {
	c := *e
	c.text = text
	return &c
}

// with returns a copy of e with one more element in its XML.
func (e *apiError) with(name, value string) *apiError {
	c := *e
	c.more = append(slices.Clone(e.more), element{name, value})
	return &c
}

var (
	errAccessDenied       = &apiError{status: 403, code: "AccessDenied", text: "You have no right to access this object.", ec: "0003-00000001"}
	errBucketExists       = &apiError{status: 409, code: "BucketAlreadyExists", text: "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.", ec: "0015-00000104"}
	errBucketNotEmpty     = &apiError{status: 409, code: "BucketNotEmpty", text: "The bucket has objects. Please delete them first.", ec: "0015-00000301"}
	errEntityTooSmall     = &apiError{status: 400, code: "EntityTooSmall", text: "Your proposed upload smaller than the minimum allowed size.", ec: "0042-00000207"}
	errExpired            = &apiError{status: 403, code: "AccessDenied", text: "Request has expired.", ec: "0002-00000069"}
	errFileExists         = &apiError{status: 409, code: "FileAlreadyExists", text: "The object you specified already exists and can not be overwritten.", ec: "0026-00000003"}
	errIncompleteBody     = &apiError{status: 400, code: "IncompleteBody", text: "You did not provide the number of bytes specified by the Content-Length HTTP header.", ec: "0016-00000501"}
	errInternal           = &apiError{status: 500, code: "InternalError", text: "We encountered an internal error. Please try again.", ec: "0010-00000001"}
	errInvalidAccessKeyID = &apiError{status: 403, code: "InvalidAccessKeyId", text: "The OSS Access Key Id you provided does not exist in our records.", ec: "0002-00000902"}
	errInvalidArgument    = &apiError{status: 400, code: "InvalidArgument", text: "Invalid Argument.", ec: "0002-00000226"}
	errInvalidBucketName  = &apiError{status: 400, code: "InvalidBucketName", text: "The specified bucket is not valid.", ec: "0015-00000001"}
	errInvalidDigest      = &apiError{status: 400, code: "InvalidDigest", text: "The Content-MD5 you specified was invalid.", ec: "0016-00000503"}
	errInvalidObjectName  = &apiError{status: 400, code: "InvalidObjectName", text: "The length of Object name must be less than 1024.", ec: "0016-00000004"}
	errInvalidPart        = &apiError{status: 400, code: "InvalidPart", text: "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.", ec: "0042-00000205"}
	errInvalidPartOrder   = &apiError{status: 400, code: "InvalidPartOrder", text: "The list of parts was not in ascending order. Parts list must specified in order by part number.", ec: "0042-00000204"}
	errInvalidRange       = &apiError{status: 416, code: "InvalidRange", text: "The requested range cannot be satisfied.", ec: "0026-00000101"}
	errInvalidToken       = &apiError{status: 403, code: "InvalidSecurityToken", text: "The security token you provided is invalid.", ec: "0002-00000302"}
	errMalformedXML       = &apiError{status: 400, code: "MalformedXML", text: "The XML you provided was not well-formed or did not validate against our published schema.", ec: "0016-00000401"}
	errNoSuchBucket       = &apiError{status: 404, code: "NoSuchBucket", text: "The specified bucket does not exist.", ec: "0015-00000101"}
	errNoSuchKey          = &apiError{status: 404, code: "NoSuchKey", text: "The specified key does not exist.", ec: "0026-00000001"}
	errNoSuchUpload       = &apiError{status: 404, code: "NoSuchUpload", text: "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.", ec: "0042-00000002"}
	errNotImplemented     = &apiError{status: 501, code: "NotImplemented", text: "A header you provided implies functionality that is not implemented.", ec: "0010-00000020"}
	errNotModified        = &apiError{status: 304, code: "NotModified"}
	errPrecondition       = &apiError{status: 412, code: "PreconditionFailed", text: "At least one of the pre-conditions you specified did not hold.", ec: "0026-00000002"}
	errSignature          = &apiError{status: 403, code: "SignatureDoesNotMatch", text: "The request signature we calculated does not match the signature you provided. Check your key and signing method.", ec: "0002-00000040"}
	errSkewed             = &apiError{status: 403, code: "RequestTimeTooSkewed", text: "The difference between the request time and the current time is too large.", ec: "0002-00000504"}
	errTokenExpired       = &apiError{status: 403, code: "SecurityTokenExpired", text: "The security token you provided has expired.", ec: "0002-00000303"}
)

// fail answers an error, or cuts the connection where nothing else is left.
func (x *exchange) fail(err error) {
	if errors.Is(err, errCut) || x.wrote {
		panic(http.ErrAbortHandler)
	}
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = errInternal.message(err.Error())
	}
	h := x.header()
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Type", "X-Oss-Hash-Crc64ecma"} {
		h.Del(name)
	}
	if e.status == http.StatusNotModified {
		x.start(e.status)
		return
	}
	text := e.xml(x)
	h.Set("Content-Type", "application/xml")
	h.Set("X-Oss-Ec", e.ec)
	if x.r.Method == http.MethodHead {
		h.Set("X-Oss-Err", base64.StdEncoding.EncodeToString(text))
	} else {
		h.Set("Content-Length", strconv.Itoa(len(text)))
	}
	x.start(e.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.Write(text)
	}
}

func (e *apiError) xml(x *exchange) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + "<Error>\n")
	all := []element{{"Code", e.code}, {"Message", e.text}, {"RequestId", x.id}, {"HostId", x.r.Host}}
	all = append(all, e.more...)
	for _, el := range append(all, element{"EC", e.ec}) {
		b.WriteString("  <" + el.name + ">")
		_ = xml.EscapeText(&b, []byte(el.value)) // a buffer takes everything
		b.WriteString("</" + el.name + ">\n")
	}
	b.WriteString("</Error>\n")
	return b.Bytes()
}
