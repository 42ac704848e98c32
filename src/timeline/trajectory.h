/* The trajectory of a task: its attempts in order, whether they get better, and what came between them.
 *
 * Classes, the first that holds:
 *   CONVERGING  the band of the slope is below 0
 *   LOOPING     OBS_LOOPING_SAME or more of the last OBS_LOOPING_LAST attempts failed, and with the same cluster
 *   ORBITING    so many of these failed, with the last one, and of the failures of the last OBS_ORBITING_LAST
 *               attempts half or more had a cluster that no attempt before them had
 *   PLATEAU     OBS_PLATEAU_LEAST attempts or more, and the band of the slope includes 0
 *   MIXED       anything else; with fewer than OBS_TRAJECTORY_LEAST attempts there is no class
 *
 * The slope is that of the learning curve logit p = a + b log2(attempt): b is what a doubling of the number of attempts
 * does to the log of the failures' odds. Its band holds those b that no e-process of 1 / 0.05 speaks against: the
 * likelihood averaged over curves that were fixed beforehand, over the largest that a curve with that b has (universal
 * inference; Wasserman, Ramdas and Balakrishnan, 2020). With a probability of 0.95 it holds the true one at every look,
 * however often it is looked at while the first attempt stays the same. So does the band of the failures' share
 * (diagnose/stats.h). Pure functions: any thread. */
#ifndef OBS_TIMELINE_TRAJECTORY_H
#define OBS_TIMELINE_TRAJECTORY_H

#include "timeline/gather.h"

enum {
  OBS_TRAJECTORY_LEAST = 3,
  OBS_LOOPING_LAST = 5,
  OBS_LOOPING_SAME = 3,
  OBS_ORBITING_LAST = 10,
  OBS_PLATEAU_LEAST = 10
};
#define OBS_SLOPE_MOST 20.0 /* a band that goes on has its end there */
#define OBS_TRAJECTORY_MISSED 0.05

#define OBS_TRAJECTORY_CLASSES(X) X(NONE) X(CONVERGING) X(LOOPING) X(ORBITING) X(PLATEAU) X(MIXED)

typedef enum {
#define OBS_TRAJECTORY_ENUM(name) OBS_TRAJECTORY_##name,
  OBS_TRAJECTORY_CLASSES(OBS_TRAJECTORY_ENUM) OBS_TRAJECTORY_CLASS_COUNT
#undef OBS_TRAJECTORY_ENUM
} obs_trajectory_class;

extern const char *const obs_trajectory_class_names[OBS_TRAJECTORY_CLASS_COUNT];

/* known: false where all attempts went alike, which says nothing of it. */
typedef struct {
  bool known;
  double low, high;
} obs_trajectory_slope;

/* `failed`: of each attempt, in order. */
obs_trajectory_slope obs_trajectory_slope_of(const bool *failed, uint32_t n);

typedef struct {
  obs_trajectory_class class;
  obs_trajectory_slope slope;
  char why[240]; /* a sentence */
} obs_trajectory_verdict;

/* `failure`: which kind each attempt failed with; 0: it succeeded. */
obs_trajectory_verdict obs_trajectory_judge(const uint64_t *failure, uint32_t n);

/* Something that came before an attempt and may have made a difference. */
typedef enum {
  OBS_TRAJECTORY_MARK_CORRECTION,
  OBS_TRAJECTORY_MARK_MODEL,
  OBS_TRAJECTORY_MARK_PLAYBOOK
} obs_trajectory_mark_kind;
typedef struct {
  obs_trajectory_mark_kind kind;
  uint32_t attempt; /* the first one behind it, from 1; one more than there are: none came yet */
  int64_t ms;
  uint64_t seq; /* of the op that tells of it; 0: none does */
  obs_str text;
} obs_trajectory_mark;

typedef struct {
  OBS_VEC(uint32_t) attempts;    /* among those gathered */
  OBS_VEC(uint64_t) corrections; /* the seq of the last one before each; 0: none */
  OBS_VEC(uint64_t) failures;    /* as judge takes them */
  OBS_VEC(obs_trajectory_mark) marks;
  uint64_t earlier; /* attempts before them */
  obs_trajectory_verdict verdict;
} obs_trajectory;

/* The last `limit` attempts of those gathered. Starts as {0}; fini in either case. False: no memory. */
bool obs_trajectory_of(const obs_gather_result *g, uint32_t limit, obs_trajectory *out);
/* Adds what the ops do not tell: it came at `ms`. What came before the first attempt is left out. `text` lives as long.
 * False: no memory. */
bool obs_trajectory_mark_at(obs_trajectory *t, const obs_gather_result *g, obs_trajectory_mark_kind kind, int64_t ms,
                            obs_str text);
void obs_trajectory_fini(obs_trajectory *t);

#endif
