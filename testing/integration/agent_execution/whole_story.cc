#include "testing/integration/agent_execution/whole_story.h"

#include <map>
#include <set>
#include <vector>

#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "testing/base/matchers.h"

namespace bulkhead::testing {

using ::testing::IsEmpty;

void ExpectWholeStory(User& user, const std::string& run) {
  ASSERT_OK_AND_ASSIGN(std::vector<notifier::v1::Event> events, user.EventsOf(run));
  std::set<std::string> ids;
  std::map<int, int> open;
  int terminal = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const notifier::v1::Event& event = events[i];
    EXPECT_EQ(event.sequence(), i + 1);
    EXPECT_EQ(event.user(), user.name());
    EXPECT_TRUE(ids.insert(event.event_id()).second) << event.event_id();
    open[event.tool_executing().step()] += event.has_tool_executing();
    open[event.tool_completed().step()] -= event.has_tool_completed();
    terminal += event.has_agent_completed() || event.has_agent_failed() || event.has_agent_cancelled();
  }
  for (const auto& [step, count] : open) {
    EXPECT_EQ(count, 0) << "step " << step;
  }
  EXPECT_EQ(terminal, 1);
  ASSERT_THAT(events, ::testing::Not(IsEmpty()));
  EXPECT_TRUE(events.back().has_agent_completed() || events.back().has_agent_failed() ||
              events.back().has_agent_cancelled());
}

}  // namespace bulkhead::testing
