/* cluster: groups the messages of a file by kind, as the daemon groups failures. */
#include "base/terminal.h"
#include "base/vec.h"
#include "cluster/miner.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { CLUSTERS = 16384 };

/* What is kept of a line: its cluster, whose name is known when all were read. */
typedef struct {
  obs_miner_ref ref;
  uint64_t id;
} line;

/* The message of a line: the line, or the string that it holds as JSON. False: it holds none. */
static bool read_message(const char *text, size_t n, cJSON **json, obs_str *out) {
  if (json != NULL) {
    *json = cJSON_ParseWithLength(text, n);
    if (!cJSON_IsString(*json)) return false;
    text = (*json)->valuestring;
    n = strlen(text);
  }
  *out = (obs_str){text, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n, 0};
  return true;
}

static int run_cluster(const obs_args *args) {
  const char *name = args->nrest > 0 ? args->rest[0] : "-";
  bool standard = name[0] == '-' && name[1] == '\0';
  if (args->nrest == 0) obs_args_reading(args, "messages");
  FILE *in = standard ? stdin : fopen(name, "r");
  if (in == NULL) {
    obs_args_error(args, "%s: %s", name, strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  OBS_VEC(line) lines = {0};
  obs_miner *miner = NULL;
  obs_buf out = {0};
  char *text = NULL;
  size_t cap = 0;
  bool as_json = obs_args_given(args, "json"), told = true;
  bool ok = obs_miner_open(&(obs_miner_opts){.clusters = CLUSTERS}, &miner) == OBSERVER_E_OK;
  errno = ENOMEM;
  for (ssize_t n; ok && (n = getline(&text, &cap, in)) >= 0;) {
    if (n > 0 && text[n - 1] == '\n') n--;
    cJSON *json = NULL;
    obs_str message;
    bool read = read_message(text, (size_t)n, as_json ? &json : NULL, &message);
    line *l = read ? OBS_VEC_PUSH(&lines) : NULL;
    if (l != NULL) l->ref = obs_miner_add(miner, message);
    cJSON_Delete(json);
    if (!read) {
      obs_args_error(args, "%s: line %" PRIu32 " is not a JSON string", name, lines.n + 1);
      ok = told = false;
      break;
    }
    uint32_t slot = l != NULL ? obs_miner_find(miner, l->ref) : OBS_MINER_NONE;
    ok = slot != OBS_MINER_NONE;
    if (ok) l->id = obs_miner_id(miner, slot);
  }
  free(text);
  ok = ok && !ferror(in);
  if (!ok && told) obs_args_error(args, "%s: %s", name, strerror(errno));
  for (uint32_t i = 0; ok && i < lines.n && !ferror(stdout); i++) {
    uint32_t slot = obs_miner_find(miner, lines.at[i].ref);
    obs_str t = slot != OBS_MINER_NONE ? obs_miner_template(miner, slot) : OBS_STR("(forgotten)");
    out.len = 0;
    obs_terminal_put(&out, t.p, t.len, false);
    obs_buf_putc(&out, '\n');
    ok = !out.oom;
    if (!ok) obs_args_error(args, "%s: %s", name, strerror(ENOMEM));
    printf("%016" PRIx64 "\t", slot != OBS_MINER_NONE ? obs_miner_id(miner, slot) : lines.at[i].id);
    if (ok) (void)fwrite(out.p, 1, out.len, stdout);
  }
  obs_buf_fini(&out);
  OBS_VEC_FINI(&lines);
  obs_miner_close(miner);
  if (!standard) fclose(in);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    {"json", 'j', NULL, .help = "read each line as a JSON string, so that a message may have several lines"},
};

OBS_COMMAND(cluster) = {
    .name = "cluster",
    .arguments = "[FILE]",
    .summary = "group messages by kind, as the daemon groups failures",
    .description = "Reads messages, one per line, and prints for each the id of its cluster, a tab, and the cluster's "
                   "template, in which <*> stands for what varies. The same kind of message has the same id in every "
                   "run. Output begins when all input has been read, because later messages show what varies in "
                   "earlier ones.",
    .examples = "observerctl cluster /var/log/app.log | cut -f2 | sort | uniq -c | sort -rn | head\n"
                "observerctl ops --failed --json | jq .error | observerctl cluster --json",
    .flags = OBS_TABLE(flags),
    .run = run_cluster,
};
