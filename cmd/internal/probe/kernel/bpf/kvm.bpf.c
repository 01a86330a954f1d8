// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
//
// Counts what KVM does for the observed processes: exits of their guests by reason, and other trace points.

#define COLUMNS 49 // kvmColumns() in package probe
#include "shared.bpf.h"

// Columns after those of the exits, in their order.
enum column {
	PIO_IN = 31,
	PIO_OUT,
	MMIO_UNSATISFIED,
	MMIO_READ,
	MMIO_WRITE,
	FAST_MMIO,
	MSR_READ,
	MSR_WRITE,
	INJ_VIRQ,
	INJ_EXCEPTION,
	HYPERCALL,
	HV_HYPERCALL,
	SET_IRQ,
	MSI_SET_IRQ,
	EMULATE_INSN,
	PAGE_FAULT,
	VCPU_WAKEUP,
	USERSPACE_EXIT,
};

#define VMX 1 // KVM_ISA_VMX
#define SVM 2 // KVM_ISA_SVM

// An entry for each reason: 128 of VMX, 256 of SVM, and 16 of SVM from 0x400 on; the last one for what is none of these.
#define REASONS (128 + 256 + 16 + 1)

volatile const __u32 reason_offset;     // of the reason and of the instruction set's number in what the trace point kvm_exit says
volatile const __u32 isa_offset;
volatile const __u8 exits[REASONS];     // columns

// count counts a hit of a column if the current process is observed.
static __always_inline void count(__u32 column)
{
	__u32 *place = place_of(bpf_get_current_pid_tgid() >> 32);
	if (place)
		count_at(place, column);
}

static __always_inline __u32 entry(__u32 isa, __u32 reason)
{
	if (isa == VMX && (reason & 0xffff) < 128) // above are flags
		return reason & 0xffff;
	if (isa == SVM && reason < 256)
		return 128 + reason;
	if (isa == SVM && reason >= 0x400 && reason < 0x410)
		return 128 + 256 + reason - 0x400;
	return REASONS - 1;
}

// The reason is no argument of the trace point, but only in the record that perf and ftrace make of it, whose layout differs between kernels.
SEC("tracepoint/kvm/kvm_exit")
int kvm_exit(void *record)
{
	__u32 reason, isa, *place = place_of(bpf_get_current_pid_tgid() >> 32);
	if (!place)
		return 0;
	if (bpf_probe_read_kernel(&reason, sizeof(reason), record + reason_offset) || bpf_probe_read_kernel(&isa, sizeof(isa), record + isa_offset))
		return 0;
	__u32 e = entry(isa, reason);
	asm volatile("" : "+r"(e)); // the compiler knows the bound, the verifier does not
	if (e < REASONS)
		count_at(place, exits[e]);
	return 0;
}

struct arguments {
	__u64 n[5];
};

// The first arguments of these have not changed since Linux 3.
SEC("raw_tracepoint/kvm_pio")
int kvm_pio(struct arguments *a) // unsigned int rw, ...
{
	count((__u32)a->n[0] ? PIO_OUT : PIO_IN);
	return 0;
}

SEC("raw_tracepoint/kvm_mmio")
int kvm_mmio(struct arguments *a) // int type, ...
{
	__u32 type = a->n[0];
	if (type < 3)
		count(MMIO_UNSATISFIED + type);
	return 0;
}

SEC("raw_tracepoint/kvm_msr")
int kvm_msr(struct arguments *a) // unsigned write, ...
{
	count((__u32)a->n[0] ? MSR_WRITE : MSR_READ);
	return 0;
}

#define COUNTED(name, column)  \
	SEC("raw_tracepoint/" #name) \
	int name(void *ctx)          \
	{                            \
		(void)ctx;           \
		count(column);       \
		return 0;            \
	}

COUNTED(kvm_fast_mmio, FAST_MMIO)
COUNTED(kvm_inj_virq, INJ_VIRQ)
COUNTED(kvm_inj_exception, INJ_EXCEPTION)
COUNTED(kvm_hypercall, HYPERCALL)
COUNTED(kvm_hv_hypercall, HV_HYPERCALL)
COUNTED(kvm_set_irq, SET_IRQ)
COUNTED(kvm_msi_set_irq, MSI_SET_IRQ)
COUNTED(kvm_emulate_insn, EMULATE_INSN)
COUNTED(kvm_page_fault, PAGE_FAULT)
COUNTED(kvm_vcpu_wakeup, VCPU_WAKEUP)
COUNTED(kvm_userspace_exit, USERSPACE_EXIT)
