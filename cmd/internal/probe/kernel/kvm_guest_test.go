package kernel

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of linux/kvm.h.
const (
	kvmCreateVM        = 0xae01
	kvmGetMmapSize     = 0xae04
	kvmCreateVCPU      = 0xae41
	kvmSetTSS          = 0xae47
	kvmSetMemory       = 0x4020ae46
	kvmRun             = 0xae80
	kvmSetRegisters    = 0x4090ae82
	kvmGetSegments     = 0x8138ae83
	kvmSetSegments     = 0x4138ae84
	kvmExitIO          = 2
	kvmExitHLT         = 5
	kvmExitMMIO        = 6
	kvmSegments        = 312 // bytes
	kvmReasonInRun     = 8   // offset in struct kvm_run
	guestMemory        = 0x1000
	kvmDevice          = "/dev/kvm"
	guestFlagsReserved = 2
)

// runGuest has KVM run 16-bit code in this process until it halts, and returns how often user space was asked, by reason.
func runGuest(tb testing.TB, code []byte) map[uint32]int {
	tb.Helper()
	runtime.LockOSThread() // a virtual processor belongs to its thread
	defer runtime.UnlockOSThread()
	device, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
	if err != nil {
		tb.Skipf("this machine runs no guests: %v", err)
	}
	defer device.Close()
	ioctl := func(fd int, request, argument uintptr) int {
		tb.Helper()
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, argument)
		if errno != 0 {
			tb.Fatalf("KVM request %#x: %v", request, errno)
		}
		return int(r)
	}
	memory, err := unix.Mmap(-1, 0, guestMemory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	copy(memory, code)

	vm := ioctl(int(device.Fd()), kvmCreateVM, 0)
	defer func() { _ = unix.Close(vm) }()
	ioctl(vm, kvmSetTSS, 0xfffbd000)
	region := struct {
		slot, flags         uint32
		at, size, userspace uint64
	}{size: guestMemory, userspace: uint64(uintptr(unsafe.Pointer(&memory[0])))}
	ioctl(vm, kvmSetMemory, uintptr(unsafe.Pointer(&region)))
	cpu := ioctl(vm, kvmCreateVCPU, 0)
	defer func() { _ = unix.Close(cpu) }()
	run, err := unix.Mmap(cpu, 0, ioctl(int(device.Fd()), kvmGetMmapSize, 0), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Munmap(run) }()

	var segments [kvmSegments]byte
	ioctl(cpu, kvmGetSegments, uintptr(unsafe.Pointer(&segments)))
	clear(segments[:8])    // base of the code
	clear(segments[12:14]) // its selector
	ioctl(cpu, kvmSetSegments, uintptr(unsafe.Pointer(&segments)))
	var registers [18]uint64
	registers[17] = guestFlagsReserved
	ioctl(cpu, kvmSetRegisters, uintptr(unsafe.Pointer(&registers)))

	asked := make(map[uint32]int)
	for {
		ioctl(cpu, kvmRun, 0)
		reason := binary.NativeEndian.Uint32(run[kvmReasonInRun:])
		asked[reason]++
		switch reason {
		case kvmExitHLT:
			return asked
		case kvmExitIO, kvmExitMMIO:
		default:
			tb.Fatalf("the guest ends for reason %d", reason)
		}
	}
}

// guestCode writes to a port, reads from it, and writes to an address where no memory is, then halts. Each of it is in a loop.
func guestCode(outs, ins, writes uint16) []byte {
	code := []byte{0xba, 0xf8, 0x03} // mov dx, 0x3f8
	loop := func(times uint16, instruction ...byte) {
		code = append(code, 0xb9, byte(times), byte(times>>8)) // mov cx, times
		code = append(code, instruction...)
		code = append(code, 0x49, 0x75, byte(-len(instruction)-3)) // dec cx; jnz
	}
	loop(outs, 0xee)               // out dx, al
	loop(ins, 0xec)                // in al, dx
	loop(writes, 0xa2, 0x00, 0x80) // mov [0x8000], al
	return append(code, 0xf4)      // hlt
}

// withTracefs mounts tracefs for this thread alone, where it is not mounted. The thread ends with the test.
func withTracefs(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("only root may attach eBPF programs")
	}
	if _, err := tracefs(); err == nil {
		return
	}
	runtime.LockOSThread() // never unlocked
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, ""); err != nil {
		tb.Fatal(err)
	}
}
