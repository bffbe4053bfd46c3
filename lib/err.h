/* The one error table: every failure a caller can be told about is a row here, with its HTTP
 * status, its machine code and its text (shapes.md "HTTP, everywhere"; spec/errors-page.md).
 * Functions that can fail return enum vx_err; 0 is success. Details that help the caller travel
 * beside it (handlers/http.h); what only helps an attacker goes to the log. */
#ifndef VX_ERR_H
#define VX_ERR_H

/* X(member, status, code, default detail, Retry-After in seconds or 0) */
#define VX_ERR_TABLE(X)                                                                            \
    X(BAD_REQUEST, 400, "bad_request", "Bad Request", 0)                                           \
    X(NONCONFORMANT_INVOCATION, 400, "nonconformant_invocation",                                   \
      "Invocation envelope is not conformant", 0)                                                  \
    X(NONCONFORMANT_EVENT, 400, "nonconformant_event", "Event is not conformant", 0)               \
    X(INVALID_PATH, 400, "invalid_path", "invalid path", 0)                                        \
    X(NOT_TEXT, 400, "not_text", "not a text file", 0)                                             \
    X(MISSING_API_KEY, 401, "missing_api_key", "Missing API key", 0)                               \
    X(INVALID_API_KEY, 401, "invalid_api_key", "Invalid API key", 0)                               \
    X(MISSING_MEETING_TOKEN, 401, "missing_meeting_token", "Missing meeting token", 0)             \
    X(INVALID_MEETING_TOKEN, 401, "invalid_meeting_token", "Invalid meeting token", 0)             \
    X(MEETING_TOKEN_EXPIRED, 401, "meeting_token_expired", "Meeting token expired", 0)             \
    X(MEETING_TOKEN_MISMATCH, 403, "meeting_token_mismatch",                                       \
      "Meeting token does not match this meeting", 0)                                              \
    X(INSUFFICIENT_SCOPE, 403, "insufficient_scope",                                               \
      "Token scope not authorized for this endpoint", 0)                                           \
    X(INVALID_ADMIN_TOKEN, 403, "invalid_admin_token", "Invalid or missing admin token.", 0)       \
    X(MEETING_FORBIDDEN, 403, "meeting_forbidden", "not authorized for this meeting", 0)           \
    X(WORKSPACE_FORBIDDEN, 403, "workspace_forbidden", "not authorized for this workspace", 0)     \
    X(NOT_FOUND, 404, "not_found", "Not Found", 0)                                                 \
    X(USER_NOT_FOUND, 404, "user_not_found", "User not found", 0)                                  \
    X(TOKEN_NOT_FOUND, 404, "token_not_found", "Token not found", 0)                               \
    X(MEETING_NOT_FOUND, 404, "meeting_not_found", "Meeting not found", 0)                         \
    X(FILE_NOT_FOUND, 404, "file_not_found", "not found", 0)                                       \
    X(UNIT_NOT_FOUND, 404, "unit_not_found", "Unit not found", 0)                                  \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method Not Allowed", 0)                      \
    X(MEETING_ALREADY_ACTIVE, 409, "meeting_already_active", "An active meeting already exists",   \
      0)                                                                                           \
    X(INVALID_STATE, 409, "invalid_state", "Invalid transition", 0)                                \
    X(IDEMPOTENCY_IN_PROGRESS, 409, "idempotency_in_progress",                                     \
      "A request with this Idempotency-Key is still running", 1)                                   \
    X(PAYLOAD_TOO_LARGE, 413, "payload_too_large", "Request body is too large", 0)                 \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type",                                       \
      "Content-Type must be application/json", 0)                                                  \
    X(VALIDATION, 422, "validation_error", "Validation failed", 0)                                 \
    X(JSON_INVALID, 422, "json_invalid", "JSON decode error", 0)                                   \
    X(INVALID_SCOPE, 422, "invalid_scope", "Invalid scope(s)", 0)                                  \
    X(IDEMPOTENCY_MISMATCH, 422, "idempotency_mismatch",                                           \
      "This Idempotency-Key was used with another request", 0)                                     \
    X(CONCURRENCY_LIMIT, 429, "concurrency_limit",                                                 \
      "User has reached the maximum concurrent bot limit", 30)                                     \
    X(RATE_LIMITED, 429, "rate_limited", "Rate limit exceeded", 1)                                 \
    X(INTERNAL, 500, "internal_error", "Internal Server Error", 0)                                 \
    X(SERVER_MISCONFIGURED, 500, "server_misconfigured",                                           \
      "The web server passed no REQUEST_METHOD: add 'include fastcgi_params;' to its config", 0)   \
    X(NOT_IMPLEMENTED, 501, "not_implemented", "Not implemented", 0)                               \
    X(STORE_BUSY, 503, "store_busy", "The database is busy, retry", 1)                             \
    X(STORAGE_FULL, 503, "storage_full", "The disk is full, retry later", 30)                      \
    X(STORE_FAULT, 503, "store_fault", "The database cannot be used right now, retry", 5)          \
    X(SCHEMA_TOO_NEW, 503, "schema_too_new",                                                       \
      "The database was made by a newer vexa; install that version or restore a backup", 30)       \
    X(NO_MEMORY, 503, "out_of_memory", "The server is out of memory, retry", 5)                    \
    X(STREAM_CAPACITY, 503, "stream_capacity", "Too many open streams, retry", 5)                  \
    X(DRAINING, 503, "draining", "The server is restarting, retry", 1)                             \
    X(NOT_READY, 503, "not_ready", "The instance is not ready", 5)                                 \
    X(BAD_CONFIG, 503, "bad_config", "The configuration is not usable, see the log", 30)           \
    X(SYSTEM, 503, "system_fault", "The system refused an operation, retry", 5)

enum vx_err {
    VX_OK = 0,
#define X(member, status, code, detail, retry) VX_ERR_##member,
    VX_ERR_TABLE(X)
#undef X
        VX_ERR_COUNT
};

struct vx_err_info {
    int status;         /* HTTP status */
    const char *code;   /* machine code, stable */
    const char *detail; /* text where the caller gives none */
    int retry_after;    /* seconds, 0 = no Retry-After */
};

/* The row of err; an unknown value gets the row of VX_ERR_INTERNAL. Never NULL. */
const struct vx_err_info *vx_err_info(enum vx_err err);

/* Reason phrase of an HTTP status ("Not Found"); "Unknown" for one we never send. */
const char *http_status_title(int status);

#endif
