// The threads that share out a kernel's tasks.
#pragma once

#include <cstdint>

namespace kcore {

// Tasks [first, end) of a kernel.
using RunTasks = void (*)(const void* kernel, std::int64_t first, std::int64_t end);

// Runs tasks [0, tasks), at least two, on the calling thread and up to `threads` - 1 others,
// neighbouring tasks on the same thread. Inside a task, or while another thread has the team, all
// on the calling one.
void run_on_team(int threads, std::int64_t tasks, RunTasks run, const void* kernel);

// Lets go of the threads if there are more, with their scratch memory: new ones come when they are
// needed. Waits for a kernel that they run.
void limit_team(int threads);

}  // namespace kcore
