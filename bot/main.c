/* vexa replay-bot: reads its invocation, finds what to play, and plays it. Everything it is told is
 * in VEXA_BOT_CONFIG; --dir (or VEXA_DIR) says where recordings lie and how fast they play. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bot/invocation.h"
#include "bot/replay.h"
#include "bot/script.h"
#include "bot/talk.h"
#include "cli/cli.h"
#include "lib/arena.h"
#include "lib/contracts.h"
#include "lib/instance.h"
#include "lib/log.h"
#include "lib/webvtt.h"

#define RECORDING_MAX ((off_t)16 * 1024 * 1024)
#define ARENA_MAX     ((size_t)512 * 1024 * 1024)

static const char usage[] = "usage: vexa replay-bot [--dir D]\n"
                            "The invocation.v1 JSON is in the environment: VEXA_BOT_CONFIG.\n";

/* A native id that is one file name and not a hidden one: it came from a URL of somebody's. */
static bool names_a_file(const char *native_id)
{
    return native_id[0] != '\0' && native_id[0] != '.' && strchr(native_id, '/') == NULL;
}

/* Whole file into the arena. 0, or -1 with errno. */
static int read_file(struct arena *a, const char *path, const char **text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    struct stat st;
    int saved = EINVAL; /* not a regular file */
    char *p = NULL;
    size_t n = 0;
    if (fstat(fd, &st) != 0) {
        saved = errno;
        goto fail;
    }
    if (!S_ISREG(st.st_mode))
        goto fail;
    saved = EFBIG;
    if (st.st_size > RECORDING_MAX)
        goto fail;
    saved = ENOMEM;
    p = arena_alloc(a, (size_t)st.st_size + 1);
    if (p == NULL)
        goto fail;
    while (n < (size_t)st.st_size) {
        ssize_t got = read(fd, p + n, (size_t)st.st_size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            saved = errno;
            goto fail;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    (void)close(fd);
    *text = p;
    *len = n;
    return 0;
fail:
    (void)close(fd);
    errno = saved;
    return -1;
}

/* The recording of this meeting as a script, or the fault the meeting fails with. */
static enum vx_err load_recording(struct arena *a, const struct instance *in,
                                  const struct invocation *inv, struct script *script,
                                  struct replay_fault *fault)
{
    const char *text = NULL, *why = NULL;
    size_t n = 0;
    const char *name = arena_printf(a, "recordings/%s/%s.vtt", inv->platform, inv->native_id);
    const char *path =
        arena_printf(a, "%s/%s/%s.vtt", in->recordings, inv->platform, inv->native_id);
    if (name == NULL || path == NULL)
        return VX_ERR_NO_MEMORY;
    if (!names_a_file(inv->native_id) || read_file(a, path, &text, &n) != 0) {
        bool absent = !names_a_file(inv->native_id) || errno == ENOENT || errno == ENAMETOOLONG ||
                      errno == ENOTDIR;
        fault->completion_reason = "join_failure";
        fault->reason = absent ? arena_printf(a, "no recording at %s", name)
                               : arena_printf(a, "cannot read %s: %s", name, strerror(errno));
        return fault->reason == NULL ? VX_ERR_NO_MEMORY : VX_OK;
    }
    struct vtt v;
    enum vx_err err = vtt_parse(a, text, n, &v, &why);
    if (err == VX_OK)
        err = script_from_vtt(a, &v, script, &why);
    if (err != VX_ERR_VALIDATION)
        return err;
    fault->completion_reason = "validation_error";
    fault->reason = arena_printf(a, "%s: %s", name, why);
    return fault->reason == NULL ? VX_ERR_NO_MEMORY : VX_OK;
}

static enum vx_err load_script(struct arena *a, const struct instance *in,
                               const struct invocation *inv, struct script *script,
                               struct replay_fault *fault)
{
    static const char mock[] = "mock:";
    if (strncmp(inv->bot_name, mock, sizeof mock - 1) != 0)
        return load_recording(a, in, inv, script, fault);
    enum vx_err err = script_from_mock(a, inv->bot_name + sizeof mock - 1, inv->everyone_left_ms,
                                       script, &fault->reason);
    if (err != VX_ERR_VALIDATION)
        return err;
    fault->completion_reason = "validation_error";
    return VX_OK;
}

/* Reads the command line: 0, or the exit status to leave with. -1: go on. */
static int read_args(int argc, char **argv, const char **dir)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) {
            *dir = argv[++i];
        } else if (strncmp(argv[i], "--dir=", 6) == 0) {
            *dir = argv[i] + 6;
        } else if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        } else {
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    return -1;
}

/* Speed of the instance; a config that cannot be read means 1, and says so. */
static int64_t load_speed(struct instance *in, const char *dir)
{
    char why[512] = "";
    if (instance_load(in, dir, why, sizeof why) == VX_OK)
        return config_int(in->cfg, CFG_BOTS_REPLAY_SPEED);
    log_msg(LOG_WARN_, "no_config", "%s; playing at speed 1", why);
    instance_free(in);
    return 0;
}

static int play(struct arena *a, const char *dir, const struct invocation *inv)
{
    struct instance in;
    struct talk *talk = NULL;
    struct script script = {0};
    struct replay_fault fault = {NULL, NULL};
    const struct talk_config tc = {
        .urls = {[TALK_LIFECYCLE] = inv->callback_url, [TALK_TRANSCRIPT] = inv->ingest_url},
        .command_url = inv->command_url,
        .token = inv->token,
        .internal_secret = inv->internal_secret,
    };
    int status = EXIT_SYSTEM;
    int64_t speed = load_speed(&in, dir);
    enum vx_err err = VX_OK;
    if (speed == 0) {
        speed = 1;
        err = instance_init(&in, dir);
        if (err != VX_OK) {
            log_event(LOG_ERROR_, "no_instance", "code", vx_err_info(err)->code, NULL);
            return status;
        }
    }
    /* The talk first: from here on SIGTERM is a request to leave. */
    err = talk_new(&tc, &talk);
    if (err == VX_OK)
        err = load_script(a, &in, inv, &script, &fault);
    if (err != VX_OK) {
        log_event(LOG_ERROR_, "cannot_start", "code", vx_err_info(err)->code, NULL);
        goto out;
    }
    log_msg(LOG_INFO_, "play", "%s %s: %zu cues, %zu segments, speed %lld", inv->platform,
            inv->native_id, script.n_cues, script.n_actions, (long long)speed);
    status = replay_run(inv, &script, &fault, speed, talk);
out:
    talk_free(talk);
    instance_free(&in);
    return status;
}

int cmd_replay_bot(int argc, char **argv)
{
    const char *dir = NULL, *why = NULL;
    int status = read_args(argc, argv, &dir);
    if (status >= 0)
        return status;
    if (log_open("bot", NULL, LOG_INFO_) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return EXIT_SYSTEM;
    struct arena *a = arena_new(ARENA_MAX);
    enum vx_err err = contracts_init();
    if (a == NULL || err != VX_OK) {
        arena_free(a);
        return EXIT_SYSTEM;
    }
    struct invocation inv;
    err = invocation_read(a, getenv("VEXA_BOT_CONFIG"), &inv, &why);
    if (err == VX_OK) {
        status = play(a, dir, &inv);
    } else {
        log_msg(LOG_ERROR_, "fatal", "FATAL invocation.v1: %s",
                why != NULL ? why : vx_err_info(err)->detail);
        status = 1;
    }
    arena_free(a);
    contracts_free();
    return status;
}
