package probe

const subsystemCPU = "cpu"

// KVMExits are the reasons for which a guest's processor leaves the guest, in the order of their columns. The manuals' names are Intel's (Software
// Developer's Manual, volume 3, appendix C) and AMD's (Architecture Programmer's Manual, volume 2, appendix C).
var KVMExits = []struct {
	Name  string // of the column: kvm:exit:NAME
	Words string
}{
	{"io", "ports read and written by the guest"},                                  // I/O instruction; VMEXIT_IOIO
	{"hlt", "halts of the guest's processors, with nothing to do"},                 // HLT; VMEXIT_HLT, idle HLT
	{"external_interrupt", "interrupts of the host while the guest runs"},          // External interrupt; VMEXIT_INTR
	{"interrupt_window", "waits for the guest to take interrupts"},                 // Interrupt window; VMEXIT_VINTR
	{"page_fault", "pages of the guest's memory that the host must provide"},       // EPT violation; VMEXIT_NPF, of device registers, too
	{"ept_misconfig", "device registers read and written by the guest"},            // EPT misconfiguration
	{"msr", "special registers of processors (MSR) read and written by the guest"}, // RDMSR, WRMSR; VMEXIT_MSR
	{"cpuid", "questions of the guest about its processors (CPUID)"},               // CPUID; VMEXIT_CPUID
	{"cr", "control registers read and written by the guest"},                      // Control-register accesses; VMEXIT_CR*
	{"dr", "debug registers read and written by the guest"},                        // MOV DR; VMEXIT_DR*
	{"exception", "exceptions and non-maskable interrupts while the guest runs"},   // Exception or NMI; VMEXIT_EXCP*, VMEXIT_NMI
	{"hypercall", "calls of the guest to the hypervisor"},                          // VMCALL; VMEXIT_VMMCALL
	{"pause", "waits of the guest in a loop for a lock (PAUSE)"},                   // PAUSE; VMEXIT_PAUSE
	{"mwait", "waits of the guest for a write to memory (MONITOR, MWAIT)"},         // MONITOR, MWAIT; VMEXIT_MONITOR, VMEXIT_MWAIT
	{"preemption_timer", "timers of the guest that ran out while it runs"},         // VMX-preemption timer expired
	{"apic", "registers of interrupt controllers read and written by the guest"},   // APIC access, APIC write, TPR below threshold; AVIC
	{"eoi", "ends of interrupts that the host must know of"},                       // Virtualized EOI
	{"tsc", "clocks read by the guest (RDTSC, RDTSCP)"},                            // RDTSC, RDTSCP; VMEXIT_RDTSC, VMEXIT_RDTSCP
	{"rdpmc", "performance counters read by the guest"},                            // RDPMC; VMEXIT_RDPMC
	{"random", "random numbers taken by the guest from its processor"},             // RDRAND, RDSEED
	{"cache", "caches and translations thrown away by the guest"},                  // INVD, INVLPG, WBINVD, INVPCID; VMEXIT_ of these
	{"xsetbv", "extended states of processors set by the guest (XSETBV)"},          // XSETBV; VMEXIT_XSETBV
	{"descriptor_table", "descriptor tables read and set by the guest"},            // GDTR or IDTR, LDTR or TR; VMEXIT_ of these
	{"task_switch", "task switches of the guest by hardware"},                      // Task switch; VMEXIT_TASK_SWITCH
	{"nested", "operations of a hypervisor in the guest"},                          // VMCLEAR to VMXON, INVEPT, INVVPID, VMFUNC; VMEXIT_VMRUN to VMEXIT_SKINIT, VMEXIT_INVLPGA
	{"dirty_log_full", "logs of written pages that were full"},                     // Page-modification log full
	{"bus_lock", "locks of the memory bus by the guest"},                           // Bus lock; VMEXIT_BUSLOCK
	{"debug_step", "single steps of the guest"},                                    // Monitor trap flag
	{"shutdown", "triple faults of the guest"},                                     // Triple fault; VMEXIT_SHUTDOWN
	{"encrypted", "requests of an encrypted guest to the host"},                    // TDCALL; VMEXIT_VMGEXIT
	{"other", "exits of the guest for other reasons"},
}

// kvmOthers are what KVM does for a guest beside exits.
var kvmOthers = []Column{
	{"kvm:pio:in", subsystemCPU, "reads of ports by the guest"},
	{"kvm:pio:out", subsystemCPU, "writes of ports by the guest"},
	{"kvm:mmio:unsatisfied", subsystemMemory, "device registers that QEMU is asked for"},
	{"kvm:mmio:read", subsystemMemory, "device registers read by the guest"},
	{"kvm:mmio:write", subsystemMemory, "device registers written by the guest"},
	{"kvm:fast_mmio", subsystemVirtio, "announcements by the guest that the kernel passes on"},
	{"kvm:msr:read", subsystemCPU, "special registers of processors (MSR) read by the guest"},
	{"kvm:msr:write", subsystemCPU, "special registers of processors (MSR) written by the guest"},
	{"kvm:inj_virq", subsystemCPU, "interrupts given to the guest's processors"},
	{"kvm:inj_exception", subsystemCPU, "exceptions given to the guest's processors"},
	{"kvm:hypercall", subsystemCPU, "calls of the guest to KVM"},
	{"kvm:hv_hypercall", subsystemCPU, "calls of the guest to Hyper-V, which KVM plays for it"},
	{"kvm:set_irq", subsystemVirtio, "changes of interrupt lines of the guest by its QEMU"},
	{"kvm:msi_set_irq", subsystemVirtio, "interrupts by message (MSI) for the guest by its QEMU"},
	{"kvm:emulate_insn", subsystemCPU, "instructions of the guest that KVM plays"},
	{"kvm:page_fault", subsystemMemory, "faults in the guest's memory that KVM handles"},
	{"kvm:vcpu_wakeup", subsystemCPU, "wake-ups of the guest's processors"},
	{"kvm:userspace_exit", subsystemCPU, "exits of the guest to its QEMU"},
}

// kvmColumns returns the exits by reason, then the rest.
func kvmColumns() []Column {
	columns := make([]Column, 0, len(KVMExits)+len(kvmOthers))
	for _, e := range KVMExits {
		columns = append(columns, Column{"kvm:exit:" + e.Name, subsystemCPU, e.Words})
	}
	return append(columns, kvmOthers...)
}
