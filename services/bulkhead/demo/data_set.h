// The table that `bulkhead demo` analyses; README.md beside this file tells where it comes from.
#ifndef SERVICES_BULKHEAD_DEMO_DATA_SET_H_
#define SERVICES_BULKHEAD_DEMO_DATA_SET_H_

#include <string_view>

namespace bulkhead::demo {

// As a file of the workspace.
inline constexpr std::string_view kDataSetName = "birdstrikes.csv";

// 10,000 rows of CSV with a header, valid for the life of the process.
std::string_view DataSet();

}  // namespace bulkhead::demo

#endif  // SERVICES_BULKHEAD_DEMO_DATA_SET_H_
