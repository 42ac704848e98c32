/* What the reading commands ask the daemon, and how they report that it does not answer. */
#ifndef OBS_OBSERVERCTL_ASK_H
#define OBS_OBSERVERCTL_ASK_H

#include "observerctl/ask/cite.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/command.h"
#include "observerctl/cli/show.h"

/* Whether the command's question is for the whole fleet: --scope cluster (or --from). */
bool obs_ask_is_fleet(const obs_args *args);
/* Adds the parameter that says so, where it is. */
void obs_ask_add_scope(const obs_args *args, obs_buf *path);

/* GET of the command's --url, with its scope; reports what went wrong and what to do about it. Fini in either case. */
bool obs_ask(const obs_args *args, const char *path, obs_fetch_answer *out);
/* Reports an answer that is not `ok`. Returns `ok`. */
bool obs_ask_report(const obs_args *args, bool ok, const obs_fetch_answer *answer);
/* POST of a JSON text, likewise. */
bool obs_ask_post(const obs_args *args, const char *path, const obs_buf *body, obs_fetch_answer *out);
/* DELETE, likewise. */
bool obs_ask_delete(const obs_args *args, const char *path, obs_fetch_answer *out);

/* Adds the flags that are given as parameters of the same name (- is _ there): --since and --until as times in the
 * daemon's form, a switch as true. False: one is empty or no time, which was reported. */
bool obs_ask_filters(const obs_args *args, const char *const *flags, size_t nflags, obs_buf *path);

/* Reports on standard error that a list is empty: `no ops match`, or `no ops yet` where no filter is given. */
void obs_ask_none(const obs_args *args, const char *what);

/* Asks for `path` (NULL: there was no memory for it) and prints the answer as it came with --json; else `show` shows it
 * (false: there was no memory). The exit status; failures were reported. */
typedef bool (*obs_ask_answer)(const obs_args *args, const cJSON *answer, const void *arg);
int obs_ask_show(const obs_args *args, const char *path, obs_ask_answer show, const void *arg);

/* A command that lists the entries of `route`, or shows the one whose id is its argument. */
typedef struct {
  const char *route, *entries; /* and the member of its answer that has them */
  const char *what;            /* they are: "clusters" in "no clusters match" */
  const char *const *filters;  /* flags of the list but --limit, as obs_ask_filters takes them */
  size_t nfilters;
  bool light; /* its rows have no details, unless they are asked for, as --json does */
  /* Shows the whole answer in the columns' place. False: there is no memory. */
  bool (*show_answer)(const obs_args *args, const cJSON *answer);
  const obs_show_field *columns; /* of the list */
  size_t ncolumns;
  /* One in full; a command without an argument has none of these. */
  const char *id_of; /* "a cluster" */
  bool numbered;     /* its id is a number, else 16 hex digits or the first of them */
  const char *title;
  const obs_show_field *facts;
  size_t nfacts;
  /* What follows the facts; NULL: nothing. Adds the ops that it cites. False: there is no memory. */
  bool (*show_rest)(const obs_args *args, const cJSON *answer, obs_cite *cited);
  const char *evidence; /* the member with the seqs that the facts cite; NULL: none */
} obs_ask_listing;
/* The exit status; failures were reported. */
int obs_ask_list(const obs_args *args, const obs_ask_listing *l);

/* obs_fetch_pages of the command's --url without a time limit. The exit status; failures were reported. */
int obs_ask_rows(const obs_args *args, const obs_buf *path, uint64_t limit, obs_fetch_row fn, void *arg, bool *more);

#endif
