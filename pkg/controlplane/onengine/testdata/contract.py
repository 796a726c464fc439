"""Drives a control plane with the vendor's own typed client for this API.

What it needs comes in the environment: EAS_ENDPOINT (host:port), EAS_KEY,
EAS_SECRET and EAS_PROCESSOR, the address of the echo processor's package.
"""

import json
import os
import time
import urllib.request

from alibabacloud_eas20210701 import models
from alibabacloud_eas20210701.client import Client
from alibabacloud_tea_openapi.models import Config

REGION = "cn-shanghai"
PATIENCE = 60


def client(key=None, secret=None):
    return Client(Config(
        endpoint=os.environ["EAS_ENDPOINT"], protocol="HTTP", region_id=REGION,
        access_key_id=key or os.environ["EAS_KEY"], access_key_secret=secret or os.environ["EAS_SECRET"],
    ))


c = client()


def check(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def refused(code, call, *args):
    try:
        call(*args)
    except Exception as error:
        check(getattr(error, "code", None), code)
    else:
        raise AssertionError("it was not refused with %s" % code)


def eventually(so):
    end = time.time() + PATIENCE
    while not so():
        assert time.time() < end, "it did not happen"
        time.sleep(0.02)


def becomes(status):
    eventually(lambda: c.describe_service(REGION, "echo").body.status in (status, "Failed"))
    service = c.describe_service(REGION, "echo").body
    check(service.status, status)
    return service


def post(service, body):
    request = urllib.request.Request(service.internet_endpoint, data=body, headers={"Authorization": service.access_token})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(request, timeout=PATIENCE).read()


def description(**more):
    return json.dumps(dict({
        "name": "echo", "processor_path": os.environ["EAS_PROCESSOR"], "processor_entry": "libecho.so",
        "processor_type": "cpp", "metadata": {"instance": "1", "cpu": 1, "memory": 500},
    }, **more))


# Who may not call, and what is not there.
refused("InvalidAccessKeyId.NotFound", client(key="nobody").describe_service, REGION, "echo")
refused("SignatureDoesNotMatch", client(secret="wrong").describe_service, REGION, "echo")
refused("InvalidService.NotFound", c.describe_service, REGION, "echo")
refused("InvalidRegionId", c.describe_service, "cn-beijing", "echo")
refused("InvalidParameter", c.create_service, models.CreateServiceRequest(body="{}"))

# A service.
made = c.create_service(models.CreateServiceRequest(body=description(), labels={"team": "blue, green"}, workspace_id="7")).body
check((made.service_name, made.status, made.region), ("echo", "Creating", REGION))
assert made.request_id and made.service_id
service = becomes("Running")
check((service.total_instance, service.running_instance, service.pending_instance), (1, 1, 0))
check((service.reason, service.message, service.memory), ("RUNNING", "Service start successfully", 500))
check([(label.label_key, label.label_value) for label in service.labels], [("team", "blue, green")])
check(json.loads(service.service_config)["processor_entry"], "libecho.so")
assert b"hello" in post(service, b"hello")
refused("InvalidService.AlreadyExists", c.create_service, models.CreateServiceRequest(body=description()))

# The list.
page = c.list_services(models.ListServicesRequest(filter="ech", label={"team": "blue, green"}, page_number=1, page_size=10)).body
check((page.total_count, [s.service_name for s in page.services]), (1, ["echo"]))
check(c.list_services(models.ListServicesRequest(service_status="Stopped")).body.total_count, 0)

# A new version, more instances, and the way back.
check(c.update_service(REGION, "echo", models.UpdateServiceRequest(body=json.dumps({"metadata": {"cpu": 2}}))).body.message,
      "Succeed to update service [echo] in region [cn-shanghai]")
service = becomes("Running")
check((service.cpu, service.current_version, service.latest_version), (2, 2, 2))
c.update_service(REGION, "echo", models.UpdateServiceRequest(body=json.dumps({"metadata.instance": 2})))
service = becomes("Running")
check((service.running_instance, service.current_version), (2, 2))
versions = c.list_service_versions(REGION, "echo", models.ListServiceVersionsRequest(page_number=1, page_size=10)).body
check([v.image_id for v in versions.versions], [2, 1])
c.update_service_version(REGION, "echo", models.UpdateServiceVersionRequest(version=1))
service = becomes("Running")
check((service.cpu, service.current_version, service.latest_version), (1, 1, 2))

# Instances.
instances = c.list_service_instances(REGION, "echo", models.ListServiceInstancesRequest(page_size=10)).body
eventually(lambda: c.list_service_instances(REGION, "echo", models.ListServiceInstancesRequest()).body.total_count == 2)
one = c.list_service_instances(REGION, "echo", models.ListServiceInstancesRequest()).body.instances[0]
check((one.status, one.ready_processes, one.total_processes, one.last_state), ("Running", 1, 1, []))
c.delete_service_instances(REGION, "echo", models.DeleteServiceInstancesRequest(instance_list=one.instance_name))
eventually(lambda: one.instance_name not in [
    i.instance_name for i in c.list_service_instances(REGION, "echo", models.ListServiceInstancesRequest()).body.instances])
becomes("Running")

# What happened, and what was written.
events = c.describe_service_event(REGION, "echo", models.DescribeServiceEventRequest(page_num="1", page_size="100")).body
assert "Service start successfully" in [json.loads(e.message)["message"] for e in events.events], events
logs = c.describe_service_log(REGION, "echo", models.DescribeServiceLogRequest(keyword="echo: loaded", page_num=1, page_size=1)).body
check((len(logs.logs), logs.total_count, logs.total_page_num), (1, 2, 2))
time_ago = c.describe_service_log(REGION, "echo", models.DescribeServiceLogRequest(
    start_time="2001-01-01 00:00:00", end_time="2001-01-02 00:00:00")).body
check(time_ago.logs, [])

# Rules of scaling, labels, the lock, traffic, endpoints.
rules = dict(min=1, max=3, scale_strategies=[models.CreateServiceAutoScalerRequestScaleStrategies(metric_name="qps", threshold=10.0)])
check(c.create_service_auto_scaler(REGION, "echo", models.CreateServiceAutoScalerRequest(**rules)).body.message,
      "Succeed to auto scale service [echo]")
scaler = c.describe_service_auto_scaler(REGION, "echo").body
check((scaler.min_replica, scaler.max_replica, scaler.scale_strategies[0].metric_name, scaler.scale_strategies[0].threshold), (1, 3, "qps", 10.0))
c.delete_service_auto_scaler(REGION, "echo")
refused("InvalidAutoScaler.NotFound", c.describe_service_auto_scaler, REGION, "echo")
c.update_service_label(REGION, "echo", models.UpdateServiceLabelRequest(labels={"more": "1"}))
c.delete_service_label(REGION, "echo", models.DeleteServiceLabelRequest(keys=["team"]))
check([label.label_key for label in c.describe_service(REGION, "echo").body.labels], ["more"])
check(c.release_service(REGION, "echo", models.ReleaseServiceRequest(weight=40)).body.message,
      "Releasing service [echo] in region [cn-shanghai] with weight [40], service status: [Running]")
check(c.describe_service_endpoints(REGION, "echo").body.access_token, service.access_token)
c.update_service_safety_lock(REGION, "echo", models.UpdateServiceSafetyLockRequest(lock="dangerous"))
refused("Forbidden.SafetyLock", c.delete_service, REGION, "echo")
c.update_service_safety_lock(REGION, "echo", models.UpdateServiceSafetyLockRequest(lock="none"))

# Stopped, started, restarted, gone.
c.stop_service(REGION, "echo")
becomes("Stopped")
check(c.start_service(REGION, "echo").body.message, "Service [echo] in region [cn-shanghai] is starting")
becomes("Running")
check(c.restart_service(REGION, "echo").body.message, "Service is restarting")
assert b"again" in post(becomes("Running"), b"again")
check(c.delete_service(REGION, "echo").body.message, "Service [echo] in region [cn-shanghai] is terminating")
eventually(lambda: c.list_services(models.ListServicesRequest()).body.total_count == 0)
print("the contract is kept")
