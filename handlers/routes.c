/* The route table (spec/gateway-identity.md §1.2, spec/agent.md §1.1–1.9 in their /agent/ form,
 * shapes.md). A row whose handler is NULL is documented and not built: 501 after authentication
 * and scope. The original's catch-all /agent/{path...} is no row: what it reached is listed, the
 * rest is 404 as it was behind it. */
#include "handlers/routes.h"

#include "handlers/handlers.h"
#include "handlers/stream_spec.h"

/* clang-format off */
/* Who may call: any one of the scopes is enough. */
#define B   SCOPE_BOT
#define T   SCOPE_TX
#define BT  (SCOPE_BOT | SCOPE_TX)
#define ANY 0u /* any valid key */

/* One row each: open to all, an API key, the admin, a bot's token, and documented but not built. */
#define OPEN(m, pattern, fn, text) \
    {m, pattern, fn, AUTH_PUBLIC, 0, NULL, false, NULL, 200, text, false, NULL}
#define KEY(m, pattern, scopes, fn, body, query, ok, text) \
    {m, pattern, fn, AUTH_KEY, scopes, body, false, query, ok, text, false, NULL}
#define ADMIN(m, pattern, fn, body, optional, query, ok, text) \
    {m, pattern, fn, AUTH_ADMIN, 0, body, optional, query, ok, text, false, NULL}
#define BOT(m, pattern, fn, body, query, text) \
    {m, pattern, fn, AUTH_MEETING_TOKEN, 0, body, false, query, 200, text, false, NULL}
#define LATER(m, pattern, scopes, ok, text) \
    {m, pattern, NULL, AUTH_KEY, scopes, NULL, false, NULL, ok, text, false, NULL}
/* The same for a POST that creates: with Idempotency-Key; once is what is shown once. */
#define KEY_CREATE(pattern, scopes, fn, body, query, ok, text) \
    {"POST", pattern, fn, AUTH_KEY, scopes, body, false, query, ok, text, true, NULL}
#define ADMIN_CREATE(pattern, fn, body, optional, query, ok, text, once) \
    {"POST", pattern, fn, AUTH_ADMIN, 0, body, optional, query, ok, text, true, once}

#define LIMIT_MAX  100
#define OFFSET_MAX 10000
#define REPLAY_MAX 100000
#define FEED_REPLAY_MAX 10000 /* over up to 50 topics */

#define TEXT(name)          {name, QUERY_STRING, false, 0, 0}
#define MUST(name)          {name, QUERY_STRING, true, 0, 0}
#define FLAG(name)          {name, QUERY_BOOL, false, 0, 0}
#define INT(name, min, max) {name, QUERY_INT, false, min, max}
#define END                 {NULL, QUERY_STRING, false, 0, 0}
/* clang-format on */

static const struct query_param list_query[] = {
    INT("limit", 1, LIMIT_MAX),
    INT("offset", 0, OFFSET_MAX),
    TEXT("status"),
    TEXT("platform"),
    FLAG("exclude_planned"),
    TEXT("cursor"),
    END,
};
static const struct query_param status_query[] = {TEXT("platform"), END};
/* Bounds of expires_in are the handler's: their texts are not the table's. */
static const struct query_param token_query[] = {
    TEXT("scope"), TEXT("scopes"), TEXT("name"), INT("expires_in", INT64_MIN, INT64_MAX), END,
};
static const struct query_param commands_query[] = {
    MUST("session_uid"), TEXT("lastEventId"), INT("wait", 0, STREAM_WAIT_MAX), TEXT("since"), END,
};
static const struct query_param stream_query[] = {
    MUST("meeting_id"),
    MUST("session_uid"),
    INT("replay", 0, REPLAY_MAX),
    TEXT("lastEventId"),
    INT("wait", 0, STREAM_WAIT_MAX),
    TEXT("since"),
    END,
};
static const struct query_param feed_query[] = {
    TEXT("topics"),      INT("replay", 0, FEED_REPLAY_MAX),
    TEXT("lastEventId"), INT("wait", 0, STREAM_WAIT_MAX),
    TEXT("since"),       END,
};
static const struct query_param tree_query[] = {FLAG("hidden"), TEXT("slug"), END};
static const struct query_param file_query[] = {MUST("path"), TEXT("slug"), END};
static const struct query_param git_query[] = {TEXT("slug"), END};
static const struct query_param show_query[] = {MUST("sha"), TEXT("path"), TEXT("slug"), END};
static const struct query_param transcript_query[] = {TEXT("since"), END};

/* clang-format off */
static const struct route routes[] = {
    /* the service */
    OPEN("GET", "/health", handle_health, "Liveness"),
    OPEN("GET", "/ready", handle_ready, "Readiness: database, schema, runner"),
    OPEN("GET", "/openapi.json", handle_openapi, "This API as OpenAPI 3.1"),
    OPEN("GET", "/docs", NULL, "Interactive reference"),
    OPEN("GET", "/docs/oauth2-redirect", NULL, "Redirect page of the interactive reference"),
    OPEN("GET", "/redoc", NULL, "Reference page"),
    ADMIN("GET", "/metrics", NULL, NULL, false, NULL, 200, "Counters for Prometheus"),
    KEY("GET", "/auth/me", ANY, handle_auth_me, NULL, NULL, 200, "Who holds this key"),
    LATER("GET", "/ws", ANY, 101, "WebSocket of events"),

    /* users and keys */
    ADMIN("POST", "/admin/users", handle_user_create, "admin.user.create.v1", false, NULL, 201,
          "Find or create a user"),
    ADMIN("GET", "/admin/users/email/{email}", handle_user_by_email, NULL, false, NULL, 200,
          "A user by email"),
    ADMIN("GET", "/admin/users/{user_id:int}", handle_user_get, NULL, false, NULL, 200,
          "A user by id"),
    ADMIN("PATCH", "/admin/users/{user_id:int}", handle_user_update, "admin.user.update.v1", false,
          NULL, 200, "Change a user's limit or data"),
    ADMIN_CREATE("/admin/users/{user_id:int}/tokens", handle_token_create,
                 "admin.token.create.v1", true, token_query, 201, "Mint an API key, shown once",
                 "token"),
    ADMIN("GET", "/admin/users/{user_id:int}/tokens", handle_token_list, NULL, false, NULL, 200,
          "A user's API keys"),
    ADMIN("DELETE", "/admin/tokens/{token_id:int}", handle_token_delete, NULL, false, NULL, 204,
          "Revoke an API key"),

    /* bots */
    KEY("GET", "/bots", B, handle_meeting_list, NULL, list_query, 200, "List meetings"),
    KEY_CREATE("/bots", B, handle_bot_create, "bots.create.v1", NULL, 201,
               "Send a bot to a meeting"),
    KEY("GET", "/bots/status", B, handle_bots_status, NULL, status_query, 200,
        "Running bots and recent failures"),
    BOT("POST", "/bots/internal/callback/lifecycle", handle_bot_callback, "lifecycle.v1", NULL,
        "A bot reports its state"),
    BOT("POST", "/bots/internal/transcripts", handle_bot_transcripts, "transcripts.ingest.v1",
        NULL, "A bot hands in segments"),
    BOT("GET", "/bots/internal/commands", handle_bot_commands, NULL, commands_query,
        "Event stream of commands for a bot"),
    KEY("DELETE", "/bots/{platform}/{native_meeting_id}", B, handle_bot_stop, NULL, NULL, 204,
        "Stop a bot"),
    LATER("PUT", "/bots/{platform}/{native_meeting_id}/config", B, 202, "Change a running bot"),
    LATER("POST", "/bots/{platform}/{native_meeting_id}/speak", B, 202, "Let a bot speak"),
    KEY("GET", "/bots/{platform}/{native_meeting_id}/chat", B, handle_bot_chat, NULL, NULL, 200,
        "Chat messages of a meeting"),

    /* meetings */
    KEY("GET", "/meetings", T, handle_meeting_list, NULL, list_query, 200, "List meetings"),
    LATER("POST", "/meetings", T, 201, "Plan a meeting"),
    KEY("GET", "/meetings/stream", T, handle_feed, NULL, feed_query, 200,
        "Event stream of the user's meetings, or of several topics"),
    KEY("GET", "/meetings/{meeting_id:int}", T, handle_meeting_get, NULL, NULL, 200, "A meeting"),
    LATER("PATCH", "/meetings/{meeting_id:int}", T, 200, "Change a meeting"),
    KEY("DELETE", "/meetings/{meeting_id:int}", T, handle_meeting_delete, NULL, NULL, 204,
        "Delete an ended meeting with its transcript"),
    LATER("PATCH", "/meetings/{platform}/{native_meeting_id}", T, 200, "Change a meeting"),
    KEY("DELETE", "/meetings/{platform}/{native_meeting_id}", T, handle_meeting_delete_by_native,
        NULL, NULL, 200, "Delete the newest meeting of a link, when it is over"),
    LATER("PUT", "/meetings/{platform}/{native_meeting_id}/intent", T, 200,
          "Say whether a bot shall attend"),
    LATER("POST", "/meetings/{platform}/{native_meeting_id}/share", T, 200,
          "Mint a share token of a transcript"),
    LATER("POST", "/meetings/{platform}/{native_meeting_id}/workspace", T, 200,
          "Bind a meeting to a workspace"),

    /* transcripts */
    LATER("POST", "/transcripts/share/accept", T, 200, "Redeem a share token"),
    KEY("GET", "/transcripts/by-id/{meeting_id:int}", T, handle_transcript_by_id, NULL,
        transcript_query, 200,
        "A transcript by meeting id"),
    KEY("GET", "/transcripts/{platform}/{native_meeting_id}", T, handle_transcript_get, NULL,
        transcript_query, 200, "The newest transcript of a link"),
    LATER("POST", "/transcripts/{platform}/{native_meeting_id}/share", T, 200,
          "Mint a share token of a transcript"),

    /* recordings */
    LATER("GET", "/recordings", BT, 200, "List recordings"),
    LATER("GET", "/recordings/{recording_id:int}", BT, 200, "A recording"),
    LATER("DELETE", "/recordings/{recording_id:int}", B, 200, "Delete a recording"),
    LATER("GET", "/recordings/{recording_id:int}/master", BT, 200, "The joined recording"),
    LATER("GET", "/recordings/{recording_id:int}/media/{media_file_id:int}/raw", BT, 200,
          "A media file"),
    LATER("GET", "/recordings/{recording_id:int}/media/{media_file_id:int}/download", BT, 200,
          "A media file"),

    /* the user's own settings */
    LATER("GET", "/user/calendar", B, 200, "The first calendar"),
    LATER("PUT", "/user/calendar", B, 200, "Set the first calendar"),
    LATER("GET", "/user/calendar/sync", B, 200, "Last sync of the first calendar"),
    LATER("POST", "/user/calendar/sync", B, 200, "Sync the first calendar"),
    LATER("GET", "/user/calendars", B, 200, "List calendars"),
    LATER("POST", "/user/calendars", B, 201, "Connect a calendar"),
    LATER("PATCH", "/user/calendars/{calendar_id}", B, 200, "Change a calendar"),
    LATER("DELETE", "/user/calendars/{calendar_id}", B, 204, "Disconnect a calendar"),
    LATER("GET", "/user/calendars/{calendar_id}/sync", B, 200, "Last sync of a calendar"),
    LATER("POST", "/user/calendars/{calendar_id}/sync", B, 200, "Sync a calendar"),
    LATER("GET", "/user/webhook", BT, 200, "The webhook"),
    LATER("PUT", "/user/webhook", BT, 200, "Set the webhook"),
    LATER("GET", "/user/webhook/deliveries", BT, 200, "Deliveries of the webhook"),
    LATER("GET", "/user/models", BT, 200, "Model settings"),
    LATER("PUT", "/user/models", BT, 200, "Set model settings"),
    LATER("GET", "/user/transcription", BT, 200, "Transcription settings"),
    LATER("PUT", "/user/transcription", BT, 200, "Set transcription settings"),

    /* agents: dispatch, units, chat, routines */
    LATER("POST", "/invocations", BT, 202, "Dispatch a unit.v1 invocation"),
    LATER("POST", "/events", BT, 202, "Dispatch an event.v1 event"),
    LATER("POST", "/agent/invocations", BT, 202, "Dispatch a unit.v1 invocation"),
    LATER("POST", "/agent/events", BT, 202, "Dispatch an event.v1 event"),
    LATER("GET", "/agent/units/{id}", BT, 200, "A unit"),
    LATER("DELETE", "/agent/units/{id}", BT, 204, "Stop a unit"),
    LATER("GET", "/agent/units/{id}/stream", BT, 200, "Event stream of a unit"),
    LATER("GET", "/agent/models", BT, 200, "Models in use"),
    LATER("GET", "/agent/models/test", BT, 200, "Test the model settings"),
    LATER("GET", "/agent/transcription/test", BT, 200, "Test the transcription settings"),
    LATER("POST", "/agent/chat", BT, 200, "A chat turn as event stream"),
    LATER("POST", "/agent/chat/reset", BT, 200, "Forget a chat session"),
    LATER("GET", "/agent/sessions", BT, 200, "List chat sessions"),
    LATER("GET", "/agent/sessions/{session}/history", BT, 200, "Turns of a chat session"),
    LATER("POST", "/agent/routines", BT, 201, "Create a routine"),
    LATER("GET", "/agent/routines", BT, 200, "List routines"),
    LATER("PATCH", "/agent/routines/{name}/enabled", BT, 200, "Switch a routine on or off"),
    LATER("DELETE", "/agent/routines/{routine_id}", BT, 200, "Delete a routine"),

    /* agents: live meetings */
    KEY("GET", "/agent/meeting/stream", BT, handle_meeting_stream, NULL, stream_query, 200,
        "Event stream of a meeting"),
    LATER("POST", "/agent/meeting/start", BT, 202, "Start the copilot of a meeting"),
    LATER("POST", "/agent/meeting/process", BT, 202, "Switch the copilot of a meeting"),
    LATER("GET", "/agent/meeting/relay-health", BT, 200, "Health of the transcript relay"),

    /* agents: workspace, reading */
    KEY("GET", "/agent/workspace/tree", BT, handle_workspace_tree, NULL, tree_query, 200,
        "Files of a workspace"),
    KEY("GET", "/agent/workspace/file", BT, handle_workspace_file, NULL, file_query, 200,
        "A file of a workspace"),
    KEY("GET", "/agent/workspace/git", BT, handle_workspace_git, NULL, git_query, 200,
        "Changes and commits of a workspace"),
    KEY("GET", "/agent/workspace/git/show", BT, handle_workspace_git_show, NULL, show_query, 200,
        "A commit of a workspace"),
    LATER("POST", "/agent/workspace/upload", BT, 200, "Upload files"),

    /* agents: workspace, life */
    {"POST", "/agent/workspace/init", handle_workspace_init, AUTH_KEY, BT, "workspace.init.v1", true,
     NULL, 201, "Make the first workspace", false, NULL},
    LATER("GET", "/agent/workspace/attached", BT, 200, "Workspaces of the user"),
    LATER("POST", "/agent/workspace/swap", BT, 200, "Replace the active workspace"),
    LATER("GET", "/agent/workspace/active", BT, 200, "Active workspaces"),
    LATER("POST", "/agent/workspace/activate", BT, 200, "Activate a workspace"),
    LATER("POST", "/agent/workspace/new", BT, 201, "Make a workspace"),
    LATER("POST", "/agent/workspace/deactivate", BT, 200, "Deactivate a workspace"),
    LATER("POST", "/agent/workspace/rename", BT, 200, "Rename a workspace"),
    LATER("GET", "/agent/workspace/purpose", BT, 200, "Purpose of a workspace"),
    LATER("POST", "/agent/workspace/purpose", BT, 200, "Set the purpose of a workspace"),

    /* agents: workspace and GitHub */
    LATER("GET", "/agent/workspace/git-token", BT, 200, "Is a GitHub token saved"),
    LATER("POST", "/agent/workspace/git-token", BT, 200, "Save a GitHub token"),
    LATER("GET", "/agent/workspace/git-remote-status", BT, 200, "A workspace against its remote"),
    LATER("POST", "/agent/workspace/push", BT, 200, "Push a workspace"),
    LATER("POST", "/agent/workspace/pull", BT, 200, "Pull a workspace"),
    LATER("POST", "/agent/workspace/publish", BT, 200, "Publish a workspace"),

    /* agents: workspace, sharing */
    LATER("POST", "/agent/workspace/shared/new", BT, 201, "Make a shared workspace"),
    LATER("GET", "/agent/workspace/shared", BT, 200, "Shared workspaces of the user"),
    LATER("POST", "/agent/workspace/shared/{workspace_id}/active", BT, 200,
          "Switch a shared workspace on or off"),
    LATER("POST", "/agent/workspace/invites", BT, 201, "Mint an invite"),
    LATER("GET", "/agent/workspace/invites", BT, 200, "List invites"),
    LATER("GET", "/agent/workspace/invites/preview", BT, 200, "What an invite is for"),
    LATER("POST", "/agent/workspace/invites/accept", BT, 200, "Accept an invite"),
    LATER("DELETE", "/agent/workspace/invites/{invite_id}", BT, 200, "Revoke an invite"),
    LATER("GET", "/agent/workspace/members", BT, 200, "Members of a workspace"),
    LATER("DELETE", "/agent/workspace/members/{member}", BT, 200, "Remove a member"),
    LATER("POST", "/agent/workspace/members/{member}/role", BT, 200, "Change a member's role"),
    LATER("POST", "/agent/workspace/{slug}/archive", BT, 200, "Archive a workspace"),
    LATER("POST", "/agent/workspace/{slug}/share-enable", BT, 200, "Make a workspace shareable"),
    LATER("POST", "/agent/workspace/{workspace_id}/unshare", BT, 200, "Take a workspace back"),
    LATER("POST", "/agent/workspace/{workspace_id}/leave", BT, 200, "Leave a shared workspace"),
    LATER("DELETE", "/agent/workspace/{slug}", BT, 200, "Delete a workspace"),

    /* MCP */
    LATER("GET", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("POST", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("PUT", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("PATCH", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("DELETE", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("OPTIONS", "/mcp", BT, 200, "Model Context Protocol"),
    LATER("GET", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
    LATER("POST", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
    LATER("PUT", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
    LATER("PATCH", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
    LATER("DELETE", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
    LATER("OPTIONS", "/mcp/{path...}", BT, 200, "Model Context Protocol"),
};
/* clang-format on */

const struct route *route_at(size_t i)
{
    return i < sizeof routes / sizeof routes[0] ? &routes[i] : NULL;
}
