// What every run's events must tell.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_WHOLE_STORY_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_WHOLE_STORY_H_

#include <string>

#include "testing/harness/user.h"

namespace bulkhead::testing {

// What must hold for the events of every run that has ended: numbered without a gap, ids of their
// own, each tool call begun is completed, and one terminal event, the last.
void ExpectWholeStory(User& user, const std::string& run);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_WHOLE_STORY_H_
