/*
 * dense qemu|dense EVENTS
 *
 * Hits trace points about so many times in all, on two threads, each on a CPU of its own if there are two. What it writes depends on its arguments alone.
 *
 *	qemu   those that a QEMU hits for requests of a virtio disk, in its order: what a virtual CPU does on one thread, and what the main loop
 *	       does on the other
 *	dense  those of dense.h, with texts, arrays and sequences of changing lengths
 *
 * gcc -O2 -I. -o dense dense.c -llttng-ust -ldl -lpthread
 */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "qemu.h"
#include "dense.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(n) ((void *) (uintptr_t) (0x55f872700000ULL + (n) * 0x1010ULL))

/* A thread pauses, so that the consumer daemon keeps up, after about so many events. */
#define BURST 600

static unsigned long events;

static void pause_after(unsigned long done)
{
	if (done % BURST == 0)
		usleep(1000);
}

static void on_cpu(unsigned n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n % (unsigned) sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void lock(unsigned n)
{
	lttng_ust_tracepoint(qemu, qemu_co_mutex_lock_uncontended, AT(n), AT(9));
}

static void unlock(unsigned n)
{
	lttng_ust_tracepoint(qemu, qemu_co_mutex_unlock_entry, AT(n), AT(9));
}

/* 24 events for a request: it is taken, it is a flush of a qcow2 image, it is done, the guest is told. */
static void request(unsigned n)
{
	void *vdev = AT(1), *vq = AT(2), *elem = AT(100 + n % 64), *co = AT(9);

	lttng_ust_tracepoint(qemu, virtio_queue_notify, vdev, 0, vq);
	lttng_ust_tracepoint(qemu, virtqueue_alloc_element, elem, 240, 1, 1);
	lttng_ust_tracepoint(qemu, virtqueue_pop, vq, elem, 1, 1);
	lttng_ust_tracepoint(qemu, qemu_aio_coroutine_enter, AT(3), AT(4), co, AT(5));
	lock(10);
	unlock(10);
	lock(11);
	lttng_ust_tracepoint(qemu, qcow2_cache_flush, co, 1);
	lttng_ust_tracepoint(qemu, qcow2_cache_flush, co, 0);
	unlock(11);
	for (unsigned i = 0; i < 3; i++) {
		lock(12 + i / 2);
		unlock(12 + i / 2);
	}
	lttng_ust_tracepoint(qemu, qemu_coroutine_terminate, co);
	lttng_ust_tracepoint(qemu, virtio_blk_req_complete, vdev, elem, 0);
	lttng_ust_tracepoint(qemu, virtqueue_fill, vq, elem, 1, 0);
	lttng_ust_tracepoint(qemu, virtqueue_flush, vq, 1);
	lttng_ust_tracepoint(qemu, virtio_notify_irqfd, vdev, vq);
	lttng_ust_tracepoint(qemu, memory_region_ops_write, -1, AT(6), 0xfee01004, 0x2b, 4, "apic-msi");
	lttng_ust_tracepoint(qemu, apic_deliver_irq, 1, 1, 0, 43, 0);
	lttng_ust_tracepoint(qemu, apic_report_irq_delivered, (int) n);
}

/* 2.1 events for a request. */
static void interrupt(unsigned n)
{
	lttng_ust_tracepoint(qemu, memory_region_ops_write, 0, AT(6), 0xfee000b0, 0, 4, "apic-msi");
	lttng_ust_tracepoint(qemu, apic_mem_writel, 0xb0, 0);
	if (n % 20 == 0) {
		lttng_ust_tracepoint(qemu, memory_region_ops_write, 0, AT(7), 0xfebc3000, 0, 2, "virtio-pci-notify-virtio-blk");
		lttng_ust_tracepoint(qemu, apic_report_irq_delivered, (int) n);
	}
}

static void *main_loop(void *arg)
{
	(void) arg;
	on_cpu(0);
	for (unsigned long n = 0; n < events / 26; n++) {
		request((unsigned) n);
		if (n % (BURST / 24) == 0)
			usleep(1000);
	}
	return NULL;
}

static void *virtual_cpu(void *arg)
{
	(void) arg;
	on_cpu(1);
	for (unsigned long n = 0; n < events / 26; n++) {
		interrupt((unsigned) n);
		if (n % (BURST / 24) == 0)
			usleep(1000);
	}
	return NULL;
}

static const char *const names[] = {
	"", "apic-msi", "virtio-pci-notify-virtio-net", "hostnet0", "/machine/peripheral/net0/virtio-backend", "a text of some length, such as a message has: 0123456789",
};

static void *all_kinds(void *arg)
{
	unsigned thread = (unsigned) (uintptr_t) arg, kinds = sizeof(names) / sizeof(names[0]);
	uint8_t b[64];
	uint16_t h[64];
	int32_t w[64];
	int64_t q[64];
	char text[65];

	on_cpu(thread);
	for (unsigned i = 0; i < 64; i++) {
		b[i] = (uint8_t) (i * 37 + thread);
		h[i] = (uint16_t) (i * 4099);
		w[i] = (int32_t) (i * 99991);
		q[i] = (int64_t) i << (i / 2);
		text[i] = (char) ('a' + i % 26);
	}
	text[64] = 0;
	for (unsigned long n = 0; n < events / 2; n += 5) {
		const char *s = names[n / 5 % kinds], *t = names[n / 7 % kinds];

		lttng_ust_tracepoint(dense, name, n, s);
		lttng_ust_tracepoint(dense, names, (uint32_t) n, s, t);
		lttng_ust_tracepoint(dense, arrays, b, w, text);
		lttng_ust_tracepoint(dense, sequences, b, h, w, q, (uint32_t) (n / 5 % 17));
		lttng_ust_tracepoint(dense, text, t, text, (uint32_t) (n / 5 % 33));
		pause_after(n);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*run[2])(void *) = {NULL, NULL};
	pthread_t ids[2];

	if (argc == 3 && strcmp(argv[1], "qemu") == 0) {
		run[0] = main_loop;
		run[1] = virtual_cpu;
	} else if (argc == 3 && strcmp(argv[1], "dense") == 0) {
		run[0] = run[1] = all_kinds;
	}
	events = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	if (!run[0] || events == 0) {
		fprintf(stderr, "usage: dense qemu|dense EVENTS\n");
		return 2;
	}
	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&ids[i], NULL, run[i], (void *) (uintptr_t) i)) {
			perror("dense: pthread_create");
			return 1;
		}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
