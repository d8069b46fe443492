#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool add_entry(struct im_options *options, enum im_entry_kind kind, const char *source, const char *target) {
  if (options->entry_count == IM_MAX_ENTRIES) return fail(0, "more than %d entries", IM_MAX_ENTRIES);
  if (target[0] != '/') return fail(0, "'%s' is not an absolute path", target);
  options->entries[options->entry_count++] = (struct im_entry){kind, source, target};
  return true;
}

static bool number(const char *text, unsigned *value) {
  char *end;
  errno = 0;
  unsigned long parsed = strtoul(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || parsed > 0x7fffffff) return fail(0, "'%s' is not a number", text);
  *value = (unsigned)parsed;
  return true;
}

static bool parse_mode(const char *text, enum im_mode *mode) {
  static const char *const names[] = {"auto", "root", "user", "bare"};
  for (int i = 0; i < 4; i++) {
    if (strcmp(text, names[i]) != 0) continue;
    *mode = (enum im_mode)i;
    return true;
  }
  return fail(0, "'%s' is not a mode: auto, root, user or bare", text);
}

static bool add_cgroup(struct im_options *options, const char *path) {
  if (options->cgroup_count == IM_MAX_CGROUPS) return fail(0, "more than %d cgroups", IM_MAX_CGROUPS);
  options->cgroups[options->cgroup_count++] = path;
  return true;
}

static bool add_setting(struct im_options *options, const char *file, const char *value) {
  if (options->setting_count == IM_MAX_CGROUPS * 2) return fail(0, "more than %d settings", IM_MAX_CGROUPS * 2);
  options->settings[options->setting_count++] = (struct im_setting){file, value};
  return true;
}

static bool set_freezer(struct im_options *options, const char *kind, const char *cgroup) {
  if (strcmp(kind, "v1") != 0 && strcmp(kind, "v2") != 0) return fail(0, "'%s' is not a freezer: v1 or v2", kind);
  options->freezer = kind[1] == '1' ? IM_FREEZER_V1 : IM_FREEZER_V2;
  options->freezer_cgroup = cgroup;
  return true;
}

static bool apply(struct im_options *options, const char *name, char **values) {
  unsigned value = 0;
  if (strcmp(name, "--mode") == 0) return parse_mode(values[0], &options->mode);
  if (strcmp(name, "--tmp") == 0) return options->tmp = values[0], true;
  if (strcmp(name, "--chdir") == 0) return options->directory = values[0], true;
  if (strcmp(name, "--network") == 0) return options->network = values[0], true;
  if (strcmp(name, "--users") == 0) return options->users = values[0], true;
  if (strcmp(name, "--dir") == 0) return add_entry(options, IM_ENTRY_DIRECTORY, NULL, values[0]);
  if (strcmp(name, "--bind-ro") == 0) return add_entry(options, IM_ENTRY_BIND, values[0], values[1]);
  if (strcmp(name, "--symlink") == 0) return add_entry(options, IM_ENTRY_SYMLINK, values[0], values[1]);
  if (strcmp(name, "--cgroup") == 0) return add_cgroup(options, values[0]);
  if (strcmp(name, "--cgroup-set") == 0) return add_setting(options, values[0], values[1]);
  if (strcmp(name, "--freezer") == 0) return set_freezer(options, values[0], values[1]);
  if (!number(values[0], &value)) return false;
  if (strcmp(name, "--uid") == 0) options->uid = (uid_t)value;
  if (strcmp(name, "--gid") == 0) options->gid = (gid_t)value;
  if (strcmp(name, "--keep") == 0) options->keep = (int)value;
  if (strcmp(name, "--control") == 0) options->control = (int)value;
  return true;
}

static int values_of(const char *name) {
  static const struct {
    const char *name;
    int values;
  } known[] = {{"--mode", 1},    {"--tmp", 1},     {"--chdir", 1},   {"--dir", 1},        {"--uid", 1},
               {"--gid", 1},     {"--control", 1}, {"--cgroup", 1},  {"--cgroup-set", 2}, {"--freezer", 2},
               {"--bind-ro", 2}, {"--symlink", 2}, {"--network", 1}, {"--users", 1},      {"--keep", 1}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(name, known[i].name) == 0) return known[i].values;
  }
  return 0;
}

bool options_parse(int argc, char **argv, struct im_options *options) {
  options->control = -1;
  options->uid = 993; /* Lambda's */
  options->gid = 990;
  options->directory = "/";
  int i = 1;
  while (i < argc && strcmp(argv[i], "--") != 0) {
    const char *name = argv[i++];
    if (strcmp(name, "--probe") == 0) {
      options->probe = true;
      continue;
    }
    if (strcmp(name, "--unlimited") == 0) {
      options->unlimited = true;
      continue;
    }
    int values = values_of(name);
    if (values == 0) return fail(0, "unknown option '%s'", name);
    if (i + values > argc) return fail(0, "'%s' needs %d values", name, values);
    if (!apply(options, name, argv + i)) return false;
    i += values;
  }
  options->command = i < argc ? argv + i + 1 : NULL;
  if (options->unlimited && options->mode != IM_MODE_BARE) return fail(0, "'--unlimited' goes with '--mode bare'");
  bool given = options->command && options->command[0];
  if (!given && !options->probe) return fail(0, "no command after '--'");
  return true;
}
