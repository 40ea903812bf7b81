// The files that a test is given beside its program.
#ifndef TESTING_HARNESS_RUNFILE_H_
#define TESTING_HARNESS_RUNFILE_H_

#include <string>
#include <string_view>

namespace bulkhead::testing {

// A file by its repository ("bulkhead", "npm") and its place in there.
std::string Runfile(std::string_view repository, std::string_view path);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_RUNFILE_H_
