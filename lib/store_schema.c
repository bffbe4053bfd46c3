/* The tables. All times are INTEGER milliseconds since 1970 UTC, NULL where nothing happened yet;
 * JSON is TEXT. There are no CHECKs on JSON columns: what is in them is checked on the way in, and
 * a row damaged by hand must stay readable enough to be reported. */
#include "lib/store_schema.h"

#include <stddef.h>

/* AUTOINCREMENT wherever an id is shown to a client: an id once given is never given again. */
static const char schema_1[] =
    "CREATE TABLE meta ("
    "  key TEXT PRIMARY KEY NOT NULL,"
    "  value TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE users ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  email TEXT NOT NULL UNIQUE,"
    "  name TEXT,"
    "  max_concurrent_bots INTEGER NOT NULL DEFAULT 3,"
    "  data TEXT NOT NULL DEFAULT '{}',"
    "  created_ms INTEGER NOT NULL"
    ") STRICT;"

    /* hash: SHA-256 of the key; the key itself is never stored. */
    "CREATE TABLE tokens ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
    "  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
    "  scopes TEXT NOT NULL,"
    "  name TEXT,"
    "  created_ms INTEGER NOT NULL,"
    "  last_used_ms INTEGER,"
    "  expires_ms INTEGER"
    ") STRICT;"
    "CREATE INDEX tokens_user ON tokens (user_id, id);"

    /* stop_requested_ms: when the user asked for the end; it is never taken back on a live row. */
    "CREATE TABLE meetings ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
    "  platform TEXT NOT NULL,"
    "  native_meeting_id TEXT,"
    "  url TEXT,"
    "  status TEXT NOT NULL,"
    "  bot_container_id TEXT,"
    "  start_ms INTEGER,"
    "  end_ms INTEGER,"
    "  completion_reason TEXT,"
    "  failure_stage TEXT,"
    "  failure_reason TEXT,"
    "  stop_requested_ms INTEGER,"
    "  data TEXT NOT NULL DEFAULT '{}',"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE UNIQUE INDEX meetings_one_open ON meetings (user_id, platform, native_meeting_id)"
    "  WHERE status NOT IN ('completed', 'failed');"
    "CREATE INDEX meetings_newest ON meetings (user_id, created_ms, id);"
    "CREATE INDEX meetings_native ON meetings (user_id, native_meeting_id, created_ms, id);"
    "CREATE INDEX meetings_status ON meetings (user_id, status);"

    "CREATE TABLE sessions ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  meeting_id INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,"
    "  session_uid TEXT NOT NULL UNIQUE,"
    "  started_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX sessions_meeting ON sessions (meeting_id, id);"

    /* changed: number of the event that last showed a change of the segment. */
    "CREATE TABLE segments ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  meeting_id INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,"
    "  segment_id TEXT NOT NULL,"
    "  start_s REAL NOT NULL,"
    "  end_s REAL NOT NULL,"
    "  text TEXT NOT NULL,"
    "  language TEXT,"
    "  speaker TEXT,"
    "  speaker_key TEXT,"
    "  source TEXT,"
    "  completed INTEGER NOT NULL,"
    "  absolute_start TEXT,"
    "  absolute_end TEXT,"
    "  words TEXT,"
    "  confidence REAL,"
    "  changed INTEGER NOT NULL,"
    "  UNIQUE (meeting_id, segment_id)"
    ") STRICT;"
    "CREATE INDEX segments_order ON segments (meeting_id, start_s, id);"

    "CREATE TABLE events ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  topic TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  data TEXT NOT NULL,"
    "  ts INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_topic ON events (topic, id);"
    /* Every opened meeting stream asks for it, and most live meetings do not have it yet. */
    "CREATE INDEX events_end ON events (topic, id) WHERE type = 'meeting-end';"

    /* floor: largest event number trimmed from the topic. */
    "CREATE TABLE topic_floors ("
    "  topic TEXT PRIMARY KEY NOT NULL,"
    "  floor INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE workloads ("
    "  id TEXT PRIMARY KEY NOT NULL,"
    "  meeting_id INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,"
    "  session_uid TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('requested', 'starting', 'running', 'ended')),"
    "  launch TEXT NOT NULL,"
    "  runner TEXT,"
    "  lease_until_ms INTEGER,"
    "  pid INTEGER,"
    "  pid_start INTEGER,"
    "  requested_ms INTEGER NOT NULL,"
    "  started_ms INTEGER,"
    "  ended_ms INTEGER,"
    "  exit_code INTEGER,"
    "  signal INTEGER,"
    "  note TEXT"
    ") STRICT;"
    "CREATE INDEX workloads_state ON workloads (state, requested_ms);"
    "CREATE INDEX workloads_meeting ON workloads (meeting_id);"

    "CREATE TABLE runners ("
    "  name TEXT PRIMARY KEY NOT NULL,"
    "  pid INTEGER NOT NULL,"
    "  seen_ms INTEGER NOT NULL"
    ") STRICT;";

/* deleted_ms: the user deleted the meeting and no read finds it any more; purged_ms: what hung on
 * it is gone from the disk as well. ended: what enum topic_end says about a trimmed topic. */
static const char schema_2[] =
    "ALTER TABLE meetings ADD COLUMN deleted_ms INTEGER;"
    "ALTER TABLE meetings ADD COLUMN purged_ms INTEGER;"
    "CREATE INDEX meetings_purge ON meetings (id)"
    "  WHERE deleted_ms IS NOT NULL AND purged_ms IS NULL;"
    "ALTER TABLE topic_floors ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;"
    /* What a reader of a transcript has to forget; few among many events. */
    "CREATE INDEX events_retract ON events (topic, id) WHERE type = 'retract';";

/* user_id 0 is the admin. status NULL: in progress until expires_ms. An id is given once, so that a
 * claim whose row went never meets another one. */
static const char schema_3[] = "CREATE TABLE idempotency ("
                               "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
                               "  user_id INTEGER NOT NULL,"
                               "  method TEXT NOT NULL,"
                               "  path TEXT NOT NULL,"
                               "  key TEXT NOT NULL,"
                               "  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),"
                               "  status INTEGER,"
                               "  body TEXT,"
                               "  created_ms INTEGER NOT NULL,"
                               "  expires_ms INTEGER NOT NULL,"
                               "  UNIQUE (user_id, method, path, key)"
                               ") STRICT;"
                               "CREATE INDEX idempotency_expires ON idempotency (expires_ms);";

const struct migration store_migrations[] = {
    {1, schema_1},
    {2, schema_2},
    {3, schema_3},
    {0, NULL},
};

const int store_schema_latest = 3;
