/* What the boundary holds on a kernel, guard by guard, in sentences for doctor and people. */
#include <stdbool.h>

#include "lib/sandbox.h"

/* A guard holds from abi on (0: Landlock is no help), or with the filter. */
static const struct guard_row {
    const char *name;
    int abi;
    bool by_filter;
    const char *holds, *open;
} rows[SANDBOX_GUARD_COUNT] = {
    [SANDBOX_WRITE] = {"write", 1, false,
                       "Nothing outside the granted folders can be written, created, renamed, "
                       "linked or removed.",
                       "Without Landlock a program can write whatever the user of the runner can; "
                       "a read-only turn rests on its throw-away copy alone."},
    [SANDBOX_READ] =
        {"read", 1, false,
         "Only the granted folders and what programs need from the system can be read.",
         "Without Landlock a program can read whatever the user of the runner can, the "
         "database and the configuration among it."},
    [SANDBOX_TRUNCATE] = {"truncate", 3, false,
                          "Files outside the granted folders cannot be emptied.",
                          "Below Landlock ABI 3 (Linux 6.2) a program can empty files outside its "
                          "grants by their path; a read-only turn rests on its throw-away copy."},
    [SANDBOX_DEVICES] = {"devices", 5, false,
                         "Devices take no ioctl from a program that opens them.",
                         "Below Landlock ABI 5 (Linux 6.10) ioctl on the few devices that can be "
                         "opened (/dev/null, zero, full, random, tty) is not refused."},
    [SANDBOX_PROCESS] = {"process", 1, false,
                         "Memory, descriptors, environment and root folder of processes outside "
                         "cannot be reached, by ptrace or by /proc.",
                         "Without Landlock a program can trace and read every process of the same "
                         "user."},
    [SANDBOX_SIGNAL] = {"signal", 6, false, "Processes outside get no signals.",
                        "Below Landlock ABI 6 (Linux 6.12) a program can signal, and end, every "
                        "process of the same user."},
    [SANDBOX_RLIMITS] =
        {"rlimits", 0, true, "Limits of other processes cannot be changed.",
         "Without the seccomp filter a program can lower the limits of every process "
         "of the same user."},
    [SANDBOX_ABSTRACT] =
        {"abstract", 6, true, "Abstract Unix sockets outside cannot be reached.",
         "Below Landlock ABI 6 (Linux 6.12) and without the seccomp filter abstract "
         "Unix sockets of other programs can be reached."},
    [SANDBOX_SOCKETS] = {"sockets", 0, true,
                         "Unix sockets, those of the instance among them, cannot be reached.",
                         "Without the seccomp filter every Unix socket of the same user can be "
                         "reached by its path, those of the instance among them."},
    [SANDBOX_BIND] = {"bind", 0, true, "No port can be opened for TCP connections from outside.",
                      "Without the seccomp filter a program can open TCP ports: any of them below "
                      "Landlock ABI 4 (Linux 6.7), from then on those the kernel chooses."},
    [SANDBOX_CONNECT] = {"connect", 4, true,
                         "Where the network is not allowed no TCP connection can be made.",
                         "Below Landlock ABI 4 (Linux 6.7) and without the seccomp filter TCP "
                         "connections cannot be refused."},
    [SANDBOX_UDP] = {"udp", 0, true, "Where the network is not allowed there is no UDP either.",
                     "Without the seccomp filter UDP cannot be refused."},
    [SANDBOX_METADATA] = {"metadata", 0, false, "",
                          "Modes, times and extended attributes of files of the same user can be "
                          "changed anywhere; those of a workspace are restored after the turn."},
    [SANDBOX_LOOKING] = {"looking", 0, false, "",
                         "That a path exists, its size, mode and times, and the list of processes "
                         "with their command lines can be seen."},
    [SANDBOX_MEMORY] =
        {"memory", 0, false, "",
         "Memory and the share of the processor are not limited; use a systemd unit or "
         "a cgroup for that."},
};

void sandbox_report_of(int abi, bool filter, struct sandbox_report *out)
{
    *out = (struct sandbox_report){.abi = abi, .filter = filter};
    for (int i = 0; i < SANDBOX_GUARD_COUNT; i++) {
        const struct guard_row *r = &rows[i];
        bool held = (r->abi && abi >= r->abi) || (r->by_filter && filter);
        out->facts[i] = (struct sandbox_fact){
            .name = r->name, .enforced = held, .sentence = held ? r->holds : r->open};
    }
}

void sandbox_report(struct sandbox_report *out)
{
    sandbox_report_of(sandbox_abi(), sandbox_can_filter(), out);
}
