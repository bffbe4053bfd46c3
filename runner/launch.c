/* Starting a bot. In a process with threads (the store's writer) only posix_spawn is safe; what
 * must happen between fork and exec is done by the small command "vexa exec-bot". */
#include "runner/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/contracts.h"
#include "lib/json_scan.h"
#include "lib/log.h"
#include "lib/meeting_token.h"
#include "lib/schema.h"

#define MAX_WORDS      255
#define MAX_INVOCATION (100 * 1024) /* one environment string ends at 128 KiB */
#define CHILD_FD       3
#define SAFE_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char out_of_memory[] = "the runner is out of memory";

/* ---- command lines ---- */

/* One word from *line (not at a blank), unquoted into out, which is large enough. 0 or -1. */
static int take_word(const char **line, char *out)
{
    char quote = 0;
    const char *p = *line;
    for (; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
        if (quote == '\'' && *p != '\'') {
            *out++ = *p;
        } else if (*p == '\\' && quote != '\'') {
            bool special = !quote || p[1] == '"' || p[1] == '\\';
            if (!p[1])
                return -1;
            if (!special)
                *out++ = '\\';
            *out++ = *++p;
        } else if (quote && *p == quote) {
            quote = 0;
        } else if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
    *line = p;
    return quote ? -1 : 0;
}

enum vx_err command_split(struct arena *a, const char *line, char ***words, size_t *n,
                          const char **why)
{
    *n = 0;
    *words = arena_alloc(a, (MAX_WORDS + 1) * sizeof **words);
    if (!*words)
        return VX_ERR_NO_MEMORY;
    size_t room = strlen(line) + 1;
    for (;;) {
        line += strspn(line, " \t");
        if (!*line)
            return VX_OK;
        if (*n == MAX_WORDS) {
            *why = "the command line has too many words";
            return VX_ERR_BAD_CONFIG;
        }
        char *word = arena_alloc(a, room);
        if (!word)
            return VX_ERR_NO_MEMORY;
        if (take_word(&line, word)) {
            *why = "the command line has an unclosed quote or ends in a backslash";
            return VX_ERR_BAD_CONFIG;
        }
        (*words)[(*n)++] = word;
    }
}

static const char *platform_command(const struct instance *in, const char *platform)
{
    static const struct {
        const char *platform;
        enum config_key key;
    } keys[] = {{"google_meet", CFG_BOTS_GOOGLE_MEET},
                {"zoom", CFG_BOTS_ZOOM},
                {"teams", CFG_BOTS_TEAMS},
                {"jitsi", CFG_BOTS_JITSI}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i].platform, platform))
            return config_str(in->cfg, keys[i].key);
    return "";
}

const char *launch_command(struct arena *a, const struct instance *in, const char *platform)
{
    const char *line = platform_command(in, platform);
    if (line[strspn(line, " \t")])
        return line;
    const char *own = arena_printf(a, "%s replay-bot --dir %s", in->exe, in->dir);
    return own ? own : "vexa replay-bot";
}

/* ---- invocation.v1 ---- */

static const char *sign_token(struct arena *a, const struct instance *in, const struct workload *w,
                              int64_t now_ms)
{
    struct meeting_claims claims = {.meeting_id = w->meeting_id,
                                    .user_id = w->user_id,
                                    .platform = w->platform,
                                    .native_id = w->native_id ? w->native_id : "",
                                    .session_uid = w->session_uid,
                                    .iat_s = now_ms / 1000};
    claims.exp_s = claims.iat_s + config_int(in->cfg, CFG_BOTS_TOKEN_SECONDS);
    return meeting_token_sign(a, config_str(in->cfg, CFG_SERVER_SIGNING_KEY), &claims);
}

static int put_url(struct arena *a, struct json_object *o, const char *name, const char *base,
                   const char *path, const char *query)
{
    const char *url = arena_printf(a, "%s%s%s", base, path, query);
    return url ? json_put_str(o, name, url) : -1;
}

/* The fields the runner knows, over those kept with the request. */
static int put_fields(struct arena *a, struct json_object *o, const struct instance *in,
                      const struct workload *w, const char *token)
{
    const char *base = config_str(in->cfg, CFG_SERVER_BASE_URL);
    int bad = json_put_str(o, "platform", w->platform);
    bad |= json_put_str(o, "meetingUrl", w->url);
    if (!json_get_str(o, "botName"))
        bad |= json_put_str(o, "botName", "VexaBot");
    if (w->native_id)
        bad |= json_put_str(o, "nativeMeetingId", w->native_id);
    bad |= json_put_str(o, "token", token);
    bad |= json_put_str(o, "connectionId", w->session_uid);
    bad |= json_put_int(o, "meeting_id", w->meeting_id);
    bad |= json_put_str(o, "container_name", w->id);
    bad |= put_url(a, o, "meetingApiCallbackUrl", base, "/bots/internal/callback/lifecycle", "");
    bad |= put_url(a, o, "transcriptIngestUrl", base, "/bots/internal/transcripts", "");
    bad |= put_url(a, o, "commandStreamUrl", base,
                   "/bots/internal/commands?session_uid=", w->session_uid);
    bad |= put_url(a, o, "recordingUploadUrl", base, "/internal/recordings/upload", "");
    if (json_get_bool(o, "recordingEnabled", 0)) {
        struct json_object *modes = json_object_new_array();
        if (modes && (json_object_array_add(modes, json_object_new_string("audio")) ||
                      json_object_array_add(modes, json_object_new_string("video")))) {
            json_object_put(modes);
            modes = NULL;
        }
        bad |= json_put(o, "captureModes", modes);
    }
    bad |= json_put_bool(o, "captureSignalEnabled", 0); /* nothing here takes signal tapes */
    if (!json_object_object_get(o, "automaticLeave")) {
        struct json_object *leave = json_object_new_object();
        if (leave && json_put_int(leave, "waitingRoomTimeout",
                                  config_int(in->cfg, CFG_BOTS_LOBBY_SECONDS) * 1000)) {
            json_object_put(leave);
            leave = NULL;
        }
        bad |= json_put(o, "automaticLeave", leave);
    }
    return bad ? -1 : 0;
}

/* NULL when o keeps the contract, else a text that names the first fault. */
static const char *contract_refusal(struct arena *a, struct json_object *o)
{
    struct json_object *schema = contract_find("invocation.v1");
    struct violations bad = {.max = 10};
    if (!schema)
        return NULL;
    if (schema_check(a, schema, o, &bad))
        return out_of_memory;
    if (!bad.n)
        return NULL;
    const char *text = arena_printf(a, "the bot's invocation breaks its contract at '%s': %s",
                                    bad.v[0].pointer, bad.v[0].msg);
    return text ? text : out_of_memory;
}

enum vx_err invocation_build(struct arena *a, const struct instance *in, const struct workload *w,
                             int64_t now_ms, const char **text, const char **why)
{
    struct json_object *o = NULL;
    struct json_fault fault;
    const char *launch = w->launch ? w->launch : "{}";
    *why = out_of_memory;
    enum vx_err err = json_read(a, launch, strlen(launch), &o, &fault);
    if (err == VX_ERR_JSON_INVALID || (!err && !json_object_is_type(o, json_type_object))) {
        *why = "the request kept for the bot is not readable";
        return VX_ERR_INTERNAL;
    }
    const char *token = err ? NULL : sign_token(a, in, w, now_ms);
    if (!err && !token && !*config_str(in->cfg, CFG_SERVER_SIGNING_KEY)) {
        *why = "server.signing_key is not set in vexa.conf, so the bot can have no token";
        return VX_ERR_BAD_CONFIG;
    }
    if (err || !token || put_fields(a, o, in, w, token))
        return VX_ERR_NO_MEMORY;
    const char *refusal = contract_refusal(a, o);
    if (refusal) {
        *why = refusal;
        return VX_ERR_INTERNAL;
    }
    *text = json_text(o);
    if (!*text)
        return VX_ERR_NO_MEMORY;
    if (strlen(*text) > MAX_INVOCATION) {
        *why = "the bot's invocation is too long";
        return VX_ERR_INTERNAL;
    }
    return VX_OK;
}

/* ---- the process ---- */

/* exec-bot's own words, then the bot's. NULL and *why on failure. */
static char **make_argv(struct arena *a, const struct instance *in, const char *platform,
                        const char **why)
{
    const char *line = platform_command(in, platform);
    char **words;
    size_t n;
    *why = out_of_memory;
    if (command_split(a, line, &words, &n, why))
        return NULL;
    char *own[] = {in->exe, "replay-bot", "--dir", in->dir, NULL};
    if (!n) {
        words = own;
        n = 4;
    }
    char **argv = arena_alloc(a, (n + 16) * sizeof *argv);
    if (!argv)
        return NULL;
    size_t i = 0;
    argv[i++] = in->exe;
    argv[i++] = "exec-bot";
    argv[i++] = "--dir";
    argv[i++] = in->dir;
    argv[i++] = "--fd";
    argv[i++] = arena_printf(a, "%d", CHILD_FD);
    argv[i++] = "--open-files";
    argv[i++] = arena_printf(a, "%" PRId64, config_int(in->cfg, CFG_BOTS_MAX_OPEN_FILES));
    argv[i++] = "--memory-mb";
    argv[i++] = arena_printf(a, "%" PRId64, config_int(in->cfg, CFG_BOTS_MAX_MEMORY_MB));
    argv[i++] = "--";
    for (size_t k = 0; k < i; k++)
        if (!argv[k])
            return NULL;
    memcpy(argv + i, words, n * sizeof *argv); /* the rest is zeroed */
    return argv;
}

/* An environment made from nothing: no secret of ours can slip through. */
static char **make_env(struct arena *a, const struct instance *in, const char *invocation)
{
    const char *home = getenv("HOME"), *tz = getenv("TZ");
    char **env = arena_alloc(a, 8 * sizeof *env);
    if (!env)
        return NULL;
    env[0] = "PATH=" SAFE_PATH;
    env[1] = "LANG=C.UTF-8";
    env[2] = arena_printf(a, "HOME=%s", home && *home ? home : in->dir);
    env[3] = arena_printf(a, "TZ=%s", tz && *tz ? tz : "UTC");
    env[4] = arena_printf(a, "VEXA_DIR=%s", in->dir);
    env[5] = arena_printf(a, "VEXA_BOT_CONFIG=%s", invocation);
    env[6] = arena_printf(a, "BOT_CONFIG=%s", invocation);
    for (int i = 0; i < 7; i++)
        if (!env[i])
            return NULL;
    return env;
}

static int set_actions(posix_spawn_file_actions_t *fa, const struct instance *in, int log_fd,
                       int go_fd)
{
    int rc = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(fa, log_fd, 1);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(fa, log_fd, 2);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(fa, go_fd, CHILD_FD);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(fa, CHILD_FD + 1);
    if (!rc)
        rc = posix_spawn_file_actions_addchdir_np(fa, in->dir);
    return rc;
}

static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawnattr_setsigmask(attr, &none);
    if (!rc)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (!rc)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (!rc)
        rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETPGROUP);
    return rc;
}

/* posix_spawn with all of the above; 0 or an errno. */
static int spawn(const struct instance *in, char **argv, char **env, int log_fd, int go_fd,
                 pid_t *pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&fa);
    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (!rc) {
        rc = set_actions(&fa, in, log_fd, go_fd);
        if (!rc)
            rc = set_attributes(&attr);
        if (!rc)
            rc = posix_spawn(pid, in->exe, &fa, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&fa);
    return rc;
}

/* The bot's log. A workload id is ours, but it becomes a file name: no other folder, ever. */
static int open_log(struct arena *a, const struct instance *in, const char *id)
{
    if (strchr(id, '/')) {
        errno = EINVAL;
        return -1;
    }
    const char *path = arena_printf(a, "%s/bot-%s.log", in->log_dir, id);
    if (!path) {
        errno = ENOMEM;
        return -1;
    }
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

enum vx_err launch_spawn(struct arena *a, const struct instance *in, const struct workload *w,
                         const char *invocation, struct launched *out, const char **why)
{
    *out = (struct launched){.go = -1};
    *why = out_of_memory;
    char **argv = make_argv(a, in, w->platform, why);
    char **env = argv ? make_env(a, in, invocation) : NULL;
    if (!argv || !env) {
        const char *text =
            arena_printf(a, "the bot program could not be started: bots.%s: %s", w->platform, *why);
        *why = text ? text : *why;
        return *why == out_of_memory ? VX_ERR_NO_MEMORY : VX_ERR_BAD_CONFIG;
    }
    int pair[2] = {-1, -1}, log_fd = open_log(a, in, w->id), rc = log_fd < 0 ? errno : 0;
    if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        rc = errno;
    if (!rc)
        rc = spawn(in, argv, env, log_fd, pair[1], &out->pid);
    if (log_fd >= 0)
        close(log_fd);
    if (pair[1] >= 0)
        close(pair[1]);
    if (!rc) {
        out->go = pair[0];
        out->start = process_start_time(out->pid);
        return VX_OK;
    }
    if (pair[0] >= 0)
        close(pair[0]);
    const char *text = arena_printf(a, "the bot program could not be started: %s", strerror(rc));
    *why = text ? text : out_of_memory;
    return VX_ERR_SYSTEM;
}
