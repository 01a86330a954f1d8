/*
 * hostile [-mode MODE] [-seed N] [any other arguments]
 *
 * Plays a QEMU that a guest has taken over, for LTTng: it registers QEMU's trace points (those of ../ustload/events.h), hits them some hundred times a
 * second, and when it is told to, writes whatever it likes into what it shares with LTTng's consumer daemon, its ring buffers:
 *
 *	packets   the headers of packets: times, sizes, sequence numbers, counters
 *	events    what stands behind them
 *	storm     nothing of that: it hits trace points without a pause, also with texts longer than a ring buffer
 *	control   what LTTng-UST keeps of the buffers: sizes, offsets, counters, references between them
 *	all       anything
 *	truncate  as all, and the shared memory's own size
 *
 * What it writes comes from the seed: numbers at the edges of what fits, and any others.
 *
 * Lines on standard input:
 *
 *	go        begin
 *	rest      leave off
 *
 * After each, and when it is ready, it says "writes N" on standard output: how much it has written so far. It ends at the end of standard input, so that it
 * never outlives who has started it.
 *
 * What it has written is LTTng-UST's own as well. A thread of it that crashes is kept for ever, and if it was one that hits trace points, another one takes
 * its place; the process lives on.
 *
 * HOSTILE_NAME in the environment is what it tells LTTng-UST as its name. LTTng-UST asks the C library for that, and finds the functions below instead.
 *
 * gcc -O2 -pthread -I../ustload -o hostile hostile.c -llttng-ust -ldl
 */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "events.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, MAPPINGS = 512, MAGIC = 0xC1FC1FC1, HEADER = 96, TEXT = 200000 };

static const char *mode = "all";
static uint64_t seed = 1;
static atomic_int going, crashed;
static atomic_ulong written;
static __thread sigjmp_buf *back; /* of the thread that scribbles */
static char text[TEXT + 1];

static uint64_t number(void)
{
	uint64_t v = seed += 0x9e3779b97f4a7c15ULL;

	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ (v >> 27)) * 0x94d049bb133111ebULL;
	return v ^ (v >> 31);
}

/* A number as it should not be. */
static uint64_t odd(void)
{
	static const uint64_t edges[] = {
		0, 1, 7, 8, 64, PAGE, PAGE - 8, 8 * PAGE, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32, 1ULL << 40, 1ULL << 60, 1ULL << 62,
		INT64_MAX, 1ULL << 63, UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - PAGE,
	};

	switch (number() % 3) {
	case 0:
		return edges[number() % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return number() % (64 * PAGE);
	}
	return number();
}

static struct mapping {
	char *from, *to;
} mappings[MAPPINGS];

/* Finds the ring buffers: shared memory by the name that the consumer daemon gives it. */
static int look(void)
{
	char line[8192];
	unsigned long from, to;
	int n = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && n < MAPPINGS && fgets(line, sizeof(line), maps))
		if (strstr(line, "/dev/shm/shm-ust-consumer-") && sscanf(line, "%lx-%lx rw-s", &from, &to) == 2)
			mappings[n++] = (struct mapping) {(char *) from, (char *) to};
	if (maps)
		fclose(maps);
	return n;
}

static int is(const char *name) { return !strcmp(mode, name); }

static int begins_packet(const char *page) { return *(const volatile uint32_t *) page == MAGIC; }

/* Writes once into a mapping. Packets begin on pages; what is before the first sub-buffer, and behind the last one, is LTTng-UST's own. */
static void write_into(const struct mapping *m)
{
	size_t pages = (size_t) (m->to - m->from) / PAGE, first = 0, last, length = pages;
	char *page;

	while (first < pages && !begins_packet(m->from + first * PAGE))
		first++;
	last = first;
	for (size_t i = first + 1; i < pages; i++) /* sub-buffers are of one length */
		if (begins_packet(m->from + i * PAGE)) {
			if (i - last < length)
				length = i - last;
			last = i;
		}
	pages = last == first ? first : last + length; /* of one packet alone it is not known how long it is */
	if (is("control")) {
		if (first > 0)
			*(volatile uint64_t *) (m->from + number() % (first * PAGE / 8) * 8) = odd();
		return;
	}
	if (is("packets") || is("events")) {
		if (pages <= first)
			return;
		page = m->from + (first + number() % (pages - first)) * PAGE;
		if (is("events"))
			*(volatile uint32_t *) (page + HEADER + number() % ((PAGE - HEADER) / 4) * 4) = (uint32_t) odd();
		else if (begins_packet(page)) /* behind magic number, UUID and stream */
			*(volatile uint64_t *) (page + 24 + number() % 8 * 8) = odd();
		return;
	}
	*(volatile uint64_t *) (m->from + number() % ((size_t) (m->to - m->from) / 8) * 8) = odd();
}

/* Gives the shared memory another size: what LTTng-UST has open. */
static void resize(void)
{
	char path[64], to[256];

	for (int fd = 3; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, to, sizeof(to) - 1);
		if (n <= 0)
			continue;
		to[n] = 0;
		if (strstr(to, "/dev/shm/shm-ust-consumer-") && number() % 4 == 0)
			written += !ftruncate(fd, (off_t) (number() % 16 * PAGE));
	}
}

static void *scribble(void *arg)
{
	sigjmp_buf here;

	(void) arg;
	back = &here;
	for (volatile unsigned round = 0;; round = round + 1) {
		usleep(1000);
		if (!going || is("storm") || sigsetjmp(here, 1))
			continue;
		int n = look();
		for (int i = 0; n > 0 && i < 20; i++) {
			write_into(&mappings[number() % (unsigned) n]);
			written++;
		}
		if (is("truncate") && round % 200 == 0)
			resize();
	}
	return NULL;
}

/* What a guest does that serves a page now and then. */
static void *guest(void *arg)
{
	char *net = arg;

	pthread_setname_np(pthread_self(), "CPU 0/KVM");
	for (unsigned n = 0;; n++) {
		int storm = going && is("storm");

		lttng_ust_tracepoint(qemu, virtio_queue_notify, net, 1, net + 0x98);
		lttng_ust_tracepoint(qemu, virtqueue_fill, net, net + 0x800, 60 + n % 1400, 0);
		lttng_ust_tracepoint(qemu, qemu_deliver_packet, "hostnet0", "net0", 60 + n % 1400, 0);
		lttng_ust_tracepoint(qemu, virtio_notify, net, net);
		if (storm) {
			written++;
			if (n % 64 == 0)
				lttng_ust_tracepoint(qemu, qemu_deliver_packet, text + number() % TEXT, text + number() % TEXT, n, 0);
		} else {
			usleep(8000);
		}
	}
	return NULL;
}

static void crash(int signal)
{
	(void) signal;
	if (back)
		siglongjmp(*back, 1);
	crashed++;
	for (;;)
		pause();
}

static const char *claimed(void) { return getenv("HOSTILE_NAME"); }

int prctl(int option, ...)
{
	va_list list;
	unsigned long a[4];

	va_start(list, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	if (option == PR_GET_NAME && claimed()) {
		memset((char *) a[0], 0, 16);
		strncpy((char *) a[0], claimed(), 15);
		return 0;
	}
	return (int) syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

int pthread_getname_np(pthread_t thread, char *name, size_t length)
{
	(void) thread;
	if (length < 16)
		return 34; /* ERANGE */
	return prctl(PR_GET_NAME, name, 0, 0, 0);
}

static void say(void)
{
	printf("writes %lu\n", written);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	const struct sigaction action = {.sa_handler = crash, .sa_flags = SA_NODEFER};
	char line[64], *net = calloc(1, PAGE);
	pthread_t thread;
	int replaced = 0;

	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "-mode"))
			mode = argv[i + 1];
		if (!strcmp(argv[i], "-seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	memset(text, 'x', TEXT);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	if (pthread_create(&thread, NULL, guest, net) || pthread_create(&thread, NULL, scribble, NULL)) {
		perror("hostile");
		return 1;
	}
	say();
	while (fgets(line, sizeof(line), stdin)) {
		going = !strcmp(line, "go\n");
		/* Threads that were lost are replaced when there is something new to do; others than those that hit trace points are LTTng-UST's. */
		for (; replaced < crashed && replaced < 64; replaced++)
			pthread_create(&thread, NULL, guest, net);
		say();
	}
	_exit(0); /* LTTng-UST's own end would wait for threads that are kept */
}
