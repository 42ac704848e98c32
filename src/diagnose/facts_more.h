/* Inside the facts: the columns beside the op's texts, and the order of a view.
 *
 * Numbers and flags of the op have a column each from the first op on that has them. Members that this version does not
 * know, and the scalar members of `extra`, get one of OBS_FACT_OWN columns while there is room: text (true and false
 * among it) and numbers of one name apart. When there is none, the names that come are counted (the last CANDIDATES of
 * them), and one that came twice as often as the column that is used least takes its place. All under the facts' lock.
 */
#ifndef OBS_DIAGNOSE_FACTS_MORE_H
#define OBS_DIAGNOSE_FACTS_MORE_H

#include "base/names.h"
#include "diagnose/facts.h"

enum { OBS_FACTS_CANDIDATES = 32, OBS_FACTS_MEMBERS = 64, OBS_FACTS_EXTRA_BYTES = 8192 };

/* A member of an op, as its producer named it. */
typedef struct {
  char key[OBS_FACT_KEY + 1];
  uint32_t len;
  bool extra, number;
} obs_facts_member;

typedef struct {
  obs_facts_view *ring;
  obs_names names[OBS_FACT_MORE]; /* of columns of text; a NULL `names` within: none */
  bool unused[OBS_FACT_MORE];
  obs_facts_member own[OBS_FACT_OWN]; /* whose column it is; len 0: free */
  uint32_t uses[OBS_FACT_OWN];        /* of late: halved now and then */
  uint32_t nown;
  uint8_t
      order[OBS_FACTS_MEMBERS]; /* the columns of the last op's members, one after another: the next op's are alike */
  struct {
    uint64_t hash;
    uint32_t uses, taken_over; /* how many of them may have been others' */
  } candidates[OBS_FACTS_CANDIDATES];
  uint32_t taken;
  uint32_t sweeps_at[OBS_FACT_OWN]; /* `taken` from which on a full column may be swept of rare values */
} obs_facts_more;

void obs_facts_more_init(obs_facts_more *m, obs_facts_view *ring);
void obs_facts_more_fini(obs_facts_more *m);
/* Fills place `at` of every column that is in use. `rows`: places of the ring that hold ops. While it is read, names
 * stay and no column changes its member. */
void obs_facts_more_take(obs_facts_more *m, const obs_op *op, const obs_op_unknown *unknown, uint32_t at, uint32_t rows,
                         bool reading);
/* The reader is done: names that left the window go. */
void obs_facts_more_unread(obs_facts_more *m);
/* Removes the names that nobody uses. */
void obs_facts_drop_unused(obs_names *names);
/* Puts the rows into the order of event time; those of the same time stay as they are. False: no memory. */
bool obs_facts_sort(obs_facts_view *v);

#endif
