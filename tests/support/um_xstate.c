/* Lets user-mode Linux run on processors with more registers than it has heard of.
 *
 * On every switch user-mode Linux (6.1, Debian 12) saves a process's vector registers with PTRACE_GETREGSET into a
 * buffer of a size fixed when it was compiled, and puts them back with PTRACE_SETREGSET. Reading part of them is
 * allowed. Writing part of them is not: the host answers EFAULT to anything shorter than its whole XSAVE area, which
 * with AMX is 11,008 bytes, and the guest panics before init ("ptrace set fp regs failed, errno = 14").
 *
 * Preloaded into linux.uml this stands in for ptrace(): a short write becomes a whole one, made of what the host holds
 * now with the part that was given laid over it. The guest never enables the registers beyond its buffer, so what is
 * kept of them is their initial state. Where the buffer is large enough every call goes through unchanged.
 *
 *     cc -shared -fPIC -o um_xstate.so um_xstate.c && LD_PRELOAD=./um_xstate.so linux.uml ...
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Several times the XSAVE area of any processor so far. A host with a larger one gets the call as it was made. */
static char whole[64 * 1024];

static long set_xstate(long pid, void *type, struct iovec *given)
{
    struct iovec area = { whole, sizeof whole };

    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, type, &area) != 0 || area.iov_len <= given->iov_len)
        return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, given);
    memcpy(whole, given->iov_base, given->iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, &area);
}

long ptrace(int request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    long pid = va_arg(arguments, long);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (request == PTRACE_SETREGSET && (unsigned long)address == NT_X86_XSTATE)
        return set_xstate(pid, address, data);

    /* The kernel stores a peeked word, glibc's ptrace() returns it and tells an error by errno alone. */
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSR) {
        long word;
        if (syscall(SYS_ptrace, request, pid, address, &word) != 0)
            return -1;
        errno = 0;
        return word;
    }
    return syscall(SYS_ptrace, request, pid, address, data);
}
