/* How a workspace stands: its branch, its last commits, and how the worktree differs from the last
 * one. The comparison is ours: names and sizes first, then SHA-1 of raw bytes, so that no ignore
 * file, attribute or filter an agent wrote takes part. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/workspace_git.h"

#define CHANGES_MAX 500
#define COMMITS_MAX 8
#define FILES_MAX   20                  /* of a commit */
#define WALK_MAX    20000               /* files compared */
#define HASH_MAX    ((int64_t)64 << 20) /* bytes hashed for one answer */
#define READ_STEP   65536

struct status {
    const struct workspace *ws;
    git_odb *odb;
    git_index *head;     /* the last commit, flat, in memory */
    unsigned char *seen; /* of head's entries */
    struct json_object *changes;
    int64_t hash_left;
    bool cut;
    enum vx_err err;
};

/* What an agent's program keeps for itself is no change of the user's. */
static bool is_private(const char *path)
{
    size_t n = strcspn(path, "/");
    return workspace_is_git_name(path, n) || (n == 7 && strncmp(path, ".claude", 7) == 0);
}

static int add_change(struct status *s, const char *path, const char *kind)
{
    struct json_object *o, *text;
    if (is_private(path))
        return 0;
    if (json_object_array_length(s->changes) >= CHANGES_MAX) {
        s->cut = true;
        return 1;
    }
    o = json_object_new_object();
    text = workspace_text(path, strlen(path));
    if (o == NULL) {
        json_object_put(text);
        s->err = VX_ERR_NO_MEMORY;
        return 1;
    }
    if (json_put(o, "path", text) != 0 || json_put_str(o, "kind", kind) != 0 ||
        json_object_array_add(s->changes, o) != 0) {
        json_object_put(o);
        s->err = VX_ERR_NO_MEMORY;
    }
    return s->err != VX_OK;
}

/* SHA-1 of "blob <size>\0" and what fd gives; false when that is not size bytes. */
static bool hash_fd(int fd, int64_t size, unsigned char out[GIT_OID_RAWSZ])
{
    char step[READ_STEP];
    int64_t left = size;
    int head = snprintf(step, sizeof step, "blob %lld", (long long)size) + 1;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(md, step, (size_t)head) == 1;
    while (ok) {
        ssize_t n = read(fd, step, sizeof step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        left -= n;
        ok = left >= 0 && EVP_DigestUpdate(md, step, (size_t)n) == 1;
    }
    ok = ok && left == 0 && EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool same_link(const struct workspace_entry *e, const git_oid *id)
{
    char target[PATH_MAX];
    git_oid mine;
    ssize_t n = readlinkat(e->dir, e->name, target, sizeof target);
    return n >= 0 && git_odb_hash(&mine, target, (size_t)n, GIT_OBJECT_BLOB) == 0 &&
           git_oid_equal(&mine, id);
}

/* Has the file the bytes of the blob? */
static bool same_bytes(struct status *s, const struct workspace_entry *e, const git_oid *id)
{
    size_t size;
    git_object_t type;
    git_oid mine;
    if (git_odb_read_header(&size, &type, s->odb, id) != 0 || (int64_t)size != e->st->st_size)
        return false;
    if (s->hash_left < (int64_t)size) {
        s->cut = true; /* not looked at: not said to have changed */
        return true;
    }
    s->hash_left -= (int64_t)size;
    int fd = openat(e->dir, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool same = hash_fd(fd, (int64_t)size, mine.id) && git_oid_equal(&mine, id);
    close(fd);
    return same;
}

static int compare(void *ctx, const struct workspace_entry *e)
{
    struct status *s = ctx;
    size_t at;
    if (git_index_find(&at, s->head, e->path) != 0)
        return add_change(s, e->path, "A");
    const git_index_entry *old = git_index_get_byindex(s->head, at);
    s->seen[at] = 1;
    bool link = S_ISLNK(e->st->st_mode);
    if (link != ((old->mode & S_IFMT) == S_IFLNK))
        return add_change(s, e->path, "T");
    if (!link && ((e->st->st_mode & S_IXUSR) != 0) != ((old->mode & S_IXUSR) != 0))
        return add_change(s, e->path, "M");
    return (link ? same_link(e, &old->id) : same_bytes(s, e, &old->id))
               ? 0
               : add_change(s, e->path, "M");
}

/* Entries of the last commit that the walk did not meet and that are really gone. */
static void find_deleted(struct status *s)
{
    for (size_t i = 0; i < git_index_entrycount(s->head) && s->err == VX_OK; i++) {
        const git_index_entry *old = git_index_get_byindex(s->head, i);
        int fd = -1;
        if (s->seen[i])
            continue;
        enum vx_err err = workspace_open_path(s->ws, old->path, O_PATH | O_NOFOLLOW, &fd);
        struct stat st;
        bool there =
            err == VX_OK && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode));
        if (fd >= 0)
            close(fd);
        if (!there && add_change(s, old->path, "D") != 0)
            break;
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(json_get_str(*(struct json_object *const *)a, "path"),
                  json_get_str(*(struct json_object *const *)b, "path"));
}

/* tree NULL = there is no commit. */
static enum vx_err read_changes(const struct workspace *ws, git_repository *repo, git_tree *tree,
                                struct json_object *changes, bool *cut)
{
    struct status s = {.ws = ws, .changes = changes, .hash_left = HASH_MAX};
    struct workspace_walk how = {true, WALK_MAX, compare, &s};
    enum vx_err err = VX_OK;
    int rc = git_repository_odb(&s.odb, repo);
    if (rc == 0)
        rc = git_index_new(&s.head);
    if (rc == 0 && tree != NULL)
        rc = git_index_read_tree(s.head, tree);
    if (rc != 0)
        err = workspace_git_fault(rc, "read the last commit");
    if (err == VX_OK && (s.seen = calloc(git_index_entrycount(s.head) + 1, 1)) == NULL)
        err = VX_ERR_NO_MEMORY;
    if (err == VX_OK)
        err = workspace_walk(ws, &how, cut);
    if (err == VX_OK && s.err == VX_OK)
        find_deleted(&s);
    if (err == VX_OK)
        err = s.err;
    *cut |= s.cut;
    if (err == VX_OK)
        json_object_array_sort(changes, by_path);
    free(s.seen);
    git_index_free(s.head);
    git_odb_free(s.odb);
    return err;
}

/* ---- commits ---- */

/* As git says it: "5 minutes ago". */
static struct json_object *ago(int64_t seconds)
{
    static const struct {
        int64_t below, unit, round;
        const char *name;
    } rows[] = {{90, 1, 0, "second"},
                {5400, 60, 30, "minute"},
                {129600, 3600, 1800, "hour"},
                {1209600, 86400, 43200, "day"},
                {6048000, 604800, 302400, "week"},
                {31536000, 2592000, 1296000, "month"},
                {INT64_MAX, 31536000, 15768000, "year"}};
    char text[64];
    size_t i = 0;
    if (seconds < 0)
        return json_object_new_string("in the future");
    while (seconds >= rows[i].below)
        i++;
    long long n = (long long)((seconds + rows[i].round) / rows[i].unit);
    snprintf(text, sizeof text, "%lld %s%s ago", n, rows[i].name, n == 1 ? "" : "s");
    return json_object_new_string(text);
}

/* Who made a commit, as the caller sees it. */
static const char *kind_of(const struct workspace *ws, const git_signature *who)
{
    char mine[64];
    snprintf(mine, sizeof mine, "%lld@vexa.local", (long long)ws->user_id);
    if (strcmp(who->email, "platform@vexa.ai") == 0 || strcmp(who->email, "agent@vexa") == 0 ||
        strcmp(who->name, "vexa-platform") == 0 || strcmp(who->name, "vexa-agent") == 0)
        return "system";
    return strcmp(who->email, mine) == 0 ? "you" : "member";
}

/* Paths a commit changed against its first parent. */
static int read_files(git_repository *repo, const git_commit *c, struct json_object *files)
{
    git_tree *tree = NULL, *before = NULL;
    git_commit *parent = NULL;
    git_diff *diff = NULL;
    int rc = git_commit_tree(&tree, c);
    if (rc == 0 && git_commit_parentcount(c) > 0 && (rc = git_commit_parent(&parent, c, 0)) == 0)
        rc = git_commit_tree(&before, parent);
    if (rc == 0)
        rc = git_diff_tree_to_tree(&diff, repo, before, tree, NULL);
    size_t n = rc == 0 ? git_diff_num_deltas(diff) : 0;
    for (size_t i = 0; i < n && i < FILES_MAX && rc == 0; i++) {
        const git_diff_delta *d = git_diff_get_delta(diff, i);
        const char *path = d->new_file.path != NULL ? d->new_file.path : d->old_file.path;
        rc = json_object_array_add(files, workspace_text(path, strlen(path)));
    }
    git_diff_free(diff);
    git_commit_free(parent);
    git_tree_free(before);
    git_tree_free(tree);
    return rc;
}

static int describe(const struct workspace *ws, git_repository *repo, git_commit *c, int64_t now_ms,
                    struct json_object *o)
{
    const git_signature *who = git_commit_author(c);
    const char *msg = git_commit_summary(c);
    int64_t ts = git_commit_time(c);
    git_buf sha = {0};
    struct json_object *files = json_object_new_array();
    int rc = git_object_short_id(&sha, (const git_object *)c);
    if (rc == 0 && files != NULL)
        rc = read_files(repo, c, files);
    if (rc == 0 &&
        (json_put_str(o, "sha", sha.ptr) != 0 ||
         json_put(o, "msg", workspace_text(msg ? msg : "", msg ? strlen(msg) : 0)) != 0 ||
         json_put(o, "when", ago(now_ms / 1000 - ts)) != 0 ||
         json_put(o, "author", workspace_text(who->name, strlen(who->name))) != 0 ||
         json_put_str(o, "kind", kind_of(ws, who)) != 0 ||
         json_put(o, "files", json_object_get(files)) != 0 || json_put_int(o, "ts", ts) != 0))
        rc = -1;
    json_object_put(files);
    git_buf_dispose(&sha);
    return rc;
}

static enum vx_err read_commits(const struct workspace *ws, git_repository *repo, int64_t now_ms,
                                struct json_object *commits)
{
    git_revwalk *walk = NULL;
    git_oid id;
    int rc = git_revwalk_new(&walk, repo);
    if (rc == 0)
        rc = git_revwalk_push_head(walk);
    for (size_t i = 0; i < COMMITS_MAX && rc == 0 && (rc = git_revwalk_next(&id, walk)) == 0; i++) {
        git_commit *c = NULL;
        struct json_object *o = json_object_new_object();
        rc = o != NULL ? git_commit_lookup(&c, repo, &id) : -1;
        if (rc == 0)
            rc = describe(ws, repo, c, now_ms, o);
        if (rc == 0)
            rc = json_object_array_add(commits, o);
        if (rc != 0)
            json_object_put(o);
        git_commit_free(c);
    }
    enum vx_err err = rc == 0 || rc == GIT_ITEROVER ? VX_OK : workspace_git_fault(rc, "log");
    git_revwalk_free(walk);
    return err;
}

enum vx_err workspace_git_state(const struct workspace *ws, int64_t now_ms,
                                struct json_object **out)
{
    struct json_object *o = json_object_new_object(), *changes = json_object_new_array(),
                       *commits = json_object_new_array();
    git_repository *repo = NULL;
    git_reference *head = NULL;
    git_object *tree = NULL;
    const char *branch = "main";
    bool cut = false;
    int rc = 0;
    *out = NULL;
    enum vx_err err = o && changes && commits ? workspace_git_open(ws, &repo) : VX_ERR_NO_MEMORY;
    if (err == VX_OK) {
        rc = git_repository_head(&head, repo);
        if (rc == 0)
            rc = git_reference_peel(&tree, head, GIT_OBJECT_TREE);
        if (rc == GIT_EUNBORNBRANCH || rc == GIT_ENOTFOUND)
            rc = 0;
        if (rc != 0)
            err = workspace_git_fault(rc, "read HEAD");
    }
    if (err == VX_OK && head != NULL)
        branch = git_repository_head_detached(repo) == 1 ? "HEAD" : git_reference_shorthand(head);
    if (err == VX_OK)
        err = read_changes(ws, repo, (git_tree *)tree, changes, &cut);
    if (err == VX_OK && tree != NULL)
        err = read_commits(ws, repo, now_ms, commits);
    if (err == VX_OK && (json_put(o, "branch", workspace_text(branch, strlen(branch))) != 0 ||
                         json_put(o, "changes", json_object_get(changes)) != 0 ||
                         json_put(o, "commits", json_object_get(commits)) != 0 ||
                         json_put_bool(o, "truncated", cut) != 0))
        err = VX_ERR_NO_MEMORY;
    json_object_put(changes);
    json_object_put(commits);
    git_object_free(tree);
    git_reference_free(head);
    git_repository_free(repo);
    if (err == VX_OK)
        *out = o;
    else
        json_object_put(o);
    return err;
}
