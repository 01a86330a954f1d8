/*
 * QEMU's trace points that a guest hits which writes to its virtio disk as fast as it can (stress --io), with QEMU's fields.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER qemu

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./qemu.h"

#if !defined(DENSE_QEMU_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define DENSE_QEMU_H

#include <stdint.h>
#include <lttng/tracepoint.h>

#define POINTER(name) lttng_ust_field_integer_hex(uint64_t, name, (uint64_t) (uintptr_t) name)
#define NUMBER(type, name) lttng_ust_field_integer(type, name, name)

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_queue_notify, LTTNG_UST_TP_ARGS(void *, vdev, int32_t, n, void *, vq),
	LTTNG_UST_TP_FIELDS(POINTER(vdev) NUMBER(int32_t, n) POINTER(vq)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_alloc_element, LTTNG_UST_TP_ARGS(void *, elem, uint64_t, sz, uint32_t, in_num, uint32_t, out_num),
	LTTNG_UST_TP_FIELDS(POINTER(elem) NUMBER(uint64_t, sz) NUMBER(uint32_t, in_num) NUMBER(uint32_t, out_num)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_pop, LTTNG_UST_TP_ARGS(void *, vq, void *, elem, uint32_t, in_num, uint32_t, out_num),
	LTTNG_UST_TP_FIELDS(POINTER(vq) POINTER(elem) NUMBER(uint32_t, in_num) NUMBER(uint32_t, out_num)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, qemu_aio_coroutine_enter, LTTNG_UST_TP_ARGS(void *, ctx, void *, from, void *, to, void *, opaque),
	LTTNG_UST_TP_FIELDS(POINTER(ctx) POINTER(from) POINTER(to) POINTER(opaque)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, qemu_co_mutex_lock_uncontended, LTTNG_UST_TP_ARGS(void *, mutex, void *, self),
	LTTNG_UST_TP_FIELDS(POINTER(mutex) POINTER(self)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, qemu_co_mutex_unlock_entry, LTTNG_UST_TP_ARGS(void *, mutex, void *, self),
	LTTNG_UST_TP_FIELDS(POINTER(mutex) POINTER(self)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, qcow2_cache_flush, LTTNG_UST_TP_ARGS(void *, co, int32_t, c),
	LTTNG_UST_TP_FIELDS(POINTER(co) NUMBER(int32_t, c)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, qemu_coroutine_terminate, LTTNG_UST_TP_ARGS(void *, co),
	LTTNG_UST_TP_FIELDS(POINTER(co)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_blk_req_complete, LTTNG_UST_TP_ARGS(void *, vdev, void *, req, int32_t, status),
	LTTNG_UST_TP_FIELDS(POINTER(vdev) POINTER(req) NUMBER(int32_t, status)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_fill, LTTNG_UST_TP_ARGS(void *, vq, void *, elem, uint32_t, len, uint32_t, idx),
	LTTNG_UST_TP_FIELDS(POINTER(vq) POINTER(elem) NUMBER(uint32_t, len) NUMBER(uint32_t, idx)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_flush, LTTNG_UST_TP_ARGS(void *, vq, uint32_t, count),
	LTTNG_UST_TP_FIELDS(POINTER(vq) NUMBER(uint32_t, count)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, virtio_notify_irqfd, LTTNG_UST_TP_ARGS(void *, vdev, void *, vq),
	LTTNG_UST_TP_FIELDS(POINTER(vdev) POINTER(vq)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, memory_region_ops_write,
	LTTNG_UST_TP_ARGS(int32_t, cpu_index, void *, mr, uint64_t, addr, uint64_t, value, uint32_t, size, const char *, name),
	LTTNG_UST_TP_FIELDS(NUMBER(int32_t, cpu_index) POINTER(mr) lttng_ust_field_integer_hex(uint64_t, addr, addr)
		lttng_ust_field_integer_hex(uint64_t, value, value) NUMBER(uint32_t, size) lttng_ust_field_string(name, name)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, apic_mem_writel, LTTNG_UST_TP_ARGS(uint64_t, addr, uint32_t, val),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer_hex(uint64_t, addr, addr) lttng_ust_field_integer_hex(uint32_t, val, val)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, apic_deliver_irq,
	LTTNG_UST_TP_ARGS(uint8_t, dest, uint8_t, dest_mode, uint8_t, delivery_mode, uint8_t, vector_num, uint8_t, trigger_mode),
	LTTNG_UST_TP_FIELDS(NUMBER(uint8_t, dest) NUMBER(uint8_t, dest_mode) NUMBER(uint8_t, delivery_mode) NUMBER(uint8_t, vector_num)
		NUMBER(uint8_t, trigger_mode)))
LTTNG_UST_TRACEPOINT_EVENT(qemu, apic_report_irq_delivered, LTTNG_UST_TP_ARGS(int32_t, apic_irq_delivered),
	LTTNG_UST_TP_FIELDS(NUMBER(int32_t, apic_irq_delivered)))

#endif /* DENSE_QEMU_H */

#include <lttng/tracepoint-event.h>
