/*
 * ustload [-load LOAD] [-seed N] [any other arguments]
 *
 * Plays one QEMU for LTTng: it registers QEMU's trace points (those of events.h) and hits them as a QEMU does whose guest has one virtio network card
 * and one virtio disk. What it does is a chain of bursts whose times and sizes come from the seed alone. Loads:
 *
 *	still  nothing, for minutes
 *	idle   a packet now and then
 *	web    a web server at the utmost of the lab's guest: 8 pages a second, some 500 events of the default feature set
 *	busy   the same of a guest three times as fast
 *	disk   a guest that writes to its disk, twenty requests a second, and is never quiet
 *
 * A web page is seven packets to the guest and six from it, sometimes with what a data base writes; bursts and sizes are those of recordings of the
 * lab's guest (testdata/units). Load swings by half within half a minute, and at times there is none for a second.
 *
 * Lines on standard input:
 *
 *	load LOAD         go on with another load
 *	flood RATE MS     for so many milliseconds, at most RATE packets a second to the guest besides; at most 500,000
 *	count             print "events N default M": all hits so far, and those of the default feature set
 *
 * It ends at the end of standard input, so that it never outlives who has started it, and counts once more.
 *
 * gcc -O2 -pthread -I. -o qemu-system-x86_64 ustload.c -llttng-ust -ldl -lm
 */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "events.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NS = 1000000000, MOST_FLOOD = 500000, QUEUE = 0x98 }; /* QUEUE: what two queues of a device are apart */

static const struct load {
	const char *name;
	double pages, writes, packets; /* bursts a second */
	int steady; /* they do not swing */
} loads[] = {
	{"still", 0, 0, 0.01}, {"idle", 0, 0, 0.3}, {"web", 8, 0, 0.3}, {"busy", 25, 0, 0.3}, {"disk", 0, 5, 0.3, 1},
};

static _Atomic(const struct load *) load = &loads[2];
static _Atomic unsigned long all, counted;
static _Atomic unsigned flood_rate;
static _Atomic long flood_end; /* CLOCK_MONOTONIC, ns */
static uint64_t seed = 1;

/* The guest's devices: addresses as malloc gives them, other ones in each process. */
static char *net, *net_queues, *blk, *blk_queue, *image;
static uint64_t sector;

#define besides(...) do { \
		all++; \
		lttng_ust_tracepoint(qemu, __VA_ARGS__); \
	} while (0)
#define hit(...) do { \
		counted++; \
		besides(__VA_ARGS__); \
	} while (0)

/* splitmix64 */
static uint64_t number(void)
{
	uint64_t v = seed += 0x9e3779b97f4a7c15ULL;

	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ (v >> 27)) * 0x94d049bb133111ebULL;
	return v ^ (v >> 31);
}

static double uniform(void) { return (double) (number() >> 11) / (1ULL << 53); }

static unsigned below(unsigned n) { return (unsigned) (number() % n); }

/* The time until the next of bursts that come so often a second, independently of each other: ns. */
static long until(double rate) { return (long) (-log(1 - uniform()) / rate * NS); }

static void receive(unsigned size)
{
	besides(tap_send, "hostnet0", size);
	hit(virtqueue_fill, net_queues, net + 0x800, size, 0);
	hit(virtio_notify, net, net_queues);
	hit(qemu_deliver_packet, "hostnet0", "net0", size, 0);
}

static void sends(unsigned size)
{
	hit(virtio_queue_notify, net, 1, net_queues + QUEUE);
	hit(qemu_deliver_packet, "net0", "hostnet0", size, 0);
	hit(virtqueue_fill, net_queues + QUEUE, net + 0x800, 0, 0);
	hit(virtio_notify, net, net_queues + QUEUE);
}

static void writes(unsigned sectors)
{
	hit(virtio_queue_notify, blk, 0, blk_queue);
	hit(virtio_blk_handle_write, blk, blk + 0x100, sector, sectors);
	hit(blk_co_pwritev, image, image + 0x400, (int64_t) (sector * 512), (int64_t) sectors * 512, 8);
	if (below(12) == 0)
		hit(qcow2_handle_alloc, image, sector * 512, sector * 512, sectors * 512ULL);
	besides(virtio_blk_rw_complete, blk, blk + 0x100, 0);
	besides(virtio_blk_req_complete, blk, blk + 0x100, 0);
	hit(virtqueue_fill, blk_queue, blk + 0x100, 1, 0);
	besides(virtio_notify_irqfd, blk, blk_queue);
	sector = (sector + sectors) % (4ULL << 21);
}

static void reads(unsigned sectors)
{
	hit(virtio_queue_notify, blk, 0, blk_queue);
	hit(virtio_blk_handle_read, blk, blk + 0x100, sector, sectors);
	hit(blk_co_preadv, image, image + 0x400, (int64_t) (sector * 512), (int64_t) sectors * 512, 0);
	besides(virtio_blk_rw_complete, blk, blk + 0x100, 0);
	besides(virtio_blk_req_complete, blk, blk + 0x100, 0);
	hit(virtqueue_fill, blk_queue, blk + 0x100, sectors * 512 + 1, 0);
	besides(virtio_notify_irqfd, blk, blk_queue);
}

static void flush(void)
{
	hit(virtio_queue_notify, blk, 0, blk_queue);
	hit(bdrv_aio_flush, "libvirt-1-format", image);
	besides(thread_pool_submit, image, blk, image + 0x800);
	besides(virtio_blk_req_complete, blk, blk + 0x100, 0);
	hit(virtqueue_fill, blk_queue, blk + 0x100, 1, 0);
	besides(virtio_notify_irqfd, blk, blk_queue);
}

static void page(void)
{
	unsigned more = below(4);

	receive(86); /* the handshake, the request, */
	sends(86);
	receive(78);
	receive(150 + below(120));
	sends(78);
	if (below(4) == 0) { /* what the data base writes, */
		writes(2);
		flush();
	}
	if (below(30) == 0)
		reads(8 << below(3));
	for (unsigned i = 0; i < 2 + more; i++) { /* the answer, */
		sends(i < 1 + more ? 1526 : 200 + below(1200));
		receive(78);
	}
	sends(78); /* and the end. */
	receive(78);
}

static void disk(void)
{
	unsigned n = 1 + below(7);

	for (unsigned i = 0; i < n; i++)
		writes(8U << below(6));
	if (below(20) == 0)
		flush();
}

static void packet(void)
{
	receive(72);
	if (below(2))
		sends(72);
}

/* A machine is reset when it starts: its devices tell what they are. */
static void reset(void)
{
	hit(resettable_phase_hold_exec, net, "virtio-net-device", 1);
	hit(resettable_phase_hold_exec, blk, "virtio-blk-device", 1);
	besides(memory_region_ops_write, 0, net, 0x14, 0, 1, "virtio-pci-common-virtio-net");
	besides(memory_region_ops_read, 0, blk, 0x14, 0, 1, "virtio-pci-common-virtio-blk");
	hit(virtio_rng_pushed, image + 0x100, 64);
	hit(virtio_console_flush_buf, 1, 1, 1);
	hit(usb_xhci_doorbell_write, 0, 0);
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void sleep_until(long t)
{
	struct timespec at = {t / NS, t % NS};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* How much of the load there is at a time after the start: it swings within half a minute, not all players' at once, and a fifth of all seconds are quiet. Those of a steady load do neither. */
#define MOST_SHARE 1.875
static double swing(long t, uint64_t phase)
{
	double turn = (double) t / NS / 30 + (double) (phase >> 32) / (1ULL << 32);
	uint64_t second = (uint64_t) (t / NS) * 2654435761ULL + phase;

	return (second >> 7) % 5 == 0 ? 0.05 : 1.25 * (1 + 0.5 * sin(2 * M_PI * turn));
}

/* Bursts come as often as the load's at its most, and those that are too many are left out. */
static void *guest(void *arg)
{
	const uint64_t phase = number();
	const long start = now(), look = NS / 4; /* so often it is seen whether there is another load */

	(void) arg;
	pthread_setname_np(pthread_self(), "CPU 0/KVM");
	reset();
	for (long t = start;;) {
		const struct load *l = load;
		double rate = l->pages + l->writes + l->packets;
		long gap = until(rate * MOST_SHARE);

		if (gap > look) { /* time has no memory: from there on it is as from here */
			sleep_until(t += look);
			continue;
		}
		sleep_until(t += gap);
		if (uniform() * MOST_SHARE > (l->steady ? 1 : swing(t - start, phase)))
			continue;
		double which = uniform() * rate;
		if (which < l->pages)
			page();
		else if (which < l->pages + l->writes)
			disk();
		else
			packet();
	}
	return NULL;
}

static void *floods(void *arg)
{
	long t = now();

	(void) arg;
	pthread_setname_np(pthread_self(), "vhost");
	for (;;) {
		if (flood_rate && now() < flood_end) { /* in portions of a millisecond */
			for (unsigned i = 0; i < flood_rate / 1000; i++)
				receive(72);
			t += NS / 1000;
		} else {
			t += NS / 10;
		}
		if (t < now() - NS / 10)
			t = now(); /* what cannot be kept up is not made up for */
		sleep_until(t);
	}
	return NULL;
}

static const struct load *load_named(const char *name)
{
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (!strcmp(loads[i].name, name))
			return &loads[i];
	fprintf(stderr, "ustload: no load %s: still, idle, web, busy or disk\n", name);
	exit(2);
}

static void count(void)
{
	printf("events %lu default %lu\n", all, counted);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[256], name[64];
	pthread_t thread;
	unsigned rate, ms;

	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "-load"))
			load = load_named(argv[i + 1]);
		if (!strcmp(argv[i], "-seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	net = calloc(1, 4096);
	net_queues = calloc(1, 4096);
	blk = calloc(1, 4096);
	blk_queue = calloc(1, 4096);
	image = calloc(1, 4096);
	if (!net || !net_queues || !blk || !blk_queue || !image || pthread_create(&thread, NULL, guest, NULL) || pthread_create(&thread, NULL, floods, NULL)) {
		perror("ustload");
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "load %63s", name) == 1) {
			load = load_named(name);
		} else if (sscanf(line, "flood %u %u", &rate, &ms) == 2) {
			flood_end = now() + (long) ms * 1000000;
			flood_rate = rate > MOST_FLOOD ? MOST_FLOOD : rate;
		} else if (!strcmp(line, "count\n")) {
			count();
		} else {
			fprintf(stderr, "ustload: what is %s", line);
			return 2;
		}
	}
	count();
	return 0;
}
