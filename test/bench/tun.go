//go:build linux

package main

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openTun makes a device in a namespace whose packets are read from the file and
// written to it, one at a time.
func openTun(n *netns) (file *os.File, err error) {
	err = n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
		}
		request, err := unix.NewIfreq(lineDevice)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			return os.NewSyscallError("make a tun device", err)
		}
		file = os.NewFile(uintptr(fd), "/dev/net/tun")
		return nil
	})
	return file, err
}

// forwardTun carries packets between two devices as the line does, until stop
// is called, which closes them.
func forwardTun(a, b *os.File) (stop func()) {
	var running sync.WaitGroup
	for _, way := range [][2]*os.File{{a, b}, {b, a}} {
		q := make(chan sentPacket, lineQueue)
		running.Go(func() { takeIn(way[0], q) })
		running.Go(func() { giveOut(way[1], q) })
	}
	return func() {
		a.Close()
		b.Close()
		running.Wait()
	}
}

// sentPacket is a packet on the line.
type sentPacket struct {
	data []byte
	due  time.Time // at the other end
}

// pace tells when packets arrive. It is a clock of its own: that this program got
// the processor late does not make the line slower.
type pace struct {
	free time.Time // when those before are through
}

func (p *pace) arrival(now time.Time, size int) time.Time {
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(size) * 8 * time.Second / lineRate)
	return p.free.Add(lineRTT / 2)
}

// takeIn reads packets that are sent. Where the line is full they are lost.
func takeIn(device *os.File, q chan<- sentPacket) {
	defer close(q)
	var p pace
	buf := make([]byte, 1<<16)
	for {
		n, err := device.Read(buf)
		if err != nil {
			return // closed
		}
		if len(q) == cap(q) {
			continue
		}
		data := make([]byte, n)
		copy(data, buf)
		q <- sentPacket{data, p.arrival(time.Now(), n)} // nobody else fills it
	}
}

// giveOut hands packets over when they are due.
func giveOut(device *os.File, q <-chan sentPacket) {
	for p := range q {
		if wait := time.Until(p.due); wait > 0 {
			// In the kernel, which is more exact than timers of the Go runtime.
			t := unix.NsecToTimespec(wait.Nanoseconds())
			_ = unix.Nanosleep(&t, nil) // woken early it is early by so much
		}
		// A device that is not up yet takes nothing: the packet is lost, and those
		// after it may get through. Once it is closed the queue comes to its end.
		_, _ = device.Write(p.data)
	}
}
