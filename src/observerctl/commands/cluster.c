/* cluster: groups the messages of a file by kind, as the daemon groups failures. */
#include "cluster/miner.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { CLUSTERS = 16384 };

/* What is kept of a line: its cluster, whose name is known when all were read. */
typedef struct {
  obs_miner_ref ref;
  uint64_t id;
} line;

typedef struct {
  obs_miner *miner;
  line *lines;
  size_t n, cap;
} messages;

static bool add(messages *m, const char *text, size_t len) {
  if (m->n == m->cap) {
    size_t cap = m->cap > 0 ? m->cap * 2 : 4096;
    line *grown = realloc(m->lines, cap * sizeof(*grown));
    if (grown == NULL) return false;
    m->lines = grown;
    m->cap = cap;
  }
  if (len > OBS_MASK_BYTES) len = OBS_MASK_BYTES;
  line *l = &m->lines[m->n++];
  l->ref = obs_miner_add(m->miner, 0, (obs_str){text, (uint32_t)len, 0});
  uint32_t slot = obs_miner_find(m->miner, l->ref);
  if (slot == OBS_MINER_NONE) return false;
  l->id = obs_miner_id(m->miner, slot);
  return true;
}

static bool read_all(messages *m, FILE *in) {
  char *text = NULL;
  size_t cap = 0;
  bool ok = true;
  for (ssize_t n; ok && (n = getline(&text, &cap, in)) >= 0;) {
    if (n > 0 && text[n - 1] == '\n') n--;
    ok = add(m, text, (size_t)n);
  }
  free(text);
  return ok && !ferror(in);
}

/* Bytes of a log must not steer a terminal. */
static void put_template(obs_str t) {
  for (uint32_t i = 0; i < t.len; i++) putchar((unsigned char)t.p[i] < ' ' || t.p[i] == 0x7f ? ' ' : t.p[i]);
}

static void print_all(const messages *m) {
  for (size_t i = 0; i < m->n && !ferror(stdout); i++) {
    const line *l = &m->lines[i];
    uint32_t slot = obs_miner_find(m->miner, l->ref);
    printf("%016" PRIx64 "\t", slot != OBS_MINER_NONE ? obs_miner_id(m->miner, slot) : l->id);
    put_template(slot != OBS_MINER_NONE ? obs_miner_template(m->miner, slot) : OBS_STR("(forgotten)"));
    putchar('\n');
  }
}

static int run(const obs_args *args) {
  const char *name = args->nrest > 0 ? args->rest[0] : "-";
  bool standard = name[0] == '-' && name[1] == '\0';
  FILE *in = standard ? stdin : fopen(name, "r");
  if (in == NULL) {
    obs_args_error(args, "%s: %s", name, strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  messages m = {0};
  bool ok = obs_miner_open(&(obs_miner_opts){.clusters = CLUSTERS}, &m.miner) == OBSERVER_E_OK;
  errno = ENOMEM;
  if (ok) ok = read_all(&m, in);
  if (ok)
    print_all(&m);
  else
    obs_args_error(args, "%s: %s", name, strerror(errno));
  free(m.lines);
  obs_miner_close(m.miner);
  if (!standard) fclose(in);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

OBS_COMMAND(cluster) = {
    .name = "cluster",
    .arguments = "[FILE]",
    .summary = "group messages by kind, as the daemon groups failures",
    .description = "Reads messages, one a line, and prints for each the id of its cluster, a tab, and the cluster's "
                   "template, in which <*> stands for what varies. The same kind of message has the same id in every "
                   "run. It prints when all is read, because later messages show what varies in earlier ones.",
    .examples = "observerctl cluster /var/log/app.log | cut -f2 | sort | uniq -c | sort -rn | head\n"
                "observerctl ops --failed --json | jq -r .error | observerctl cluster",
    .run = run,
};
