package libvirt

import (
	"fmt"

	golibvirt "libvirt.org/go/libvirt"
)

// registerNotes asks for the events that are only noted. A libvirt daemon that does not know one does without.
func (c *Connection) registerNotes() {
	for _, register := range []func() (int, error){
		func() (int, error) {
			return c.conn.DomainEventBlockJob2Register(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventBlockJob) {
				c.note(BlockJob, d, fmt.Sprintf("%s of %s %s", nameOf(blockJobs, e.Type), e.Disk, nameOf(blockJobEnds, e.Status)))
			})
		},
		func() (int, error) {
			return c.conn.DomainEventIOErrorReasonRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventIOErrorReason) {
				c.note(IOError, d, e.DevAlias+" "+e.Reason)
			})
		},
		func() (int, error) {
			return c.conn.DomainEventWatchdogRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, _ *golibvirt.DomainEventWatchdog) {
				c.note(WatchdogFired, d, "")
			})
		},
		func() (int, error) {
			return c.conn.DomainEventTrayChangeRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventTrayChange) {
				c.note(MediaChanged, d, e.DevAlias)
			})
		},
		func() (int, error) {
			return c.conn.DomainEventJobCompletedRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, _ *golibvirt.DomainEventJobCompleted) {
				c.note(JobEnded, d, "")
			})
		},
	} {
		if id, err := register(); err == nil {
			c.callbacks = append(c.callbacks, id)
		}
	}
}

// note passes an event on while there is room to spare: a guest can raise some kinds as fast as it likes, and must not displace those that count.
func (c *Connection) note(kind EventKind, d *golibvirt.Domain, detail string) {
	if len(c.events) < queueLength/2 {
		c.deliver(kind, d, detail)
	}
}

var blockJobs = map[golibvirt.DomainBlockJobType]string{
	golibvirt.DOMAIN_BLOCK_JOB_TYPE_PULL: "pull", golibvirt.DOMAIN_BLOCK_JOB_TYPE_COPY: "copy", golibvirt.DOMAIN_BLOCK_JOB_TYPE_COMMIT: "commit",
	golibvirt.DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT: "active commit", golibvirt.DOMAIN_BLOCK_JOB_TYPE_BACKUP: "backup",
}

var blockJobEnds = map[golibvirt.ConnectDomainEventBlockJobStatus]string{
	golibvirt.DOMAIN_BLOCK_JOB_COMPLETED: "completed", golibvirt.DOMAIN_BLOCK_JOB_FAILED: "failed", golibvirt.DOMAIN_BLOCK_JOB_CANCELED: "canceled",
	golibvirt.DOMAIN_BLOCK_JOB_READY: "ready",
}

// details are the words for what libvirt tells of an event of a domain's life (virDomainEvent*DetailType), where they say more than the kind.
var details = map[golibvirt.DomainEventType]map[int]string{
	golibvirt.DOMAIN_EVENT_DEFINED: {
		int(golibvirt.DOMAIN_EVENT_DEFINED_ADDED): "added", int(golibvirt.DOMAIN_EVENT_DEFINED_UPDATED): "updated",
		int(golibvirt.DOMAIN_EVENT_DEFINED_RENAMED): "renamed", int(golibvirt.DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT): "from a snapshot",
	},
	golibvirt.DOMAIN_EVENT_STARTED: {
		int(golibvirt.DOMAIN_EVENT_STARTED_BOOTED): "booted", int(golibvirt.DOMAIN_EVENT_STARTED_MIGRATED): "migrated here",
		int(golibvirt.DOMAIN_EVENT_STARTED_RESTORED): "restored", int(golibvirt.DOMAIN_EVENT_STARTED_FROM_SNAPSHOT): "from a snapshot",
		int(golibvirt.DOMAIN_EVENT_STARTED_WAKEUP): "woken up",
	},
	golibvirt.DOMAIN_EVENT_SUSPENDED: {
		int(golibvirt.DOMAIN_EVENT_SUSPENDED_PAUSED): "paused", int(golibvirt.DOMAIN_EVENT_SUSPENDED_MIGRATED): "for migration",
		int(golibvirt.DOMAIN_EVENT_SUSPENDED_IOERROR): "by an I/O error", int(golibvirt.DOMAIN_EVENT_SUSPENDED_WATCHDOG): "by its watchdog",
		int(golibvirt.DOMAIN_EVENT_SUSPENDED_RESTORED): "restored", int(golibvirt.DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT): "from a snapshot",
		int(golibvirt.DOMAIN_EVENT_SUSPENDED_API_ERROR): "by an error of libvirt", int(golibvirt.DOMAIN_EVENT_SUSPENDED_POSTCOPY): "for post-copy migration",
		int(golibvirt.DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED): "by a failed post-copy migration",
	},
	golibvirt.DOMAIN_EVENT_RESUMED: {
		int(golibvirt.DOMAIN_EVENT_RESUMED_UNPAUSED): "unpaused", int(golibvirt.DOMAIN_EVENT_RESUMED_MIGRATED): "migrated here",
		int(golibvirt.DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT): "from a snapshot", int(golibvirt.DOMAIN_EVENT_RESUMED_POSTCOPY): "by post-copy migration",
	},
	golibvirt.DOMAIN_EVENT_STOPPED: {
		int(golibvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN): "shut down", int(golibvirt.DOMAIN_EVENT_STOPPED_DESTROYED): "destroyed",
		int(golibvirt.DOMAIN_EVENT_STOPPED_CRASHED): "crashed", int(golibvirt.DOMAIN_EVENT_STOPPED_MIGRATED): "migrated away",
		int(golibvirt.DOMAIN_EVENT_STOPPED_SAVED): "saved", int(golibvirt.DOMAIN_EVENT_STOPPED_FAILED): "failed",
		int(golibvirt.DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT): "from a snapshot",
	},
	golibvirt.DOMAIN_EVENT_PMSUSPENDED: {
		int(golibvirt.DOMAIN_EVENT_PMSUSPENDED_MEMORY): "by the guest, to memory", int(golibvirt.DOMAIN_EVENT_PMSUSPENDED_DISK): "by the guest, to disk",
	},
	golibvirt.DOMAIN_EVENT_CRASHED: {int(golibvirt.DOMAIN_EVENT_CRASHED_PANICKED): "panicked"},
}

func detail(event golibvirt.DomainEventType, of int) string { return details[event][of] }

// nameOf is the name of a number, or the number.
func nameOf[K ~int](names map[K]string, k K) string {
	if name := names[k]; name != "" {
		return name
	}
	return fmt.Sprint(int(k))
}
