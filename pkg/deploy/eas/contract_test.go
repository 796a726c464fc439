package eas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/deploy"
)

func logsOf(instance string) deploy.LogsRequest { return deploy.LogsRequest{Instance: instance} }

func at(text string) time.Time {
	when, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return when
}

const serviceBody = `{"RequestId":"R-1","AccessToken":"MzJi","AutoscalerEnabled":true,"CallerUid":"201","Cpu":1,
	"CreateTime":"2021-01-29T11:13:20Z","CurrentVersion":2,"ExtraData":"{\"blue_green_services\":[\"test\"]}","Gpu":0,
	"Image":"registry/echo:v0.0.1","InternetEndpoint":"http://10123.cn-test.aliyuncs.com/api/predict/echo",
	"IntranetEndpoint":"http://10123.vpc.cn-test.aliyuncs.com/api/predict/echo",
	"Labels":[{"LabelKey":"team","LabelValue":"a"},{"LabelKey":"n","LabelValue":1}],"LatestVersion":"3","Memory":1024,
	"Message":"Service start successfully","PendingInstance":0,"Reason":"RUNNING","Resource":"eas-r-x","RunningInstance":1,
	"SafetyLock":"dangerous","ServiceConfig":"{\"metadata\":{\"cpu\":1,\"instance\":1},\"name\":\"echo\"}","ServiceGroup":"g",
	"ServiceId":"eas-m-x","ServiceName":"echo","Status":"Running","TotalInstance":1,"TrafficState":"standalone",
	"UpdateTime":"2021-01-29 11:13:21","Weight":100,"WorkspaceId":"123445","SomethingNew":{"a":[1]}}`

var serviceValue = deploy.Service{
	Name: "echo", ID: "eas-m-x", Region: testRegion, Status: deploy.Running, Reason: "RUNNING", Message: "Service start successfully",
	CreateTime: at("2021-01-29 11:13:20"), UpdateTime: at("2021-01-29 11:13:21"),
	TotalInstances: 1, RunningInstances: 1, CPU: 1, MemoryMB: 1024, Image: "registry/echo:v0.0.1",
	Weight: 100, Group: "g", TrafficState: "standalone", LatestVersion: 3, CurrentVersion: 2,
	InternetEndpoint: "http://10123.cn-test.aliyuncs.com/api/predict/echo",
	IntranetEndpoint: "http://10123.vpc.cn-test.aliyuncs.com/api/predict/echo",
	AccessToken:      "MzJi", Resource: "eas-r-x", WorkspaceID: "123445",
	Labels: map[string]string{"team": "a", "n": "1"}, SafetyLock: "dangerous", Autoscaled: true,
	Description: json.RawMessage(`{"metadata":{"cpu":1,"instance":1},"name":"echo"}`),
}

// TestContract checks, for every method, what is sent and what is made of what
// the reference says is answered.
func TestContract(t *testing.T) {
	const path = "/api/v2/services/cn-test/echo"
	done := deploy.Reply{RequestID: "R-1", Message: "done"}
	did := []string{`{"RequestId":"R-1","Message":"done"}`}
	weight, zero, delay := 40, 0, 300
	tests := []struct {
		name    string
		do      func(t *testing.T, target *Target) (any, error)
		answers []string
		want    []got
		result  any
	}{
		{
			name: "create",
			do: func(t *testing.T, target *Target) (any, error) {
				return target.Create(t.Context(), deploy.CreateRequest{
					Name:        "echo",
					Description: json.RawMessage(`{"name":"echo","metadata":{"instance":1,"workspace_id":"77"},"x":"<&>"}`),
					Labels:      map[string]string{"b": "2", "a": "1"},
				})
			},
			answers: []string{`{"RequestId":"R-1","ServiceId":"eas-m-1","ServiceName":"echo","Status":"Creating","Region":"cn-test",
				"InternetEndpoint":"http://a/api/predict/echo","IntranetEndpoint":"http://b/api/predict/echo"}`},
			want: []got{{
				Line:   "POST /api/v2/services?Labels=%7B%22a%22%3A%221%22%2C%22b%22%3A%222%22%7D&WorkspaceId=77",
				Body:   `{"name":"echo","metadata":{"instance":1,"workspace_id":"77"},"x":"<&>"}`,
				Action: "CreateService",
			}},
			result: &deploy.Created{
				Reply: deploy.Reply{RequestID: "R-1"}, ServiceID: "eas-m-1", Status: deploy.Creating, Region: "cn-test",
				InternetEndpoint: "http://a/api/predict/echo", IntranetEndpoint: "http://b/api/predict/echo",
			},
		},
		{
			name: "merge",
			do: func(t *testing.T, target *Target) (any, error) {
				return target.Update(t.Context(), "echo", deploy.UpdateRequest{Description: json.RawMessage(`{"metadata":{"cpu":2}}`)})
			},
			answers: did,
			want:    []got{{Line: "PUT " + path + "?UpdateType=merge", Body: `{"metadata":{"cpu":2}}`, Action: "UpdateService"}},
			result:  done,
		},
		{
			name: "replace",
			do: func(t *testing.T, target *Target) (any, error) {
				return target.Update(t.Context(), "echo", deploy.UpdateRequest{Description: json.RawMessage(`{"name":"echo"}`), Replace: true})
			},
			answers: did,
			want:    []got{{Line: "PUT " + path + "?UpdateType=replace", Body: `{"name":"echo"}`, Action: "UpdateService"}},
			result:  done,
		},
		{
			name:    "describe",
			do:      func(t *testing.T, target *Target) (any, error) { return target.Describe(t.Context(), "echo") },
			answers: []string{serviceBody},
			want:    []got{{Line: "GET " + path, Action: "DescribeService"}},
			result:  &serviceValue,
		},
		{
			name: "list",
			do: func(t *testing.T, target *Target) (any, error) {
				list, reply, err := target.List(t.Context(), deploy.ListRequest{Filter: "e o", Group: "g", Status: deploy.Running, Labels: map[string]string{"k": "v"}})
				return []any{list, reply}, err
			},
			// b moves to the second page while the first is read.
			answers: []string{
				`{"RequestId":"R-1","PageNumber":1,"PageSize":100,"TotalCount":3,"Services":[{"ServiceName":"c"},{"ServiceName":"b","Weight":"7"}]}`,
				`{"RequestId":"R-2","PageNumber":2,"PageSize":100,"TotalCount":"4","Services":[{"ServiceName":"b"},{"ServiceName":"a","Region":"r"}]}`,
			},
			want: []got{
				{Line: "GET /api/v2/services?Filter=e%20o&GroupName=g&Label=%7B%22k%22%3A%22v%22%7D&PageNumber=1&PageSize=100&ServiceStatus=Running", Action: "ListServices"},
				{Line: "GET /api/v2/services?Filter=e%20o&GroupName=g&Label=%7B%22k%22%3A%22v%22%7D&PageNumber=2&PageSize=100&ServiceStatus=Running", Action: "ListServices"},
			},
			result: []any{
				[]deploy.Service{{Name: "a", Region: "r"}, {Name: "b", Region: testRegion, Weight: 7}, {Name: "c", Region: testRegion}},
				deploy.Reply{RequestID: "R-1"},
			},
		},
		{
			name: "list of nothing",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.List(t.Context(), deploy.ListRequest{})
				return list, err
			},
			answers: []string{`{"RequestId":"R-1","TotalCount":0,"Services":null}`},
			want:    []got{{Line: "GET /api/v2/services?PageNumber=1&PageSize=100", Action: "ListServices"}},
			result:  []deploy.Service{},
		},
		{
			name: "start, stop, restart, delete",
			do: func(t *testing.T, target *Target) (any, error) {
				var replies []deploy.Reply
				for _, action := range []deploy.Action{deploy.Start, deploy.Stop, deploy.Restart, deploy.Delete} {
					reply, err := target.Act(t.Context(), "echo", action)
					if err != nil {
						return nil, err
					}
					replies = append(replies, reply)
				}
				return replies, nil
			},
			answers: did,
			want: []got{
				{Line: "PUT " + path + "/start", Action: "StartService"},
				{Line: "PUT " + path + "/stop", Action: "StopService"},
				{Line: "PUT " + path + "/restart", Action: "RestartService"},
				{Line: "DELETE " + path, Action: "DeleteService"},
			},
			result: []deploy.Reply{done, done, done, done},
		},
		{
			name:    "scale",
			do:      func(t *testing.T, target *Target) (any, error) { return target.Scale(t.Context(), "echo", 3) },
			answers: did,
			want:    []got{{Line: "PUT " + path + "/scale", Body: `{"Instance":3}`, Action: "ScaleService"}},
			result:  done,
		},
		{
			name: "release",
			do: func(t *testing.T, target *Target) (any, error) {
				if _, err := target.Release(t.Context(), "echo", deploy.ReleaseRequest{Weight: &zero}); err != nil {
					return nil, err
				}
				return target.Release(t.Context(), "echo", deploy.ReleaseRequest{Weight: &weight, TrafficState: "grouping"})
			},
			answers: did,
			want: []got{
				{Line: "PUT " + path + "/release", Body: `{"Weight":0}`, Action: "ReleaseService"},
				{Line: "PUT " + path + "/release", Body: `{"Weight":40,"TrafficState":"grouping"}`, Action: "ReleaseService"},
			},
			result: done,
		},
		{
			name: "versions",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Versions(t.Context(), "echo")
				return list, err
			},
			answers: []string{`{"RequestId":"R-1","PageNumber":1,"PageSize":100,"TotalCount":3,"Versions":[
				{"BuildTime":"2021-01-29 11:13:20","ImageAvailable":"true","ImageId":1,"Message":"ok","ServiceConfig":"{\"name\":\"echo\"}","ServiceRunnable":"true"},
				{"BuildTime":"2021-01-30T11:13:20Z","ImageAvailable":"false","ImageId":"3","ServiceConfig":{"name":"echo"},"ServiceRunnable":false},
				{"BuildTime":"","ImageAvailable":"unknown","ImageId":2}]}`},
			want: []got{{Line: "GET " + path + "/versions?PageNumber=1&PageSize=100", Action: "ListServiceVersions"}},
			result: []deploy.Version{
				{ID: 3, BuildTime: at("2021-01-30 11:13:20"), Description: json.RawMessage(`{"name":"echo"}`)},
				{ID: 2, ImageAvailable: true, Runnable: true},
				{ID: 1, BuildTime: at("2021-01-29 11:13:20"), ImageAvailable: true, Runnable: true, Message: "ok", Description: json.RawMessage(`{"name":"echo"}`)},
			},
		},
		{
			name:    "switch version",
			do:      func(t *testing.T, target *Target) (any, error) { return target.SwitchVersion(t.Context(), "echo", 2) },
			answers: did,
			want:    []got{{Line: "PUT " + path + "/version", Body: `{"Version":2}`, Action: "UpdateServiceVersion"}},
			result:  done,
		},
		{
			name: "instances",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Instances(t.Context(), "echo")
				return list, err
			},
			answers: []string{`{"RequestId":"R-1","TotalCount":4,"Instances":[
				{"InstanceName":"echo-4","LastState":"{\"reason\":\"OOMKilled\",\"exitCode\":137}"},
				{"InstanceName":"echo-1","InnerIP":"10.240.0.12","HostIP":"10.224.0.3","StartAt":"2021-09-27T07:04:22Z","RestartCount":1,"Status":"Running",
				 "ReadyProcesses":1,"TotalProcesses":1,"Reason":"","IsSpot":false,
				 "LastState":[{"exitCode":1,"reason":"Error","startedAt":"2021-09-27T01:00:00Z","finishedAt":"2021-09-27T02:00:00Z"},
				              {"exitCode":247,"reason":"OOMKilled","startedAt":"2021-09-27T05:36:56Z","finishedAt":"2021-09-27T07:04:21Z","message":"m"},{}]},
				{"InstanceName":"echo-3","LastState":{"exitCode":"2","reason":"Error"}},
				{"InstanceName":"echo-2","StartTime":"2021-09-27 07:04:22","LastState":[]}]}`},
			want: []got{{Line: "GET " + path + "/instances?PageNumber=1&PageSize=100", Action: "ListServiceInstances"}},
			result: []deploy.Instance{
				{
					Name: "echo-1", InnerIP: "10.240.0.12", HostIP: "10.224.0.3", StartTime: at("2021-09-27 07:04:22"), Restarts: 1, Status: "Running", ReadyProcesses: 1, TotalProcesses: 1,
					Last: &deploy.LastState{ExitCode: 247, Reason: "OOMKilled", StartedAt: at("2021-09-27 05:36:56"), FinishedAt: at("2021-09-27 07:04:21"), Message: "m"},
				},
				{Name: "echo-2", StartTime: at("2021-09-27 07:04:22")},
				{Name: "echo-3", Last: &deploy.LastState{ExitCode: 2, Reason: "Error"}},
				{Name: "echo-4", Last: &deploy.LastState{ExitCode: 137, Reason: "OOMKilled"}},
			},
		},
		{
			name: "delete instances",
			do: func(t *testing.T, target *Target) (any, error) {
				return target.DeleteInstances(t.Context(), "echo", []string{"echo-1", "echo-2"})
			},
			answers: did,
			want:    []got{{Line: "DELETE " + path + "/instances?InstanceList=echo-1%2Cecho-2", Action: "DeleteServiceInstances"}},
			result:  done,
		},
		{
			name: "events, of which the newest come first",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Events(t.Context(), "echo", deploy.EventsRequest{
					Since: at("2022-04-09 06:00:00").In(time.FixedZone("", 8*3600)), Until: at("2022-04-09 07:00:00"), Instance: "echo-1", Type: "Warning",
				})
				return list, err
			},
			answers: []string{
				`{"RequestId":"R-1","PageNum":1,"TotalCount":3,"TotalPageNum":2,"Events":[
				 {"Message":"{\"versionId\":1,\"message\":\"Stage scale complete\",\"availableInstance\":1}","Reason":"Updating","Resource":"Service","Time":"2022-04-09 06:30:01","Type":"Normal"},
				 {"Message":"second","Time":"2022-04-09 06:30:00"}]}`,
				`{"RequestId":"R-2","PageNum":2,"TotalCount":3,"TotalPageNum":2,"Events":[{"Message":"{first","Time":"2022-04-09T06:30:00Z","Type":"Warning"}]}`,
			},
			want: []got{
				{Line: "GET " + path + "/events?EndTime=2022-04-09%2007%3A00%3A00&EventType=Warning&InstanceName=echo-1&PageNum=1&PageSize=100&StartTime=2022-04-09%2006%3A00%3A00", Action: "DescribeServiceEvent"},
				{Line: "GET " + path + "/events?EndTime=2022-04-09%2007%3A00%3A00&EventType=Warning&InstanceName=echo-1&PageNum=2&PageSize=100&StartTime=2022-04-09%2006%3A00%3A00", Action: "DescribeServiceEvent"},
			},
			result: []deploy.Event{
				{Time: at("2022-04-09 06:30:00"), Type: "Warning", Message: "{first"},
				{Time: at("2022-04-09 06:30:00"), Message: "second"},
				{Time: at("2022-04-09 06:30:01"), Type: "Normal", Reason: "Updating", Resource: "Service", Message: "Stage scale complete"},
			},
		},
		{
			name: "logs",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Logs(t.Context(), "echo", deploy.LogsRequest{Instance: "echo-1", Container: "worker0", Keyword: "a*b", Previous: true, Since: at("2022-04-09 06:00:00")})
				return list, err
			},
			answers: []string{
				`{"RequestId":"R-1","Logs":["1\n","2"],"PageNum":1,"TotalCount":3,"TotalPageNum":2}`,
				`{"RequestId":"R-2","Logs":["3"],"PageNum":2,"TotalCount":3,"TotalPageNum":2}`,
			},
			want: []got{
				{Line: "GET " + path + "/logs?ContainerName=worker0&InstanceName=echo-1&Keyword=a%2Ab&PageNum=1&PageSize=500&Previous=true&StartTime=2022-04-09%2006%3A00%3A00", Action: "DescribeServiceLog"},
				{Line: "GET " + path + "/logs?ContainerName=worker0&InstanceName=echo-1&Keyword=a%2Ab&PageNum=2&PageSize=500&Previous=true&StartTime=2022-04-09%2006%3A00%3A00", Action: "DescribeServiceLog"},
			},
			result: []string{"1", "2", "3"},
		},
		{
			name: "the last lines are on the last pages",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Logs(t.Context(), "echo", deploy.LogsRequest{Tail: 3})
				return list, err
			},
			answers: []string{
				`{"RequestId":"R-1","Logs":["1","2"],"PageNum":1,"TotalCount":9,"TotalPageNum":5}`,
				`{"RequestId":"R-5","Logs":["9"],"PageNum":5,"TotalCount":9,"TotalPageNum":5}`,
				`{"RequestId":"R-4","Logs":["7","8"],"PageNum":4,"TotalCount":9,"TotalPageNum":5}`,
			},
			want: []got{
				{Line: "GET " + path + "/logs?PageNum=1&PageSize=500", Action: "DescribeServiceLog"},
				{Line: "GET " + path + "/logs?PageNum=5&PageSize=500", Action: "DescribeServiceLog"},
				{Line: "GET " + path + "/logs?PageNum=4&PageSize=500", Action: "DescribeServiceLog"},
			},
			result: []string{"7", "8", "9"},
		},
		{
			name: "the last lines of a few",
			do: func(t *testing.T, target *Target) (any, error) {
				list, _, err := target.Logs(t.Context(), "echo", deploy.LogsRequest{Tail: 2})
				return list, err
			},
			answers: []string{`{"RequestId":"R-1","Logs":["1","2","3"],"PageNum":1,"TotalCount":3,"TotalPageNum":1}`},
			want:    []got{{Line: "GET " + path + "/logs?PageNum=1&PageSize=500", Action: "DescribeServiceLog"}},
			result:  []string{"2", "3"},
		},
		{
			name: "autoscaler",
			do: func(t *testing.T, target *Target) (any, error) {
				rules, _, err := target.Autoscaler(t.Context(), "echo")
				return rules, err
			},
			answers: []string{`{"RequestId":"R-1","ServiceName":"echo","MinReplica":2,"MaxReplica":5,
				"ScaleStrategies":[{"metricName":"qps","service":"echo","threshold":10}],"CurrentMetrics":[{"metricName":"qps","service":"echo","value":"7.5"}],
				"Behavior":{"scaleUp":{"stabilizationWindowSeconds":0},"scaleDown":{"stabilizationWindowSeconds":300},"onZero":{"scaleDownGracePeriodSeconds":600}}}`},
			want: []got{{Line: "GET " + path + "/autoscaler", Action: "DescribeServiceAutoScaler"}},
			result: &deploy.Autoscaler{
				Min: 2, Max: 5, Strategies: []deploy.Strategy{{Metric: "qps", Service: "echo", Threshold: 10}},
				Current: []deploy.Strategy{{Metric: "qps", Service: "echo", Threshold: 7.5}}, ScaleUpDelay: &zero, ScaleDownDelay: &delay,
			},
		},
		{
			name: "set autoscaler",
			do: func(t *testing.T, target *Target) (any, error) {
				return target.SetAutoscaler(t.Context(), "echo", deploy.Autoscaler{
					Max: 5, Strategies: []deploy.Strategy{{Metric: "qps", Threshold: 0.5}}, ScaleUpDelay: &zero,
				})
			},
			answers: did,
			want: []got{{
				Line:   "PUT " + path + "/autoscaler",
				Body:   `{"min":0,"max":5,"scaleStrategies":[{"metricName":"qps","threshold":0.5}],"behavior":{"scaleUp":{"stabilizationWindowSeconds":0}}}`,
				Action: "UpdateServiceAutoScaler",
			}},
			result: done,
		},
		{
			name:    "remove autoscaler",
			do:      func(t *testing.T, target *Target) (any, error) { return target.RemoveAutoscaler(t.Context(), "echo") },
			answers: did,
			want:    []got{{Line: "DELETE " + path + "/autoscaler", Action: "DeleteServiceAutoScaler"}},
			result:  done,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var answers []http.HandlerFunc
			for _, body := range tt.answers {
				answers = append(answers, says(200, body))
			}
			a := newAPI(t, answers...)
			result, err := tt.do(t, a.target())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, a.requests(), cmp.AllowUnexported(got{})); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.result, result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPages reads lists of many pages of servers that count in different ways.
func TestPages(t *testing.T) {
	const total = 230
	for _, tt := range []struct{ name, count string }{
		{"with a count", `"TotalCount":230,`},
		{"without a count", ``},
		{"with pages", `"TotalPageNum":3,`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
				var n, size int
				fmt.Sscan(r.FormValue("PageNumber"), &n)
				fmt.Sscan(r.FormValue("PageSize"), &size)
				var names []string
				for i := (n - 1) * size; i < min(n*size, total); i++ {
					names = append(names, fmt.Sprintf(`{"ServiceName":"s%03d"}`, total-i))
				}
				says(200, `{"RequestId":"R",`+tt.count+`"Services":[`+strings.Join(names, ",")+`]}`)(w, r)
			})
			list, _, err := a.target().List(t.Context(), deploy.ListRequest{})
			if err != nil || len(list) != total || list[0].Name != "s001" || list[total-1].Name != "s230" {
				t.Errorf("%d services, error %v", len(list), err)
			}
			if got := len(a.requests()); got != 3 {
				t.Errorf("%d requests instead of 3", got)
			}
		})
	}
}

// TestEndlessList bounds what a server that repeats itself can cost.
func TestEndlessList(t *testing.T) {
	target, err := New(Options{
		Endpoint: "pai-eas.cn-test.aliyuncs.com", Credentials: staticKey,
		Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return response(200, `{"TotalPageNum":1000000,"Logs":["again"]}`), nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = target.Logs(t.Context(), "echo", deploy.LogsRequest{})
	if err == nil || !strings.Contains(err.Error(), "does not end after 1000 pages") {
		t.Errorf("error %v", err)
	}
}

func TestSetAutoscalerWhereThereIsNone(t *testing.T) {
	a := newAPI(t, refuses(404, "AutoScalerNotFound", "there is none"), says(200, `{"RequestId":"R-2","Message":"done"}`))
	reply, err := a.target().SetAutoscaler(t.Context(), "echo", deploy.Autoscaler{Min: 1, Max: 2})
	if err != nil || reply.RequestID != "R-2" {
		t.Fatalf("reply %+v, error %v", reply, err)
	}
	const path, body = "/api/v2/services/cn-test/echo/autoscaler", `{"min":1,"max":2,"scaleStrategies":[]}`
	want := []got{{Line: "PUT " + path, Body: body, Action: "UpdateServiceAutoScaler"}, {Line: "POST " + path, Body: body, Action: "CreateServiceAutoScaler"}}
	if diff := cmp.Diff(want, a.requests(), cmp.AllowUnexported(got{})); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
