/* The boundary around a program that is not trusted (an agent's harness): what it may read and
 * write, reach and use up is decided by the kernel, not by the program. Linux: Landlock for paths,
 * TCP and scopes, a seccomp filter for what Landlock does not see, rlimits, no capabilities.
 * docs/security.md says in the operator's words what this covers and what not.
 *
 * Everything here is applied by a process to itself, single-threaded, right before exec: only
 * "vexa exec-in" (cli/exec_in.c) calls sandbox_enter(). Others start that with posix_spawn. */
#ifndef VX_SANDBOX_H
#define VX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SANDBOX_EXIT      125 /* exec-in could not build the boundary or start the program */
#define SANDBOX_MAX_PATHS 64  /* of each kind */

struct sandbox_limits { /* 0: not limited */
    int64_t cpu_seconds;
    int64_t file_bytes; /* the largest file it can write */
    int64_t open_files;
    int64_t processes; /* counts every process of the uid, not only those inside */
};

struct sandbox_spec {
    const char *ro[SANDBOX_MAX_PATHS]; /* read and execute, beside what programs need */
    const char *rw[SANDBOX_MAX_PATHS]; /* read, execute, write, create, remove; no symlinks */
    size_t n_ro, n_rw;
    const char *home, *tmp; /* folders, writable as those of rw */
    bool allow_net;         /* TCP to others and UDP; never to listen */
    int need_abi;           /* refuse to start on a kernel below this Landlock ABI; 0: take any */
    struct sandbox_limits limits;
};

/* Where sandbox_enter() failed: the step, what it was about ("" when nothing) and the errno. */
struct sandbox_fault {
    const char *step, *object;
    int error;
};

/* Confines the calling process for good: own session, no descriptor above 2, limits, no new
 * privileges, no capabilities, Landlock, filter. 0, or -1 with *fault; the process may then be half
 * confined and must end. */
int sandbox_enter(const struct sandbox_spec *spec, struct sandbox_fault *fault);

/* The Landlock ABI of the running kernel; 0 where there is none or it is switched off. */
int sandbox_abi(void);
/* Whether the running kernel takes our seccomp filter. */
bool sandbox_can_filter(void);

/* What the boundary is made of. */
enum sandbox_guard {
    SANDBOX_WRITE,    /* writing, creating, renaming, linking, removing outside the grants */
    SANDBOX_READ,     /* reading outside the grants */
    SANDBOX_TRUNCATE, /* emptying a file outside the grants */
    SANDBOX_DEVICES,  /* ioctl on devices it opens */
    SANDBOX_PROCESS,  /* ptrace, memory, descriptors and environment of outside processes */
    SANDBOX_SIGNAL,   /* signals to outside processes */
    SANDBOX_RLIMITS,  /* limits of outside processes */
    SANDBOX_ABSTRACT, /* abstract Unix sockets */
    SANDBOX_SOCKETS,  /* Unix sockets with a path */
    SANDBOX_BIND,     /* TCP servers */
    SANDBOX_CONNECT,  /* TCP connections, where the network is not allowed */
    SANDBOX_UDP,      /* UDP, where the network is not allowed */
    SANDBOX_METADATA, /* modes, times, extended attributes: never enforced */
    SANDBOX_LOOKING,  /* stat of any path, the list of processes: never enforced */
    SANDBOX_MEMORY,   /* memory and processor share: never enforced */
    SANDBOX_GUARD_COUNT
};

struct sandbox_fact {
    const char *name; /* one word, stable: "write", "read" … */
    bool enforced;
    const char *sentence; /* English, says what holds or what does not */
};
struct sandbox_report {
    int abi;
    bool filter;
    struct sandbox_fact facts[SANDBOX_GUARD_COUNT]; /* by enum sandbox_guard */
};

/* What this kernel enforces; the same sentences for doctor, the security page and the operator. */
void sandbox_report(struct sandbox_report *out);
/* The report of a kernel with this ABI and filter. Pure. */
void sandbox_report_of(int abi, bool filter, struct sandbox_report *out);

/* One forbidden thing that was tried from inside. */
struct sandbox_attempt {
    char name[32];
    enum sandbox_guard guard;
    int error;     /* errno it was refused with; 0: it got through */
    bool expected; /* the report says it is enforced, so it must not get through */
};
struct sandbox_self_test {
    struct sandbox_attempt attempts[32];
    size_t n;
    size_t through; /* got through although the report says it cannot: must be 0 */
    char why[200];  /* set when the test could not be run */
};

/* Starts exe (the vexa binary) as "exec-in" with a program that tries what is forbidden, in a new
 * folder of its own below dir, which it removes again. Takes some milliseconds. 0 when every
 * attempt was made (see through), -1 with why when not. Safe in a threaded process. */
int sandbox_self_test(const char *exe, const char *dir, struct sandbox_self_test *out);
/* The program inside: tries everything and prints "<name> <guard> <errno>" a line. root is the
 * self-test's folder, pid and socket name what must not be reached. Returns the exit status. */
int sandbox_probe(const char *root, int64_t pid, const char *abstract_name);

#endif
