/*
 * Trace points of QEMU's, as its ust backend makes them of its trace-events files: the same names, fields and types. They are those of the feature
 * sets of lttng/catalogue/sets; those at the end are in no default set, and QEMU hits them all the same.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER qemu

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./events.h"

#if !defined(EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define EVENTS_H

#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_fill,
	LTTNG_UST_TP_ARGS(void *, vq, const void *, elem, unsigned int, len, unsigned int, idx),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vq, vq)
		lttng_ust_field_integer_hex(const void *, elem, elem)
		lttng_ust_field_integer(unsigned int, len, len)
		lttng_ust_field_integer(unsigned int, idx, idx)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_queue_notify,
	LTTNG_UST_TP_ARGS(void *, vdev, int, n, void *, vq),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vdev, vdev)
		lttng_ust_field_integer(int, n, n)
		lttng_ust_field_integer_hex(void *, vq, vq)
	)
)

LTTNG_UST_TRACEPOINT_EVENT_CLASS(qemu, queue,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, vq),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vdev, vdev)
		lttng_ust_field_integer_hex(void *, vq, vq)
	)
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, queue, qemu, virtio_notify, LTTNG_UST_TP_ARGS(void *, vdev, void *, vq))
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, queue, qemu, virtio_notify_irqfd, LTTNG_UST_TP_ARGS(void *, vdev, void *, vq))

LTTNG_UST_TRACEPOINT_EVENT(qemu, tap_send,
	LTTNG_UST_TP_ARGS(const char *, name, ssize_t, size),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_string(name, name)
		lttng_ust_field_integer(ssize_t, size, size)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, qemu_deliver_packet,
	LTTNG_UST_TP_ARGS(const char *, sender, const char *, receiver, size_t, size, unsigned int, flags),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_string(sender, sender)
		lttng_ust_field_string(receiver, receiver)
		lttng_ust_field_integer(size_t, size, size)
		lttng_ust_field_integer_hex(unsigned int, flags, flags)
	)
)

LTTNG_UST_TRACEPOINT_EVENT_CLASS(qemu, disk,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, req, uint64_t, sector, size_t, nsectors),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vdev, vdev)
		lttng_ust_field_integer_hex(void *, req, req)
		lttng_ust_field_integer(uint64_t, sector, sector)
		lttng_ust_field_integer(size_t, nsectors, nsectors)
	)
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, disk, qemu, virtio_blk_handle_read,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, req, uint64_t, sector, size_t, nsectors))
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, disk, qemu, virtio_blk_handle_write,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, req, uint64_t, sector, size_t, nsectors))

LTTNG_UST_TRACEPOINT_EVENT_CLASS(qemu, image,
	LTTNG_UST_TP_ARGS(void *, blk, void *, bs, int64_t, offset, int64_t, bytes, int, flags),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, blk, blk)
		lttng_ust_field_integer_hex(void *, bs, bs)
		lttng_ust_field_integer(int64_t, offset, offset)
		lttng_ust_field_integer(int64_t, bytes, bytes)
		lttng_ust_field_integer_hex(int, flags, flags)
	)
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, image, qemu, blk_co_preadv,
	LTTNG_UST_TP_ARGS(void *, blk, void *, bs, int64_t, offset, int64_t, bytes, int, flags))
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, image, qemu, blk_co_pwritev,
	LTTNG_UST_TP_ARGS(void *, blk, void *, bs, int64_t, offset, int64_t, bytes, int, flags))

LTTNG_UST_TRACEPOINT_EVENT(qemu, bdrv_aio_flush,
	LTTNG_UST_TP_ARGS(const char *, name, void *, blk),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_string(name, name)
		lttng_ust_field_integer_hex(void *, blk, blk)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, qcow2_handle_alloc,
	LTTNG_UST_TP_ARGS(void *, co, uint64_t, guest_offset, uint64_t, host_offset, uint64_t, bytes),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, co, co)
		lttng_ust_field_integer_hex(uint64_t, guest_offset, guest_offset)
		lttng_ust_field_integer_hex(uint64_t, host_offset, host_offset)
		lttng_ust_field_integer_hex(uint64_t, bytes, bytes)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_console_flush_buf,
	LTTNG_UST_TP_ARGS(unsigned int, port, size_t, len, ssize_t, ret),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(unsigned int, port, port)
		lttng_ust_field_integer(size_t, len, len)
		lttng_ust_field_integer(ssize_t, ret, ret)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_rng_pushed,
	LTTNG_UST_TP_ARGS(void *, rng, size_t, len),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, rng, rng)
		lttng_ust_field_integer(size_t, len, len)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, usb_xhci_doorbell_write,
	LTTNG_UST_TP_ARGS(uint32_t, off, uint32_t, val),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(uint32_t, off, off)
		lttng_ust_field_integer_hex(uint32_t, val, val)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, resettable_phase_hold_exec,
	LTTNG_UST_TP_ARGS(void *, obj, const char *, objtype, int, has_method),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, obj, obj)
		lttng_ust_field_string(objtype, objtype)
		lttng_ust_field_integer(int, has_method, has_method)
	)
)

LTTNG_UST_TRACEPOINT_EVENT_CLASS(qemu, region,
	LTTNG_UST_TP_ARGS(int, cpu_index, void *, mr, uint64_t, addr, uint64_t, value, unsigned int, size, const char *, name),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(int, cpu_index, cpu_index)
		lttng_ust_field_integer_hex(void *, mr, mr)
		lttng_ust_field_integer_hex(uint64_t, addr, addr)
		lttng_ust_field_integer_hex(uint64_t, value, value)
		lttng_ust_field_integer(unsigned int, size, size)
		lttng_ust_field_string(name, name)
	)
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, region, qemu, memory_region_ops_read,
	LTTNG_UST_TP_ARGS(int, cpu_index, void *, mr, uint64_t, addr, uint64_t, value, unsigned int, size, const char *, name))
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, region, qemu, memory_region_ops_write,
	LTTNG_UST_TP_ARGS(int, cpu_index, void *, mr, uint64_t, addr, uint64_t, value, unsigned int, size, const char *, name))

LTTNG_UST_TRACEPOINT_EVENT_CLASS(qemu, completion,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, req, int, ret),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vdev, vdev)
		lttng_ust_field_integer_hex(void *, req, req)
		lttng_ust_field_integer(int, ret, ret)
	)
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(qemu, completion, qemu, virtio_blk_rw_complete, LTTNG_UST_TP_ARGS(void *, vdev, void *, req, int, ret))

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_blk_req_complete,
	LTTNG_UST_TP_ARGS(void *, vdev, void *, req, int, status),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, vdev, vdev)
		lttng_ust_field_integer_hex(void *, req, req)
		lttng_ust_field_integer(int, status, status)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(qemu, thread_pool_submit,
	LTTNG_UST_TP_ARGS(void *, pool, void *, req, void *, opaque),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer_hex(void *, pool, pool)
		lttng_ust_field_integer_hex(void *, req, req)
		lttng_ust_field_integer_hex(void *, opaque, opaque)
	)
)

#endif /* EVENTS_H */

#include <lttng/tracepoint-event.h>
