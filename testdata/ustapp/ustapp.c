/*
 * ustapp ROUNDS [THREADS [PAUSE_US [CPUS]]]
 *
 * Every thread goes ROUNDS times through all tracepoints of the provider "fields" with
 * values made from the round's number alone, so that a reader of the trace can compute
 * them again. Between rounds it pauses. Thread t runs on CPU t modulo CPUS, if given.
 *
 * gcc -O2 -I. -o ustapp ustapp.c -llttng-ust -ldl -lpthread
 */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "fields.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned rounds = 1, threads = 1, pause_us, cpus;

static const char *const strings[] = {
	"", "plain", "with \"quotes\" and 'apostrophes'", "new\nline\tand tab\r\v\f\a\b", "\\ backslash ? mark",
	"\x01\x02\x1b[31m\x7f", "gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80", "invalid \xff\xfe utf-8",
	"a longer text, so that the events' sizes differ: 0123456789012345678901234567890123456789012345678901234567890123456789",
};

static const double doubles[] = {
	0.0, -0.0, 1.0, -1.5, 3.141592653589793, 1e-310, 1.7976931348623157e308, -2.5e-7, 123456789.0, 999999.5, 100000, 1e15,
};

static uint64_t scramble(uint64_t v)
{
	v += 0x9e3779b97f4a7c15ULL;
	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ (v >> 27)) * 0x94d049bb133111ebULL;
	return v ^ (v >> 31);
}

static void one_round(unsigned n)
{
	uint64_t v = n < 4 ? (uint64_t[]) {0, ~0ULL, 1ULL << 63, 0x8080808080808080ULL}[n] : scramble(n);
	uint8_t b[256];
	uint16_t h[256];
	int32_t w[256];
	int64_t q[256];
	char sixteen[16];
	double d = doubles[n % (sizeof(doubles) / sizeof(doubles[0]))];

	for (unsigned i = 0; i < 256; i++) {
		q[i] = (int64_t) scramble(n * 256ULL + i);
		b[i] = (uint8_t) q[i];
		h[i] = (uint16_t) q[i];
		w[i] = (int32_t) q[i];
	}
	if (n % 50 == 49)
		d = (double[]) {NAN, INFINITY, -INFINITY}[n / 50 % 3];
	memset(sixteen, 0, sizeof(sixteen));
	memcpy(sixteen, "sixteen letters!", 16 - n % 17 % 16);

	lttng_ust_tracepoint(fields, begin, n);
	lttng_ust_tracepoint(fields, integers, v);
	lttng_ust_tracepoint(fields, floats, (float) d, d);
	lttng_ust_tracepoint(fields, arrays, b, h, w, q);
	lttng_ust_tracepoint(fields, sequences, b, h, w, q, n % 40 == 39 ? 200 : n % 7);
	lttng_ust_tracepoint(fields, texts, strings[n % (sizeof(strings) / sizeof(strings[0]))], sixteen, n % 17);
	lttng_ust_tracepoint(fields, enums, (int) (n % 310) - 105, n % 300);
	lttng_ust_tracepoint(fields, nothing);
	lttng_ust_tracepoint(fields, end, n);
}

static void *run(void *arg)
{
	unsigned thread = (unsigned) (uintptr_t) arg;

	if (cpus) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(thread % cpus, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	for (unsigned n = 0; n < rounds; n++) {
		one_round(n);
		if (pause_us)
			usleep(pause_us);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t ids[64];

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		threads = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		pause_us = strtoul(argv[3], NULL, 10);
	if (argc > 4)
		cpus = strtoul(argv[4], NULL, 10);
	if (threads < 1 || threads > 64) {
		fprintf(stderr, "ustapp: 1 to 64 threads\n");
		return 2;
	}
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, run, (void *) (uintptr_t) i)) {
			perror("ustapp: pthread_create");
			return 1;
		}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
