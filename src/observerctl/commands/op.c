/* op: recorded ops in full, by their numbers: what claims cite as evidence. */
#include "base/json_cursor.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

enum { TEXT_COLUMN = 20, TEXT_LEAST = 20, TIMEOUT_MS = 60000, SEQ_DIGITS = 18, SEQ_TEXT = 64 };

/* ---- one op ---- */

typedef struct {
  obs_cursor c;
  obs_str key, value; /* as written */
} members;

/* Of an object that is JSON. */
static bool next_member(members *m) {
  obs_cursor_value key;
  obs_json_cursor_space(&m->c);
  if (!obs_json_cursor_take(&m->c, '{') && !obs_json_cursor_take(&m->c, ',')) return false;
  if (!obs_json_cursor_key(&m->c, &key)) return false;
  const char *start = (const char *)m->c.p;
  if (!obs_json_cursor_skip(&m->c)) return false;
  m->key = key.s;
  m->value = (obs_str){start, (uint32_t)((const char *)m->c.p - start), 0};
  obs_json_cursor_space(&m->c);
  return true;
}

static obs_str find(obs_str object, const char *name) {
  members m = {.c = obs_cursor_of(object.p, object.len)};
  while (next_member(&m))
    if (obs_str_is(m.key, name)) return m.value;
  return (obs_str){0};
}

/* A text as it reads; anything else, numbers above all, as it is written. */
static obs_str read_value(obs_str value, obs_buf *scratch) {
  obs_cursor c = obs_cursor_of(value.p, value.len);
  obs_cursor_value v;
  if (!obs_json_cursor_take(&c, '"') || !obs_json_cursor_string(&c, &v)) return value;
  obs_buf_reset(scratch, 1 << 16);
  if (!v.escaped || !v.valid || !obs_buf_reserve(scratch, v.s.len)) return v.s;
  scratch->len = obs_json_cursor_unescape(v.s, scratch->p);
  return obs_buf_view(scratch);
}

static void put_fact(obs_buf *out, obs_str name, obs_str value) {
  obs_buf scratch = {0};
  obs_str text = read_value(value, &scratch);
  if (text.len > 0) {
    obs_buf_puts(out, "  ");
    unsigned width = obs_term_width(stdout), used = obs_text_put(out, name.p, name.len, OBS_TEXT_ALL);
    unsigned room = width == 0 ? OBS_TEXT_ALL : width > TEXT_COLUMN + TEXT_LEAST ? width - TEXT_COLUMN : TEXT_LEAST;
    for (used += 2; used < TEXT_COLUMN - 2; used++) obs_buf_putc(out, ' ');
    for (size_t at = 0; at < text.len;) { /* a long one in lines below each other */
      for (unsigned i = 0; i < (at == 0 ? 2 : TEXT_COLUMN); i++) obs_buf_putc(out, ' ');
      at += obs_text_line(out, text.p + at, text.len - at, room, &used);
      obs_buf_putc(out, '\n');
    }
  }
  obs_buf_fini(&scratch);
}

/* What went wrong stands first, then what was asked and what came of it, then the rest as recorded. */
static bool show(obs_str answer, bool first) {
  static const char *const ahead[] = {"error", "input_summary", "output_summary"};
  obs_buf scratch = {0};
  obs_str op = find(answer, "op"), seq = read_value(find(answer, "seq"), &scratch);
  bool success = obs_str_is(find(op, "success"), "true");
  obs_buf out = {0};
  obs_buf_printf(&out, "%sop %.*s  %s%s%s\n", first ? "" : "\n", (int)seq.len, seq.p,
                 obs_term_style(stdout, success ? OBS_STYLE_GREEN : OBS_STYLE_RED), success ? "ok" : "FAIL",
                 obs_term_style(stdout, OBS_STYLE_PLAIN));
  for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
    obs_str value = find(op, ahead[i]);
    if (value.p != NULL) put_fact(&out, obs_str_of(ahead[i]), value);
  }
  for (members m = {.c = obs_cursor_of(op.p, op.len)}; next_member(&m);) {
    bool shown = obs_str_is(m.key, "success");
    for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) shown = shown || obs_str_is(m.key, ahead[i]);
    if (!shown) put_fact(&out, m.key, m.value);
  }
  /* What the row does not say. */
  for (members m = {.c = obs_cursor_of(answer.p, answer.len)}; next_member(&m);)
    if (!obs_str_is(m.key, "op") && !obs_str_is(m.key, "seq")) put_fact(&out, m.key, m.value);
  bool ok = !out.oom;
  if (ok) (void)fwrite(out.p, 1, out.len, stdout);
  obs_buf_fini(&scratch);
  obs_buf_fini(&out);
  return ok;
}

/* False: reported. */
static bool show_op(const obs_args *args, const char *seq, bool first) {
  obs_fetch_answer answer;
  char path[SEQ_TEXT + 64];
  snprintf(path, sizeof(path), "/v1/observer/ops/%s%s", seq, obs_ask_is_fleet(args) ? "?scope=cluster" : "");
  bool ok = obs_fetch_get(obs_args_text(args, "url"), path, TIMEOUT_MS, &answer);
  cJSON *words = !ok && answer.status == 404 ? cJSON_ParseWithLength(answer.body.p, answer.body.len) : NULL;
  obs_str body = {answer.body.p, (uint32_t)answer.body.len, 0};
  if (ok && find(body, "op").p == NULL) {
    obs_args_error(args, "%s%s: the answer is not an op: is this observerd?", obs_args_text(args, "url"), path);
    ok = false;
  } else if (ok && obs_args_given(args, "json")) {
    obs_text_print_json(stdout, body.p, body.len);
  } else if (ok) {
    ok = show(body, first);
    if (!ok) obs_args_error(args, "out of memory");
  } else if (*obs_show_text(words, "error") != '\0') {
    obs_args_error(args, "%s", obs_show_text(words, "error"));
  } else {
    (void)obs_ask_report(args, false, &answer);
  }
  cJSON_Delete(words);
  obs_fetch_answer_fini(&answer);
  return ok;
}

/* ---- the command ---- */

/* The next of `421,924`, into `out`; *p moves behind it. In a fleet it may be `edge:number` or
 * `partition:message:row`. False: it is no such number. */
static bool take_seq(const char **p, bool fleet, char out[SEQ_TEXT]) {
  size_t n = strspn(*p, fleet ? "0123456789abcdefghijklmnopqrstuvwxyz-:" : "0123456789");
  bool good =
      n > 0 && n < SEQ_TEXT && (fleet ? (*p)[n - 1] >= '0' && (*p)[n - 1] <= '9' : n <= SEQ_DIGITS && **p != '0');
  if (!good) return false;
  snprintf(out, SEQ_TEXT, "%.*s", (int)n, *p);
  *p += n;
  if (**p == ',') ++*p;
  return true;
}

static int run_op(const obs_args *args) {
  bool all = true, first = true, fleet = obs_ask_is_fleet(args);
  char seq[SEQ_TEXT];
  if (args->nrest == 0) {
    obs_args_error(args, "which SEQ? (observerctl ops shows them)");
    return OBS_COMMAND_USAGE;
  }
  for (int i = 0; i < args->nrest; i++) {
    const char *p = args->rest[i];
    do {
      if (!take_seq(&p, fleet, seq)) {
        obs_args_error(args, "\"%s\" is not the number of an op, such as 421", args->rest[i]);
        return OBS_COMMAND_USAGE;
      }
    } while (*p != '\0');
  }
  for (int i = 0; i < args->nrest; i++)
    for (const char *p = args->rest[i]; *p != '\0' && take_seq(&p, fleet, seq);) {
      bool shown = show_op(args, seq, first);
      first = first && !shown;
      all = all && shown;
    }
  return all ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"json", 'j', .help = "the daemon's answers, one a line: {\"seq\",\"received\",\"op\"}, the op as recorded"},
};

OBS_COMMAND(op) = {
    .name = "op",
    .arguments = "SEQ...",
    .summary = "show recorded ops in full, by seq: the evidence that is cited",
    .description =
        "Shows each op with that number in full: whether it failed, the error first, what was asked and "
        "what came of it, every other field as recorded, when the daemon received it, and the failure "
        "cluster that it belongs to. Numbers may be separated by commas. With --scope cluster they are EDGE:SEQ, "
        "as `observerctl ops --scope cluster` shows them, PARTITION:MESSAGE:ROW as a fleet's clusters "
        "cite them, or a number that the fleet's leader cites.\n\n"
        "Exit status 1: one of them is not there, because it is not recorded yet or no longer kept.",
    .examples = "observerctl op 421\nobserverctl op 421 924 1853 --json",
    .flags = OBS_TABLE(flags),
    .run = run_op,
};
