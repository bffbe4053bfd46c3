/* What Landlock leaves open and a look at a system call's number and plain arguments can close:
 * Unix sockets with a path (the responder's own among them), UDP, listening, other processes'
 * rlimits, io_uring (which would do all of that past this filter), typing into a terminal. */
#include "lib/sandbox_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sandbox.h"

#if defined __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define OUR_ARCH 0 /* no filter: sandbox_report() says so */
#endif

#define X32_BIT 0x40000000U /* x86-64's second way to number system calls */

#define LOAD(field)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOW_ARG(n)      LOAD(args[n]) /* both processors are little-endian */
#define REFUSE(error)   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define UNLESS(k, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (skip))
#define WHEN(k, skip)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (skip), 0)

bool sandbox_can_filter(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    return OUR_ARCH && !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

int sandbox_filter_install(bool allow_net)
{
    if (!sandbox_can_filter()) {
        errno = ENOSYS;
        return -1;
    }
    /* without the network only netlink is left (it tells interfaces and does no harm) */
    uint32_t inet = allow_net ? AF_INET : AF_NETLINK, inet6 = allow_net ? AF_INET6 : AF_NETLINK;
    struct sock_filter code[] = {
        LOAD(arch),
        WHEN(OUR_ARCH, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
        REFUSE(ENOSYS),
        UNLESS(SYS_io_uring_setup, 1),
        REFUSE(ENOSYS),
        UNLESS(SYS_listen, 1),
        REFUSE(EACCES),
        UNLESS(SYS_socket, 6),
        LOW_ARG(0),
        WHEN(inet, 3),
        WHEN(inet6, 2),
        WHEN(AF_NETLINK, 1),
        REFUSE(EACCES),
        ALLOW,
        /* a pair of datagram sockets could still be sent elsewhere by path */
        UNLESS(SYS_socketpair, 6),
        LOW_ARG(1),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
        WHEN(SOCK_STREAM, 2),
        WHEN(SOCK_SEQPACKET, 1),
        REFUSE(EACCES),
        ALLOW,
        UNLESS(SYS_prlimit64, 4),
        LOW_ARG(0),
        WHEN(0, 1),
        REFUSE(EPERM),
        ALLOW,
        UNLESS(SYS_ioctl, 3),
        LOW_ARG(1),
        UNLESS(TIOCSTI, 1),
        REFUSE(EPERM),
        ALLOW,
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
