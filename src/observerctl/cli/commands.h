/* Every command: one row here, and OBS_COMMAND(NAME) in a file that includes this one. A row without a definition does
 * not link, a definition without a row does not compile. */
#ifndef OBS_OBSERVERCTL_COMMANDS_H
#define OBS_OBSERVERCTL_COMMANDS_H

#include "observerctl/cli/command.h"

/* In the order of --help: how it is, publish, read, what was learned, follow, look after. */
#define OBS_COMMANDS(X)                                                                                                \
  X(status)                                                                                                            \
  X(ping)                                                                                                              \
  X(demo)                                                                                                              \
  X(pub)                                                                                                               \
  X(run)                                                                                                               \
  X(replay)                                                                                                            \
  X(rejected)                                                                                                          \
  X(stats)                                                                                                             \
  X(summary)                                                                                                           \
  X(graph)                                                                                                             \
  X(fleet)                                                                                                             \
  X(ops)                                                                                                               \
  X(op)                                                                                                                \
  X(timeline)                                                                                                          \
  X(trajectory)                                                                                                        \
  X(sessions)                                                                                                          \
  X(clusters)                                                                                                          \
  X(repeats)                                                                                                           \
  X(changes)                                                                                                           \
  X(analyses)                                                                                                          \
  X(playbooks)                                                                                                         \
  X(escalations)                                                                                                       \
  X(advice)                                                                                                            \
  X(alerts)                                                                                                            \
  X(rules)                                                                                                             \
  X(review)                                                                                                            \
  X(mcp)                                                                                                               \
  X(silence)                                                                                                           \
  X(tail)                                                                                                              \
  X(top)                                                                                                               \
  X(check)                                                                                                             \
  X(key)                                                                                                               \
  X(doctor)                                                                                                            \
  X(bench)                                                                                                             \
  X(cluster)                                                                                                           \
  X(fields)                                                                                                            \
  X(completion)                                                                                                        \
  X(man)                                                                                                               \
  X(help)

#define OBS_COMMANDS_DECLARE(command) extern const obs_command obs_command_##command;
#define OBS_COMMANDS_ROW(command) OBS_COMMANDS_ROW_##command,
OBS_COMMANDS(OBS_COMMANDS_DECLARE)
enum { OBS_COMMANDS(OBS_COMMANDS_ROW) OBS_COMMANDS_N };

/* Begins the definition: OBS_COMMAND(pub) = {...}. */
#define OBS_COMMAND(command)                                                                                           \
  _Static_assert(OBS_COMMANDS_ROW_##command < OBS_COMMANDS_N, "");                                                     \
  const obs_command obs_command_##command

#endif
