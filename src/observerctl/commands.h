/* The commands, one file each; main.c has the table. A command gets its own arguments (argv[0] is its name) and returns
 * the exit status: 0 done, 1 failed, 2 used wrongly. */
#ifndef OBS_OBSERVERCTL_COMMANDS_H
#define OBS_OBSERVERCTL_COMMANDS_H

int obs_ctl_pub(int argc, char **argv);
int obs_ctl_demo(int argc, char **argv);
int obs_ctl_fields(int argc, char **argv);

enum { OBS_CTL_OK = 0, OBS_CTL_FAILED = 1, OBS_CTL_USAGE = 2 };

#endif
