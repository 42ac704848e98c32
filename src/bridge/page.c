/* The control plane's page and the description of the API: files that are part of the program. They hold nothing of
 * what was recorded, so anybody may have them; what the page shows it asks for with the reader's key.
 *
 * The page may run its own script and style and ask its own origin, and nothing else: what somebody recorded cannot
 * become script, whatever mistake the page makes with it. */
#include "bridge/internal.h"
#include "bridge/page_files.h"

static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                             "require-trusted-types-for 'script'; trusted-types 'none'";

#define SAFE                                                                                                           \
  {"content-security-policy", policy}, {"x-content-type-options", "nosniff"}, {"referrer-policy", "no-referrer"}, {    \
    "cross-origin-resource-policy", "same-origin"                                                                      \
  }

/* What has the same name has the same bytes for ever only where the name has their hash in it. */
static const obs_answer_header kept[] = {{"cache-control", "public, max-age=31536000, immutable"}, SAFE, {NULL, NULL}};
static const obs_answer_header asked_again[] = {{"cache-control", "no-cache"}, SAFE, {NULL, NULL}};

static const obs_page_file *find_file(obs_str name) {
  for (size_t i = 0; i < obs_page_nfiles; i++)
    if (obs_str_is(name, obs_page_files[i].name)) return &obs_page_files[i];
  return NULL;
}

/* Whether the client has what the tag is of. The tag within its quotes can stand in the list as a member only. */
static bool has_already(obs_str if_none_match, const char *etag) {
  const char *tag = strchr(etag, '"');
  if (if_none_match.p == NULL || tag == NULL) return false;
  return obs_str_is(if_none_match, "*") || memmem(if_none_match.p, if_none_match.len, tag, strlen(tag)) != NULL;
}

static void answer_file(obs_connection *s, const obs_page_file *file, const obs_answer_header *headers) {
  const obs_httpd_head *h = &s->http.head;
  obs_answer *a = &s->http.answer;
  a->type = file->type;
  a->etag = file->etag;
  a->headers = headers;
  a->form = h->takes_gzip ? OBS_ANSWER_PACKED : OBS_ANSWER_PLAIN;
  if (has_already(h->if_none_match, file->etag)) {
    a->status = 304;
    return;
  }
  const obs_page_bytes *body = h->takes_gzip ? &file->packed : &file->plain;
  obs_buf_append(&s->http.out, body->p, body->len);
}

bool obs_bridge_get_root(obs_connection *s, const void *filter) {
  (void)filter;
  answer_file(s, find_file(OBS_STR("index.html")), asked_again);
  return true;
}

bool obs_bridge_get_openapi(obs_connection *s, const void *filter) {
  (void)filter;
  answer_file(s, find_file(OBS_STR("openapi.json")), asked_again);
  return true;
}

bool obs_bridge_get_asset(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_page_file *file = find_file(s->part);
  bool hashed = strncmp(file != NULL ? file->name : "", "app-", 4) == 0;
  if (file == NULL)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no such file; open / for the page of this version");
  else
    answer_file(s, file, hashed ? kept : asked_again);
  return true;
}
