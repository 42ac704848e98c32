#include "observerctl/ask/ask.h"

#include "base/clock.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/when.h"

#include <inttypes.h>

enum { TIMEOUT_MS = 60000, NAME_MAX_LEN = 32, ID_LEAST = 4, ID_DIGITS = 16 };

bool obs_ask_report(const obs_args *args, bool ok, const obs_fetch_answer *answer) {
  if (!ok && answer->status == 0)
    obs_args_error(args,
                   "%s (is observerd running there? `observerctl doctor` checks; --url or OBSERVER_URL selects another "
                   "one)",
                   answer->error);
  else if (!ok)
    obs_args_error(args, "%s", answer->error);
  return ok;
}

/* The flag that chooses the fleet; NULL: the command has none, or it chooses this daemon. */
static const char *fleet_flag(const obs_args *args) {
  for (size_t i = 0; i < args->command->nflags; i++) {
    const obs_option *o = &args->command->flags[i];
    if (o->choices != NULL && strcmp(o->choices, OBS_FLEET_SCOPES) == 0 &&
        strcmp(obs_args_text(args, o->name), "cluster") == 0)
      return o->name;
  }
  return NULL;
}

bool obs_ask_is_fleet(const obs_args *args) {
  return fleet_flag(args) != NULL;
}

void obs_ask_add_scope(const obs_args *args, obs_buf *path) {
  const char *flag = fleet_flag(args);
  if (flag != NULL) obs_fetch_param(path, flag, "cluster");
}

bool obs_ask(const obs_args *args, const char *path, obs_fetch_answer *out) {
  obs_buf full = {0};
  obs_buf_puts(&full, path);
  obs_ask_add_scope(args, &full);
  obs_buf_putc(&full, '\0');
  *out = (obs_fetch_answer){0};
  if (full.oom) (void)snprintf(out->error, sizeof(out->error), "out of memory");
  bool ok = !full.oom && obs_fetch_get(obs_args_text(args, "url"), full.p, TIMEOUT_MS, out);
  obs_buf_fini(&full);
  return obs_ask_report(args, ok, out);
}

bool obs_ask_post(const obs_args *args, const char *path, const obs_buf *body, obs_fetch_answer *out) {
  const char *url = obs_args_text(args, "url");
  return obs_ask_report(args, obs_fetch_post(url, path, body, TIMEOUT_MS, out), out);
}

bool obs_ask_delete(const obs_args *args, const char *path, obs_fetch_answer *out) {
  return obs_ask_report(args, obs_fetch_delete(obs_args_text(args, "url"), path, TIMEOUT_MS, out), out);
}

/* A value that the daemon refuses was given on the command line. */
static int status_of(bool ok, const obs_fetch_answer *answer) {
  enum { BAD_REQUEST = 400 };
  return ok ? OBS_COMMAND_OK : answer->status == BAD_REQUEST ? OBS_COMMAND_USAGE : OBS_COMMAND_FAILED;
}

/* Reports an answer that is not JSON. */
static cJSON *read_json(const obs_args *args, const char *path, const obs_fetch_answer *answer) {
  cJSON *json = cJSON_ParseWithLength(answer->body.p, answer->body.len);
  if (json == NULL)
    obs_args_error(args, "%s%s: the answer is not JSON: is this observerd?", obs_args_text(args, "url"), path);
  return json;
}

int obs_ask_show(const obs_args *args, const char *path, obs_ask_answer show, const void *arg) {
  obs_fetch_answer answer = {0};
  bool ok = path != NULL && obs_ask(args, path, &answer);
  if (path == NULL) obs_args_error(args, "out of memory");
  if (ok && obs_args_given(args, "json")) {
    obs_text_print_json(stdout, answer.body.p, answer.body.len);
  } else if (ok) {
    cJSON *json = read_json(args, path, &answer);
    ok = json != NULL && show(args, json, arg);
    if (json != NULL && !ok) obs_args_error(args, "out of memory");
    cJSON_Delete(json);
  }
  int status = status_of(ok, &answer);
  obs_fetch_answer_fini(&answer);
  return status;
}

/* ---- filters ---- */

static bool is_time(const char *flag) {
  static const char *const times[] = {"since", "until", "received-since"};
  for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
    if (strcmp(flag, times[i]) == 0) return true;
  }
  return false;
}

bool obs_ask_filters(const obs_args *args, const char *const *flags, size_t nflags, obs_buf *path) {
  for (size_t i = 0; i < nflags; i++) {
    const char *text = obs_args_text(args, flags[i]);
    char name[NAME_MAX_LEN], iso[OBS_ISO8601_LEN + 1];
    if (text == NULL) continue;
    if (is_time(flags[i])) {
      int64_t ms = 0;
      if (!obs_when_range_end(args, flags[i], &ms)) return false;
      obs_clock_format(ms, iso);
      text = iso;
    }
    for (size_t k = 0; *text == '\0' && k < args->command->nflags; k++) {
      const obs_option *o = &args->command->flags[k];
      if (strcmp(o->name, flags[i]) == 0 && o->meta == NULL) text = "true";
    }
    if (*text == '\0') {
      obs_args_error(args, "--%s: must not be empty", flags[i]);
      return false;
    }
    snprintf(name, sizeof(name), "%s", flags[i]);
    for (char *p = name; *p != '\0'; p++) *p = *p == '-' ? '_' : *p;
    obs_fetch_param(path, name, text);
  }
  return true;
}

/* ---- lists ---- */

void obs_ask_none(const obs_args *args, const char *what) {
  /* Which daemon, how many, in which order, how shown. */
  static const char *const no_filters[] = {"url",   "key-file", "tls-ca", "tls-cert", "tls-key", "data-dir",
                                           "limit", "all",      "sort",   "stats",    "least",   "json",
                                           "utc",   "wide",     "color",  "ended",    "scope",   "from"};
  bool filtered = false;
  for (size_t i = 0; i < args->command->nflags; i++) {
    const char *name = args->command->flags[i].name;
    bool filter = obs_args_given(args, name);
    for (size_t k = 0; k < sizeof(no_filters) / sizeof(no_filters[0]); k++)
      filter = filter && strcmp(name, no_filters[k]) != 0;
    filtered = filtered || filter;
  }
  fprintf(stderr, filtered ? "no %s match\n" : "no %s yet\n", what);
}

/* The ops in the daemon's own sentences; other texts may name anything. */
static void cite_columns(obs_cite *c, const cJSON *entries, const obs_ask_listing *l) {
  const cJSON *entry;
  cJSON_ArrayForEach(entry, entries) {
    for (size_t i = 0; i < l->ncolumns; i++)
      if (l->columns[i].note) obs_cite_text(c, obs_show_text(entry, l->columns[i].key));
  }
}

static bool show_one(const obs_args *args, const cJSON *answer, const void *arg) {
  const obs_ask_listing *l = arg;
  obs_cite cited = {0};
  bool ok = obs_show_facts(l->title, answer, l->facts, l->nfacts, obs_args_given(args, "utc")) &&
            (l->show_rest == NULL || l->show_rest(args, answer, &cited));
  obs_cite_numbers(&cited, l->evidence != NULL ? obs_show_member(answer, l->evidence) : NULL);
  obs_cite_end(&cited, args);
  return ok;
}

/* Where the next page begins; NULL: there is none. */
static const char *next_cursor(const cJSON *page) {
  return cJSON_GetStringValue(obs_show_member(page, "next_cursor"));
}

static bool show_list(const obs_args *args, const cJSON *answer, const obs_ask_listing *l) {
  const cJSON *entries = obs_show_member(answer, l->entries);
  if (cJSON_GetArraySize(entries) == 0) obs_ask_none(args, l->what);
  bool ok = obs_show_rows(entries, l->columns, l->ncolumns, obs_args_given(args, "utc"), NULL);
  obs_cite cited = {0};
  cite_columns(&cited, entries, l);
  obs_cite_end(&cited, args);
  obs_show_more(next_cursor(answer) != NULL);
  return ok;
}

/* ---- a list, page after page ---- */

/* Moves the entries of `page` to the end of those of `list`, whose other members become the page's: they say how the
 * list ends. */
static void join_page(cJSON *list, cJSON *page, const char *entries) {
  cJSON *from = cJSON_GetObjectItemCaseSensitive(page, entries), *to = cJSON_GetObjectItemCaseSensitive(list, entries);
  cJSON *item;
  while (to != NULL && from != NULL && (item = cJSON_DetachItemFromArray(from, 0)) != NULL)
    (void)cJSON_AddItemToArray(to, item);
  cJSON_DeleteItemFromObjectCaseSensitive(page, entries);
  while ((item = page->child) != NULL) {
    (void)cJSON_DetachItemViaPointer(page, item);
    char *name = item->string; /* cJSON frees the item's own before it copies the one that it is given */
    item->string = NULL;
    if (!cJSON_ReplaceItemInObjectCaseSensitive(list, name, item)) cJSON_Delete(item);
    cJSON_free(name);
  }
}

/* Asks for pages until there are `limit` entries, or no more. *list is NULL when nothing came; `text` gets the answer
 * as it came when that was all. */
static int fetch_list(const obs_args *args, const obs_ask_listing *l, const obs_buf *path, cJSON **list,
                      obs_buf *text) {
  enum { PAGE_ROWS = 1000 };
  uint64_t limit = obs_args_u64(args, "limit"), got = 0;
  int status = OBS_COMMAND_OK;
  const char *cursor = "";
  while (status == OBS_COMMAND_OK && cursor != NULL && got < limit) {
    obs_fetch_answer answer = {0};
    obs_buf asked = {0};
    char number[24];
    obs_buf_append(&asked, path->p, path->len);
    snprintf(number, sizeof(number), "%" PRIu64, limit - got < PAGE_ROWS ? limit - got : PAGE_ROWS);
    obs_fetch_param(&asked, "limit", number);
    if (*cursor != '\0') obs_fetch_param(&asked, "cursor", cursor);
    obs_buf_putc(&asked, '\0');
    bool ok = !asked.oom && obs_ask(args, asked.p, &answer);
    if (asked.oom) obs_args_error(args, "out of memory");
    status = status_of(ok, &answer);
    cJSON *page = ok ? read_json(args, l->route, &answer) : NULL;
    if (ok && page == NULL) status = OBS_COMMAND_FAILED;
    if (*list == NULL) {
      *list = page;
      *text = answer.body; /* moved */
      answer.body = (obs_buf){0};
    } else if (page != NULL) {
      join_page(*list, page, l->entries);
      obs_buf_fini(text);
    }
    if (page != *list) cJSON_Delete(page);
    uint64_t before = got;
    got = (uint64_t)cJSON_GetArraySize(obs_show_member(*list, l->entries));
    /* A page with nothing in it leads nowhere, unless it says that it ended early. */
    bool goes_on = got > before || cJSON_IsFalse(obs_show_member(*list, "complete"));
    cursor = goes_on ? next_cursor(*list) : NULL;
    obs_buf_fini(&asked);
    obs_fetch_answer_fini(&answer);
  }
  return status;
}

static int show_pages(const obs_args *args, const obs_ask_listing *l, obs_buf *path) {
  cJSON *list = NULL;
  obs_buf came = {0};
  bool json = obs_args_given(args, "json");
  if (json && l->light) obs_fetch_param(path, "full", "true");
  int status = fetch_list(args, l, path, &list, &came);
  bool shown = true;
  if (status == OBS_COMMAND_OK && json && came.len > 0) {
    obs_text_print_json(stdout, came.p, came.len);
  } else if (status == OBS_COMMAND_OK && json) {
    char *joined = cJSON_PrintUnformatted(list);
    shown = joined != NULL;
    if (shown) obs_text_print_json(stdout, joined, strlen(joined));
    cJSON_free(joined);
  } else if (status == OBS_COMMAND_OK) {
    shown = l->show_answer != NULL ? l->show_answer(args, list) : show_list(args, list, l);
  }
  if (!shown) {
    obs_args_error(args, "out of memory");
    status = OBS_COMMAND_FAILED;
  }
  cJSON_Delete(list);
  obs_buf_fini(&came);
  return status;
}

/* It becomes part of a path. */
static bool is_id(const obs_args *args, const obs_ask_listing *l, const char *text) {
  size_t n = strlen(text), digits = strspn(text, l->numbered ? "0123456789" : "0123456789abcdef");
  if (digits == n && (l->numbered ? n > 0 && n <= 18 && *text != '0' : n >= ID_LEAST && n <= ID_DIGITS)) return true;
  obs_args_error(args,
                 l->numbered ? "\"%s\" is not the number of %s"
                             : "\"%s\" is not the id of %s (16 hex digits, or at least the first 4)",
                 text, l->id_of);
  return false;
}

int obs_ask_list(const obs_args *args, const obs_ask_listing *l) {
  const char *id = args->nrest > 0 ? args->rest[0] : NULL;
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, l->route);
  if (id != NULL && is_id(args, l, id)) {
    obs_buf_printf(&path, "/%s", id);
    obs_buf_putc(&path, '\0');
    status = obs_ask_show(args, path.oom ? NULL : path.p, show_one, l);
  } else if (id == NULL && obs_ask_filters(args, l->filters, l->nfilters, &path)) {
    status = show_pages(args, l, &path);
  }
  obs_buf_fini(&path);
  return status;
}

/* ---- pages ---- */

int obs_ask_rows(const obs_args *args, const obs_buf *path, uint64_t limit, obs_fetch_row fn, void *arg, bool *more) {
  obs_fetch_answer answer;
  obs_buf full = {0};
  obs_buf_append(&full, path->p, path->len);
  obs_ask_add_scope(args, &full);
  bool ok = obs_fetch_pages(obs_args_text(args, "url"), &full, limit, 0, TIMEOUT_MS, fn, arg, more, &answer);
  (void)obs_ask_report(args, ok, &answer);
  int status = status_of(ok, &answer);
  obs_fetch_answer_fini(&answer);
  obs_buf_fini(&full);
  return status;
}
