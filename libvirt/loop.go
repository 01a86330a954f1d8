package libvirt

import (
	"fmt"
	"sync"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// tick is how often the event loop wakes when nothing happens: the default implementation sleeps for ever without a timer.
const tick = time.Second

var loop struct {
	once sync.Once
	err  error
}

// startLoop registers libvirt's default event loop, once in a process and before its first connection, as libvirt demands
// (virEventRegisterDefaultImpl). libvirt has no way to take it back, so its goroutine lives as long as the process.
func startLoop() error {
	loop.once.Do(func() {
		if loop.err = golibvirt.EventRegisterDefaultImpl(); loop.err != nil {
			return
		}
		if _, loop.err = golibvirt.EventAddTimeout(int(tick.Milliseconds()), func(int) {}); loop.err != nil {
			return
		}
		go func() {
			for {
				if err := golibvirt.EventRunDefaultImpl(); err != nil {
					time.Sleep(tick) // an error of poll(2) itself: do not spin on it
				}
			}
		}()
	})
	if loop.err != nil {
		return fmt.Errorf("libvirt: start event loop: %w", loop.err)
	}
	return nil
}
