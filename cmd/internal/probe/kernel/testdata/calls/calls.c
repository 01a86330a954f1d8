/* Exports functions of the names that QEMU has, and calls them as standard input says: "FUNCTION TIMES ARGUMENT ARGUMENT WHERE". The arguments
   are those that matter, WHERE is "here", or "thread" for calls by another thread. Each line is answered by "done", the nanoseconds that it took and
   the sum of the semaphores. Built with -rdynamic; with -DSDT the functions have the SDT probes that QEMU's dtrace backend makes, with
   -DSTRIPPED there are no functions. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#ifdef SDT
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
#define SEMAPHORE(name) unsigned short qemu_##name##_semaphore __attribute__((section(".probes"), used));
SEMAPHORE(virtqueue_fill)
SEMAPHORE(bdrv_co_preadv_part)
SEMAPHORE(bdrv_co_pwritev_part)
#define PROBE(...) __VA_ARGS__
#else
#define PROBE(...)
#endif

/* The functions begin by saving a register, as most do. */
#define USE(...) __asm__ volatile("" :: __VA_ARGS__ : "rbx")
#define FUNCTION __attribute__((noinline, noclone, noipa))

struct calls {
	char name[64];
	long times;
	long long a, b;
};

#ifndef STRIPPED
FUNCTION void virtqueue_fill(void *vq, const void *elem, unsigned int len, unsigned int idx)
{
	PROBE(if (qemu_virtqueue_fill_semaphore) STAP_PROBE4(qemu, virtqueue_fill, vq, elem, len, idx);)
	USE("r"(vq), "r"(elem), "r"(len), "r"(idx));
}

FUNCTION void block_acct_start(void *stats, void *acct, int64_t bytes, int type)
{
	USE("r"(stats), "r"(acct), "r"(bytes), "r"(type));
}

FUNCTION int bdrv_co_preadv_part(void *child, int64_t offset, int64_t bytes, void *qiov, size_t at, int flags)
{
	PROBE(if (qemu_bdrv_co_preadv_part_semaphore) STAP_PROBE4(qemu, bdrv_co_preadv_part, child, offset, bytes, flags);)
	USE("r"(child), "r"(offset), "r"(bytes), "r"(qiov), "r"(at), "r"(flags));
	return 0;
}

FUNCTION int bdrv_co_pwritev_part(void *child, int64_t offset, int64_t bytes, void *qiov, size_t at, int flags)
{
	PROBE(volatile int64_t kept = bytes; /* an argument in memory */
	      if (qemu_bdrv_co_pwritev_part_semaphore) STAP_PROBE4(qemu, bdrv_co_pwritev_part, child, offset, kept, flags);)
	USE("r"(child), "r"(offset), "r"(bytes), "r"(qiov), "r"(at), "r"(flags));
	return 0;
}

FUNCTION ssize_t qemu_net_queue_send(void *queue, void *sender, unsigned flags, const uint8_t *data, size_t size, void *sent)
{
	USE("r"(queue), "r"(sender), "r"(flags), "r"(data), "r"(size), "r"(sent));
	return size;
}

FUNCTION ssize_t qemu_net_queue_send_iov(void *queue, void *sender, unsigned flags, const struct iovec *iov, int iovcnt, void *sent)
{
	USE("r"(queue), "r"(sender), "r"(flags), "r"(iov), "r"(iovcnt), "r"(sent));
	return 0;
}

FUNCTION void msix_notify(void *dev, unsigned vector)
{
	USE("r"(dev), "r"(vector));
}

FUNCTION int memory_region_dispatch_write(void *mr, uint64_t addr, uint64_t data, int op, uint64_t attrs)
{
	USE("r"(mr), "r"(addr), "r"(data), "r"(op), "r"(attrs));
	return 0;
}

static void call(const struct calls *c)
{
	struct iovec v[64];
	long i, n = c->b < 64 ? c->b : 64;

	for (i = 0; i < n; i++) { /* a bytes in b pieces */
		v[i].iov_base = v;
		v[i].iov_len = c->a / n + (i == 0 ? c->a % n : 0);
	}
	for (i = 0; i < c->times; i++) {
		if (!strcmp(c->name, "virtqueue_fill"))
			virtqueue_fill(v, v, c->a, i);
		else if (!strcmp(c->name, "block_acct_start"))
			block_acct_start(v, v, c->a, c->b);
		else if (!strcmp(c->name, "bdrv_co_preadv_part"))
			bdrv_co_preadv_part(v, i, c->a, v, 0, 0);
		else if (!strcmp(c->name, "bdrv_co_pwritev_part"))
			bdrv_co_pwritev_part(v, i, c->a, v, 0, 0);
		else if (!strcmp(c->name, "qemu_net_queue_send"))
			qemu_net_queue_send(v, v, 0, (void *)v, c->a, v);
		else if (!strcmp(c->name, "qemu_net_queue_send_iov"))
			qemu_net_queue_send_iov(v, v, 0, c->b < 0 ? NULL : v, c->b < 0 ? 1 : c->b, v);
		else if (!strcmp(c->name, "msix_notify"))
			msix_notify(v, i);
		else if (!strcmp(c->name, "memory_region_dispatch_write"))
			memory_region_dispatch_write(v, i, i, c->a, 0);
	}
}
#else
static void call(const struct calls *c) { (void)c; }
#endif

static void *call_thread(void *c)
{
	call(c);
	return NULL;
}

static int semaphores(void)
{
	PROBE(return qemu_virtqueue_fill_semaphore + qemu_bdrv_co_preadv_part_semaphore + qemu_bdrv_co_pwritev_part_semaphore;)
	return 0;
}

int main(void)
{
	struct calls c;
	char where[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%63s %ld %lld %lld %15s", c.name, &c.times, &c.a, &c.b, where) == 5) {
		struct timespec begin, end;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		if (!strcmp(where, "thread")) {
			pthread_t t;
			if (pthread_create(&t, NULL, call_thread, &c) || pthread_join(t, NULL))
				return 1;
		} else {
			call(&c);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("done %lld %d\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec, semaphores());
	}
	return 0;
}
