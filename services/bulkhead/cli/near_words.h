// What somebody may have meant who mistyped a word.
#ifndef SERVICES_BULKHEAD_CLI_NEAR_WORDS_H_
#define SERVICES_BULKHEAD_CLI_NEAR_WORDS_H_

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::cli {

// Those of `words` that `typed` begins, or that a few slips of the hand turn into it: a letter left out, put in, wrong,
// or before its neighbour; one in three letters of `typed`, at least one. The nearest first, otherwise in their order.
// Neither CLI11 nor Abseil's public part has such a thing.
std::vector<std::string> NearWords(std::string_view typed, const std::vector<std::string>& words);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_NEAR_WORDS_H_
