package ui

import "golang.org/x/sys/windows"

// enableSequences asks the console to understand escape sequences and reports
// whether it does; consoles before Windows 10 do not.
func enableSequences(stream any) bool {
	f, ok := stream.(descriptor)
	if !ok {
		return false
	}
	var mode uint32
	handle := windows.Handle(f.Fd())
	if windows.GetConsoleMode(handle, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
