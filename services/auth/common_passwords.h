// What is known about bad passwords without a list of millions.
#ifndef SERVICES_AUTH_COMMON_PASSWORDS_H_
#define SERVICES_AUTH_COMMON_PASSWORDS_H_

#include <string_view>

namespace bulkhead::auth {

// One of the most common passwords; also with a year, digits or signs around it, in other case, with digits for letters
// ("P@ssw0rd2024!"), or said twice.
bool IsCommonPassword(std::string_view password);

// A few characters over and over, or a run along the alphabet, the digits or a keyboard, forwards or backwards.
bool IsPattern(std::string_view password);

// `word` in any case, with digits for letters, once or over and over, with hardly anything before or after it. Never
// around a word of less than 3 characters.
bool IsAroundWord(std::string_view password, std::string_view word);

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_COMMON_PASSWORDS_H_
