/* Starting a bot: its command line, its invocation.v1 document, its process. */
#ifndef VX_RUNNER_LAUNCH_H
#define VX_RUNNER_LAUNCH_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/arena.h"
#include "lib/instance.h"
#include "lib/store_workloads.h"

/* The byte that lets a bot's process go (runner/exec_bot.c). */
#define LAUNCH_GO 'G'

/* A command line as words: blanks separate, '…' keeps all, "…" and \ as in a shell; nothing is
 * expanded. *words ends with NULL and lives in a. VX_ERR_BAD_CONFIG with *why for an unclosed
 * quote or more than 255 words; an empty line gives no words. */
enum vx_err command_split(struct arena *a, const char *line, char ***words, size_t *n,
                          const char **why);

/* The bot's invocation.v1 as compact JSON, checked against the contract where there is one.
 * On failure *why is a text for the meeting's failure_reason. */
enum vx_err invocation_build(struct arena *a, const struct instance *in, const struct workload *w,
                             int64_t now_ms, const char **text, const char **why);

/* The command the bot of this platform runs, as the operator wrote it (or our own), for texts. */
const char *launch_command(struct arena *a, const struct instance *in, const char *platform);

/* A process that waits to be let go: it leads its own group and has its log, environment and
 * limits. go is our end of the socket: send LAUNCH_GO and it becomes the bot, or close it and the
 * process exits 125; an errno (int) comes back when the program could not be started, end of file
 * when it was. */
struct launched {
    pid_t pid;
    int64_t start; /* process_start_time() */
    int go;
};
/* On failure *why is a text for failure_reason and no process is left. */
enum vx_err launch_spawn(struct arena *a, const struct instance *in, const struct workload *w,
                         const char *invocation, struct launched *out, const char **why);

#endif
