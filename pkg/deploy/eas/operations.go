package eas

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is one operation of the API.
type operation struct {
	name   string // as the API names it; what is signed
	method string
	path   string // with {ClusterId}, the region, and {ServiceName}
	what   string // for people; the service's name follows

	repeat repeat
	// gone is set where ErrNotFound, after an attempt whose outcome is not
	// known, means that this attempt did what was asked.
	gone bool
}

// repeat says whether an operation may be asked for again when it is not known
// whether it was carried out.
type repeat int

const (
	once  repeat = iota // never
	again               // the second time changes nothing
	reads               // it never changes anything
)

const (
	services = "/api/v2/services"
	service  = services + "/{ClusterId}/{ServiceName}"
)

// The operations. Merging a change twice makes two versions, and restarting
// twice interrupts twice; the others end in the same state however often they
// are asked for.
var (
	createService          = operation{name: "CreateService", method: http.MethodPost, path: services, what: "create service"}
	updateService          = operation{name: "UpdateService", method: http.MethodPut, path: service, what: "change service"}
	restartService         = operation{name: "RestartService", method: http.MethodPut, path: service + "/restart", what: "restart service"}
	startService           = operation{name: "StartService", method: http.MethodPut, path: service + "/start", what: "start service", repeat: again}
	stopService            = operation{name: "StopService", method: http.MethodPut, path: service + "/stop", what: "stop service", repeat: again}
	deleteService          = operation{name: "DeleteService", method: http.MethodDelete, path: service, what: "delete service", repeat: again, gone: true}
	scaleService           = operation{name: "ScaleService", method: http.MethodPut, path: service + "/scale", what: "scale service", repeat: again}
	releaseService         = operation{name: "ReleaseService", method: http.MethodPut, path: service + "/release", what: "release service", repeat: again}
	updateServiceVersion   = operation{name: "UpdateServiceVersion", method: http.MethodPut, path: service + "/version", what: "switch the version of service", repeat: again}
	deleteServiceInstances = operation{name: "DeleteServiceInstances", method: http.MethodDelete, path: service + "/instances", what: "delete instances of service", repeat: again}
	createAutoScaler       = operation{name: "CreateServiceAutoScaler", method: http.MethodPost, path: service + "/autoscaler", what: "autoscale service", repeat: again}
	updateAutoScaler       = operation{name: "UpdateServiceAutoScaler", method: http.MethodPut, path: service + "/autoscaler", what: "autoscale service", repeat: again}
	deleteAutoScaler       = operation{name: "DeleteServiceAutoScaler", method: http.MethodDelete, path: service + "/autoscaler", what: "stop autoscaling service", repeat: again, gone: true}

	listServices         = operation{name: "ListServices", method: http.MethodGet, path: services, what: "list services", repeat: reads}
	describeService      = operation{name: "DescribeService", method: http.MethodGet, path: service, what: "describe service", repeat: reads}
	listServiceVersions  = operation{name: "ListServiceVersions", method: http.MethodGet, path: service + "/versions", what: "list the versions of service", repeat: reads}
	listServiceInstances = operation{name: "ListServiceInstances", method: http.MethodGet, path: service + "/instances", what: "list the instances of service", repeat: reads}
	describeServiceEvent = operation{name: "DescribeServiceEvent", method: http.MethodGet, path: service + "/events", what: "read the events of service", repeat: reads}
	describeServiceLog   = operation{name: "DescribeServiceLog", method: http.MethodGet, path: service + "/logs", what: "read the log of service", repeat: reads}
	describeAutoScaler   = operation{name: "DescribeServiceAutoScaler", method: http.MethodGet, path: service + "/autoscaler", what: "read the autoscaler of service", repeat: reads}
)

// pathOf fills the operation's path, each parameter encoded by itself.
func (o operation) pathOf(region, name string) string {
	return strings.NewReplacer("{ClusterId}", escape(region), "{ServiceName}", escape(name)).Replace(o.path)
}

// escape encodes all but the unreserved characters of RFC 3986, as signatures
// want it.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
