package doctor

import "os"

func (m *machine) memorySizes() (total, available uint64) {
	text, err := os.ReadFile(m.path("/proc/meminfo"))
	if err != nil {
		return 0, 0
	}
	return meminfo(string(text))
}
