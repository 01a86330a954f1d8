package ctf

import (
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapSize is how much of a file is mapped at once at least, bytes.
const mapSize = 16 << 20

// Mapped runs read, in which readers that are made of the trace's streams map the files and do not copy what is in them: that takes a third of the time of going
// over events. It is for traces that are complete. What such a reader decoded is not valid after read.
//
// Where a mapped file is cut, or its disk fails, memory that was there is there no more. Mapped returns an *[Error] then, and what read was about is left as it
// was at that moment; that is so for this goroutine only, so read must not have others read. It is not to be called by read.
func (t *Trace) Mapped(read func() error) (err error) {
	t.maps = true
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if cause := recover(); cause != nil {
			if err = t.lost(cause); err == nil {
				panic(cause)
			}
		}
		t.maps, t.mapped = false, nil
	}()
	return read()
}

// lost is the error for a panic at an address that a reader has, or had, mapped; nil for others.
func (t *Trace) lost(cause any) error {
	fault, ok := cause.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	for _, r := range t.mapped {
		if at := fault.Addr() - r.view.at; at < uintptr(r.view.size) {
			return &Error{File: r.path, Offset: r.view.off + int64(at), Msg: "the file was cut while being read, or its disk failed"}
		}
	}
	return nil
}

// view is a part of a file that is mapped.
type view struct {
	bytes []byte // nil: not any more
	at    uintptr
	size  int
	off   int64 // in the file
}

// mapPart makes r's buffer the file's bytes from off on, n or more, which the file is known to hold. It returns false where files cannot be mapped.
func (r *Reader) mapPart(off int64, n int) bool {
	f, ok := r.file.(*os.File)
	if !ok {
		return false
	}
	r.unmap()
	begin := off &^ int64(os.Getpagesize()-1)
	size := int(min(max(off+int64(n)-begin, mapSize), r.size-begin))
	// All at once is cheaper than page by page.
	bytes, err := unix.Mmap(int(f.Fd()), begin, size, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return false
	}
	r.view = view{bytes: bytes, at: uintptr(unsafe.Pointer(unsafe.SliceData(bytes))), size: size, off: begin}
	r.buf, r.bufOff = bytes[off-begin:size:size], off
	return true
}

// unmap gives back what is mapped.
func (r *Reader) unmap() {
	if r.view.bytes == nil {
		return
	}
	_ = unix.Munmap(r.view.bytes) // fails for what is not mapped alone
	r.view.bytes = nil
	r.buf, r.content, r.win.buf, r.win.end, r.pos = nil, nil, nil, 0, 0
}
