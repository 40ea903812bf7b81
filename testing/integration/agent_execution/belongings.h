// What each of several users has, by name, so that the others can try to get at it.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_BELONGINGS_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_BELONGINGS_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::testing {

// Thread-safe.
class Belongings {
 public:
  // `kind`: "run", "approval" or "thread".
  void Add(std::string_view kind, const std::string& user, const std::string& name);
  // The last of that kind of anybody but `user`; "" when there is none.
  std::string OfAnother(std::string_view kind, const std::string& user) const;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::map<std::string, std::string>, std::less<>> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_BELONGINGS_H_
