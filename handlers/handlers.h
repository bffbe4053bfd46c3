/* Every handler of the route table. A handler gets a request that already passed matching,
 * authentication, scope, path, query and body checks (fcgi/router.c), calls lib/ and fills the
 * response. It holds no SQL and knows no FastCGI. */
#ifndef VX_HANDLERS_H
#define VX_HANDLERS_H

#include "handlers/http.h"

/* health.c */
handler_fn handle_health; /* GET /health: touches nothing */
handler_fn handle_ready;  /* GET /ready: database, schema, runner */

/* openapi.c */
handler_fn handle_openapi; /* GET /openapi.json */

/* auth.c */
handler_fn handle_auth_me; /* GET /auth/me */

/* admin_users.c */
handler_fn handle_user_create;   /* POST /admin/users: find or create */
handler_fn handle_user_get;      /* GET /admin/users/{user_id:int} */
handler_fn handle_user_by_email; /* GET /admin/users/email/{email} */
handler_fn handle_user_update;   /* PATCH /admin/users/{user_id:int} */

/* admin_tokens.c */
handler_fn handle_token_create; /* POST /admin/users/{user_id:int}/tokens */
handler_fn handle_token_list;   /* GET /admin/users/{user_id:int}/tokens */
handler_fn handle_token_delete; /* DELETE /admin/tokens/{token_id:int} */

/* bot_create.c, bots.c, bots_status.c */
handler_fn handle_bot_create;  /* POST /bots */
handler_fn handle_bot_stop;    /* DELETE /bots/{platform}/{native_meeting_id} */
handler_fn handle_bot_chat;    /* GET /bots/{platform}/{native_meeting_id}/chat */
handler_fn handle_bots_status; /* GET /bots/status */

/* meetings.c */
handler_fn handle_meeting_list; /* GET /meetings and GET /bots */
handler_fn handle_meeting_get;  /* GET /meetings/{meeting_id:int} */

/* meeting_delete.c */
handler_fn handle_meeting_delete;           /* DELETE /meetings/{meeting_id:int} */
handler_fn handle_meeting_delete_by_native; /* DELETE /meetings/{platform}/{native_meeting_id} */

/* transcripts.c */
handler_fn handle_transcript_by_id; /* GET /transcripts/by-id/{meeting_id:int} */
handler_fn handle_transcript_get;   /* GET /transcripts/{platform}/{native_meeting_id} */

/* bot_callback.c, bot_transcripts.c: what bots say */
handler_fn handle_bot_callback;    /* POST /bots/internal/callback/lifecycle */
handler_fn handle_bot_transcripts; /* POST /bots/internal/transcripts */

/* streams.c */
handler_fn handle_bot_commands;   /* GET /bots/internal/commands */
handler_fn handle_meeting_stream; /* GET /agent/meeting/stream */

/* feed.c */
handler_fn handle_feed; /* GET /meetings/stream: the user's feed, or several topics */

/* workspace.c: the agent workspace of the caller */
handler_fn handle_workspace_tree;     /* GET /agent/workspace/tree */
handler_fn handle_workspace_file;     /* GET /agent/workspace/file */
handler_fn handle_workspace_git;      /* GET /agent/workspace/git */
handler_fn handle_workspace_git_show; /* GET /agent/workspace/git/show */
handler_fn handle_workspace_init;     /* POST /agent/workspace/init */

#endif
