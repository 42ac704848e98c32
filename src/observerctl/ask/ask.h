/* What the reading commands ask the daemon, and how they report that it does not answer. */
#ifndef OBS_OBSERVERCTL_ASK_H
#define OBS_OBSERVERCTL_ASK_H

#include "observerctl/ask/fetch.h"
#include "observerctl/cli/command.h"

/* GET of the command's --url; reports what went wrong and what to do about it. Fini in either case. */
bool obs_ask(const obs_args *args, const char *path, obs_fetch_answer *out);
/* POST of a JSON text, likewise. */
bool obs_ask_post(const obs_args *args, const char *path, const obs_buf *body, obs_fetch_answer *out);
/* The first, parsed. NULL: it was reported. */
cJSON *obs_ask_json(const obs_args *args, const char *path);
/* Prints the answer as it came, with a newline. The exit status. */
int obs_ask_print(const obs_args *args, const char *path);

/* Adds the flags that are given as parameters of the same name (- is _ there). False: one is empty, and was reported.
 */
bool obs_ask_filters(const obs_args *args, const char *const *flags, size_t nflags, obs_buf *path);

/* Asks for `path`, which it ends, and prints the answer as it came with --json; else `show` shows it (false: there was
 * no memory). The exit status; failures were reported. */
typedef bool (*obs_ask_answer)(const obs_args *args, const cJSON *answer);
int obs_ask_show(const obs_args *args, obs_buf *path, obs_ask_answer show);

/* A command that lists the entries of `route`, or shows the one whose id is its argument. */
typedef struct {
  const char *route;
  bool (*is_id)(const obs_args *args, const char *text);    /* it becomes part of a path; false: it was reported */
  bool (*add_filters)(const obs_args *args, obs_buf *path); /* false: one is wrong, and was reported */
  obs_ask_answer show_list, show_one;
} obs_ask_listing;
/* The exit status; failures were reported. */
int obs_ask_list(const obs_args *args, const obs_ask_listing *l);

/* Adds --since alone in the daemon's form. False: it is not a time, which was reported. */
bool obs_ask_since(const obs_args *args, obs_buf *path);
/* Adds --since and --until in the daemon's form. False: one is not a time, which was reported. */
bool obs_ask_range(const obs_args *args, obs_buf *path);

/* obs_fetch_pages of the command's --url without a time limit. The exit status; failures were reported. */
int obs_ask_rows(const obs_args *args, const obs_buf *path, uint64_t limit, obs_fetch_row fn, void *arg, bool *more);

#endif
