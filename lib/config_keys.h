/* The one table of configuration keys. Its rows make the reader, the checks and the reference. */
#ifndef VX_CONFIG_KEYS_H
#define VX_CONFIG_KEYS_H

/* X(KEY, section, name, type(str|int|bool|secret), default, min, max, doc) */
#define CONFIG_KEYS(X)                                                                             \
    X(SERVER_BASE_URL, "server", "base_url", "str", "http://127.0.0.1:18056", 0, 0,                \
      "URL of this instance as bots and clients see it, without a trailing slash")                 \
    X(SERVER_BASE_PATH, "server", "base_path", "str", "", 0, 0,                                    \
      "path prefix the web server serves this instance under, such as /vexa")                      \
    X(SERVER_SOCKET, "server", "socket", "str", "", 0, 0,                                          \
      "FastCGI socket path; empty: run/vexa.sock in the instance folder")                          \
    X(SERVER_SOCKET_MODE, "server", "socket_mode", "str", "0660", 0, 0,                            \
      "permissions of the FastCGI socket, octal")                                                  \
    X(SERVER_THREADS, "server", "threads", "int", "4", 1, 64, "worker threads of the responder")   \
    X(SERVER_ADMIN_TOKEN, "server", "admin_token", "secret", "", 0, 0,                             \
      "secret for /admin (X-Admin-API-Key); empty: every admin call is 403")                       \
    X(SERVER_SIGNING_KEY, "server", "signing_key", "secret", "", 0, 0,                             \
      "secret that signs meeting tokens; changing it ends all bots' access")                       \
    X(SERVER_INTERNAL_SECRET, "server", "internal_secret", "secret", "", 0, 0,                     \
      "X-Internal-Secret: lets another service of the operator dispatch for any subject")          \
    X(STORE_BUSY_MS, "store", "busy_ms", "int", "2000", 10, 60000,                                 \
      "how long a write waits for the writer lock before 503, milliseconds")                       \
    X(STREAM_MAX, "stream", "max", "int", "10000", 1, 1000000, "open event streams, all users")    \
    X(STREAM_MAX_PER_USER, "stream", "max_per_user", "int", "10000", 1, 1000000,                   \
      "open event streams of one user")                                                            \
    X(STREAM_STALL_SECONDS, "stream", "stall_seconds", "int", "300", 5, 86400,                     \
      "a client that reads nothing for this long is closed; it can resume")                        \
    X(STREAM_MAX_SECONDS, "stream", "max_seconds", "int", "0", 0, 86400,                           \
      "planned end of every stream; 0: none (mod_fcgid and CGI use 240)")                          \
    X(BOTS_GOOGLE_MEET, "bots", "google_meet", "str", "", 0, 0,                                    \
      "command line of the Google Meet bot; empty: vexa replay-bot")                               \
    X(BOTS_ZOOM, "bots", "zoom", "str", "", 0, 0, "command line of the Zoom bot")                  \
    X(BOTS_TEAMS, "bots", "teams", "str", "", 0, 0, "command line of the Teams bot")               \
    X(BOTS_JITSI, "bots", "jitsi", "str", "", 0, 0, "command line of the Jitsi bot")               \
    X(BOTS_JITSI_HOSTS, "bots", "jitsi_hosts", "str", "", 0, 0,                                    \
      "host names that are Jitsi servers, separated by commas")                                    \
    X(BOTS_DEFAULT_NAME, "bots", "default_name", "str", "", 0, 0,                                  \
      "bot name where the request gives none; empty: VexaBot- and six hex digits")                 \
    X(BOTS_STOP_GRACE_SECONDS, "bots", "stop_grace_seconds", "int", "20", 0, 600,                  \
      "time between SIGTERM and SIGKILL when a bot is stopped")                                    \
    X(BOTS_FAILED_WINDOW, "bots", "failed_window", "int", "3600", 0, 2592000,                      \
      "seconds a failed bot is listed by GET /bots/status")                                        \
    X(BOTS_LOBBY_SECONDS, "bots", "lobby_seconds", "int", "900", 5, 86400,                         \
      "longest wait for admission, and longest wait of a request for a runner")                    \
    X(BOTS_MAX_SECONDS, "bots", "max_seconds", "int", "14400", 10, 604800,                         \
      "longest life of a bot; then it is stopped")                                                 \
    X(BOTS_MAX_MEMORY_MB, "bots", "max_memory_mb", "int", "0", 0, 1048576,                         \
      "RLIMIT_AS of a bot in MiB; 0: no limit (it breaks node programs)")                          \
    X(BOTS_MAX_OPEN_FILES, "bots", "max_open_files", "int", "1024", 64, 1048576,                   \
      "RLIMIT_NOFILE of a bot")                                                                    \
    X(BOTS_REPLAY_SPEED, "bots", "replay_speed", "int", "1", 1, 100000,                            \
      "vexa replay-bot plays recordings this many times faster")                                   \
    X(BOTS_TOKEN_SECONDS, "bots", "token_seconds", "int", "18000", 60, 604800,                     \
      "life of a meeting token")                                                                   \
    X(RETENTION_EVENTS_SECONDS, "retention", "events_seconds", "int", "604800", 0, 315360000,      \
      "events older than this leave the log; streams say gap; 0: keep all")                        \
    X(RETENTION_EVENTS_PER_TOPIC, "retention", "events_per_topic", "int", "100000", 0, 1000000000, \
      "newest events kept of one meeting or feed; 0: no limit")                                    \
    X(RETENTION_SWEEP_SECONDS, "retention", "sweep_seconds", "int", "30", 1, 86400,                \
      "how often the runner trims the log")                                                        \
    X(LIMITS_BODY_BYTES, "limits", "body_bytes", "int", "1048576", 1024, 33554432,                 \
      "largest JSON body")                                                                         \
    X(LOG_LEVEL, "log", "level", "str", "info", 0, 0, "debug, info, warn or error")                \
    X(COMPAT_STOP_RESPONSE, "compat", "stop_response", "int", "204", 200, 204,                     \
      "answer of DELETE /bots/…: 204, or 200 with the JSON body of Vexa 0.12")

enum config_key {
#define X(key, section, name, type, def, min, max, doc) CFG_##key,
    CONFIG_KEYS(X)
#undef X
        CFG_COUNT
};

#endif
