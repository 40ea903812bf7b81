// Which requirements a test proves.
#ifndef TESTING_BASE_REQUIREMENTS_H_
#define TESTING_BASE_REQUIREMENTS_H_

#include <initializer_list>
#include <string_view>

namespace bulkhead::testing {

// Records the ids ("TD-7", "AU-5") with the result of the running test, for the report tool. Once a test, in its first
// line.
void Covers(std::initializer_list<std::string_view> requirements);

}  // namespace bulkhead::testing

#endif  // TESTING_BASE_REQUIREMENTS_H_
