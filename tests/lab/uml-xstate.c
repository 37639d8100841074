/*
 * Copyright: brickwork.storage contributors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lets User-Mode Linux run on processors with AMX. Preloaded into the machine's process.
 *
 * UML reserves a fixed 2696 bytes for a process's extended registers, all there was up to AVX-512. The host's kernel
 * takes them back only at its own full size, which is larger where the processor has AMX: setting them fails with
 * EFAULT and the first program in the machine dies. What lies beyond those bytes belongs to features that need the
 * host's permission (AMX), which nothing in the machine ever gets; so it is filled with their initial state.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define LARGEST_STATE (64 * 1024)
#define HEADER 512 /* where the XSAVE area lists the features it holds */
#define UP_TO_PROTECTION_KEYS 0x3ffULL

static char padded[LARGEST_STATE] __attribute__((aligned(64)));

static size_t host_size(long (*real)(int, ...), int pid)
{
	static size_t size;

	if (!size) {
		struct iovec all = { padded, sizeof(padded) };

		if (real(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) == 0)
			size = all.iov_len;
	}
	return size;
}

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(int, ...);
	va_list arguments;
	int pid;
	void *address, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, int);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	if (!real)
		real = dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
		struct iovec *given = data;
		size_t size = host_size(real, pid);

		if (size > given->iov_len && given->iov_len >= HEADER + sizeof(uint64_t)) {
			struct iovec whole = { padded, size };
			uint64_t features;

			memset(padded, 0, size);
			memcpy(padded, given->iov_base, given->iov_len);
			memcpy(&features, padded + HEADER, sizeof(features));
			features &= UP_TO_PROTECTION_KEYS;
			memcpy(padded + HEADER, &features, sizeof(features));
			return real(request, pid, address, &whole);
		}
	}
	return real(request, pid, address, data);
}
