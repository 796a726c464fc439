package main

import "testing"

func TestShortHost(t *testing.T) {
	for host, want := range map[string]string{
		"python 3.11.7 (/data/eas/ENV/bin/python, prefix /data/eas/ENV)":      "python 3.11.7 (bin/python in the prefix /data/eas/ENV)",
		"python 3.9.2 (/usr/bin/python3, prefix /usr)":                        "python 3.9.2 (bin/python3 in the prefix /usr)",
		"python 3.9.2 (/usr/bin/python3, prefix /usr/local)":                  "python 3.9.2 (/usr/bin/python3, prefix /usr/local)",
		"python 3.9.2 (/usr2/bin/python3, prefix /usr)":                       "python 3.9.2 (/usr2/bin/python3, prefix /usr)",
		"python 3.9.2 (/a (b), prefix x/bin/python, prefix /a (b), prefix x)": "python 3.9.2 (/a (b), prefix x/bin/python, prefix /a (b), prefix x)",
		"python 3.9.2 (/a (b)/ENV/bin/python, prefix /a (b)/ENV)":             "python 3.9.2 (bin/python in the prefix /a (b)/ENV)",
		"python 3.9.2 (/bin/python, prefix /)":                                "python 3.9.2 (bin/python in the prefix /)",
		`python 3.12.0 (C:\Python312\python.exe, prefix C:\Python312)`:        `python 3.12.0 (python.exe in the prefix C:\Python312)`,
		"python 3.9.2 (, prefix /usr)":                                        "python 3.9.2 (, prefix /usr)",
		"python 3.9.2":                                                        "python 3.9.2",
		"eashost 1":                                                           "eashost 1",
	} {
		if got := shortHost(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
