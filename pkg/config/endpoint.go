package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// splitEndpoint returns the scheme and the host, with the port if there is
// one, of an endpoint. The scheme is https where none is given.
func splitEndpoint(text string) (scheme, host string, err error) {
	scheme, host = "https", strings.TrimSpace(text)
	if given, rest, ok := strings.Cut(host, "://"); ok {
		scheme = strings.ToLower(given)
		if scheme != "http" && scheme != "https" {
			return "", "", fmt.Errorf("endpoint %q: the scheme must be http or https", text)
		}
		host = rest
	}
	host, err = checkHost(text, host)
	return scheme, host, err
}

// normalEndpoint writes an endpoint in the one form that is stored: the host,
// behind http:// where it is spoken to so.
func normalEndpoint(text string) (string, error) {
	scheme, host, err := splitEndpoint(text)
	if err == nil && scheme == "http" {
		host = "http://" + host
	}
	return host, err
}

// isPrivate reports whether a host, with or without a port, is this machine or
// in a private network as far as its name tells.
func isPrivate(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

func plainHTTPWarning(source, host string) Warning {
	return Warning{
		Text: fmt.Sprintf("%s: requests to %s are not encrypted, for it was given as http://", source, host),
		Hint: "leave http:// out, unless nobody else can read what passes",
	}
}

// checkHost returns the host of an endpoint, whose whole text is text, in its
// normal form.
func checkHost(text, host string) (string, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "/"))
	if host == "" {
		return "", fmt.Errorf("endpoint %q: there is no host name", text)
	}
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("endpoint %q: the port must be a number from 1 to 65535", text)
		}
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return host, nil
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", fmt.Errorf("endpoint %q: it must be a host name such as %s", text, DefaultEndpoint)
		}
	}
	if len(labels) == 1 && strings.Contains(name, "-") {
		return "", fmt.Errorf("endpoint %q: this looks like a region; its endpoint is pai-eas.%s.aliyuncs.com", text, name)
	}
	return host, nil
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// RegionOf returns the region in the name of an endpoint of Alibaba Cloud
// (pai-eas.REGION.aliyuncs.com and its likes), and nothing for other names.
func RegionOf(endpoint string) string {
	host, _, _ := strings.Cut(endpoint, ":")
	labels := strings.Split(host, ".")
	if len(labels) != 4 || labels[2] != "aliyuncs" || labels[3] != "com" || !strings.HasPrefix(labels[0], "pai-eas") {
		return ""
	}
	return labels[1]
}
