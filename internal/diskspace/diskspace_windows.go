package diskspace

import "golang.org/x/sys/windows"

// Of returns the room of the file system that holds path, which must exist.
func Of(path string) (Space, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return Space{}, err
	}
	var s Space
	if err := windows.GetDiskFreeSpaceEx(name, &s.Free, &s.Total, nil); err != nil {
		return Space{}, err
	}
	return s, nil
}
