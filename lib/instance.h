/* The instance folder (shapes.md "The instance"): its paths, and the file of recorded pids. */
#ifndef VX_INSTANCE_H
#define VX_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/config.h"
#include "lib/err.h"

struct instance {
    char *dir;    /* absolute, no trailing slash */
    char *exe;    /* absolute path of the running binary */
    char *conf;   /* dir/vexa.conf */
    char *db;     /* dir/vexa.db */
    char *socket; /* FastCGI socket: dir/run/vexa.sock, or a short path when that is too long */
    char *log_dir, *recordings, *pids;
    struct config *cfg; /* NULL until instance_load() */
};

/* dir NULL or "": VEXA_DIR from the environment, else ".". Does not need the folder to exist.
 * Fills paths only. */
enum vx_err instance_init(struct instance *in, const char *dir);
/* instance_init() plus the config; why tells what is wrong with it. */
enum vx_err instance_load(struct instance *in, const char *dir, char *why, size_t size);
void instance_free(struct instance *in);

/* Recorded processes, file "pids": a line each, "<name> <pid> <start time>"; names are up, fcgi,
 * runner, nginx, bot:<workload>. Rewrites are atomic and under a lock. */
int pids_set(const struct instance *in, const char *name, pid_t pid);
int pids_remove(const struct instance *in, const char *name);
/* Calls fn for each line whose process is still the one recorded. */
int pids_each(const struct instance *in, void (*fn)(const char *name, pid_t pid, void *ctx),
              void *ctx);

/* Kernel start time of pid in clock ticks (field 22 of /proc/pid/stat); 0 when the process is
 * gone, a zombie, or /proc is not there. */
int64_t process_start_time(pid_t pid);
/* True while pid is the process that had this start time (0 = do not compare) and is no zombie. */
bool process_is(pid_t pid, int64_t start_time);

#endif
