#include "services/auth/common_passwords.h"

#include <cstddef>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace bulkhead::auth {
namespace {

// The heads of the published counts of leaked passwords, as far as no rule below finds them: the 100,000 most used of "Have I
// Been Pwned" (published with the United Kingdom's National Cyber Security Centre, 2019), SplashData's yearly "worst
// passwords" (2011 to 2019), NordPass's "most common passwords" (2019 to 2024). Facts, in no order of theirs. Kept without
// digits and signs around a word, which IsCommonPassword takes off.
constexpr std::string_view kCommon[] = {
    // Words about passwords and accounts.
    "password",
    "passwort",
    "passwd",
    "pass",
    "motdepasse",
    "contrasena",
    "senha",
    "parola",
    "wachtwoord",
    "haslo",
    "admin",
    "administrator",
    "root",
    "toor",
    "user",
    "guest",
    "test",
    "testing",
    "tester",
    "login",
    "letmein",
    "welcome",
    "willkommen",
    "bienvenue",
    "bienvenido",
    "changeme",
    "secret",
    "default",
    "master",
    "access",
    "account",
    "system",
    "server",
    "temp",
    "temporary",
    "qwertz",
    "azerty",
    "qwerty",
    "hello",
    "hallo",
    "bonjour",
    "unknown",
    "nopassword",
    "mypassword",
    "newpassword",
    "thepassword",
    "yourpassword",
    "password is password",
    "opensesame",
    "trustno",
    "whatever",
    "superman",
    "batman",
    "starwars",
    "pokemon",
    "minecraft",
    "computer",
    "internet",
    "google",
    "facebook",
    "samsung",
    "android",
    "microsoft",
    "windows",
    "apple",
    "iphone",
    "nintendo",
    "playstation",
    "cisco",
    "oracle",
    "linux",
    "ubuntu",
    "debian",
    "docker",
    "company",
    "office",
    "backup",
    "bulkhead",
    // People and endearments.
    "iloveyou",
    "iloveu",
    "loveyou",
    "lovely",
    "love",
    "loveme",
    "iloveme",
    "princess",
    "princesa",
    "prince",
    "queen",
    "king",
    "angel",
    "angels",
    "baby",
    "babygirl",
    "babyboy",
    "sweety",
    "sweetheart",
    "honey",
    "darling",
    "michael",
    "jennifer",
    "jessica",
    "ashley",
    "daniel",
    "charlie",
    "thomas",
    "jordan",
    "robert",
    "matthew",
    "andrew",
    "joshua",
    "george",
    "michelle",
    "nicole",
    "hannah",
    "amanda",
    "anthony",
    "william",
    "samantha",
    "elizabeth",
    "alexander",
    "christian",
    "jonathan",
    "patrick",
    "richard",
    "victoria",
    "veronica",
    "stephanie",
    "maria",
    "carlos",
    "sebastian",
    "hunter",
    "buster",
    "maggie",
    "ginger",
    "pepper",
    "bailey",
    "tigger",
    "jesus",
    "jesuschrist",
    "blessed",
    "family",
    "friend",
    "friends",
    "forever",
    "foreverlove",
    "mother",
    "father",
    "sister",
    "brother",
    "daddy",
    "mommy",
    // Animals, things, seasons, games.
    "dragon",
    "monkey",
    "tiger",
    "panther",
    "eagle",
    "butterfly",
    "dolphin",
    "mustang",
    "ferrari",
    "porsche",
    "mercedes",
    "corvette",
    "harley",
    "yamaha",
    "football",
    "baseball",
    "basketball",
    "soccer",
    "hockey",
    "liverpool",
    "arsenal",
    "chelsea",
    "barcelona",
    "realmadrid",
    "juventus",
    "manchester",
    "yankees",
    "cowboys",
    "steelers",
    "lakers",
    "sunshine",
    "sunflower",
    "flower",
    "flowers",
    "rainbow",
    "chocolate",
    "cookie",
    "cheese",
    "banana",
    "orange",
    "summer",
    "winter",
    "spring",
    "autumn",
    "january",
    "february",
    "march",
    "april",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "friday",
    "sunday",
    "christmas",
    "london",
    "america",
    "canada",
    "england",
    "deutschland",
    "scotland",
    "shadow",
    "killer",
    "ninja",
    "samurai",
    "pirate",
    "matrix",
    "phoenix",
    "thunder",
    "lightning",
    "diamond",
    "silver",
    "golden",
    "freedom",
    "liberty",
    "destiny",
    "nothing",
    "something",
    "anything",
    "blink",
    "metallica",
    "slipknot",
    "nirvana",
    "eminem",
    "rockstar",
    "music",
    "guitar",
    "superstar",
    "hello kitty",
    "hellokitty",
    "snoopy",
    "garfield",
    "spiderman",
    "ironman",
    "naruto",
    "pikachu",
    "fuckyou",
    "monster",
    "money",
    "fortnite",
    "counterstrike",
    "callofduty",
    "warcraft",
    "worldofwarcraft",
    "gaming",
    "gamer",
    "player",
    // Paths over a keyboard, which have digits inside.
    "1q2w3e",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u8i",
    "q1w2e3",
    "q1w2e3r4",
    "q1w2e3r4t5",
    "q1w2e3r4t5y6",
    "1qaz2wsx",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "2wsx3edc",
    "qazwsx",
    "qazwsxedc",
    "qazwsxedcrfv",
    "qazwsxedcrfvtgb",
    "zaq12wsx",
    "zaq1xsw2",
    "zaq1xsw2cde3",
    "1qazxsw2",
    "qweasd",
    "qweasdzxc",
    "qwe123qwe123",
    "asd123asd123",
    "qweqweqwe",
    "123qweasdzxc",
    "123qweasd",
    "1a2b3c4d5e6f",
    "1a2b3c4d",
    "a1b2c3d4e5",
    "a1b2c3d4e5f6",
    "a1b2c3d4",
    "1234qwerasdf",
    "qwer1234asdf",
    "asdfqwer1234",
    "qwerasdf",
    "qwerasdfzxcv",
    "1234qwerasdfzxcv",
    "147258369",
    "147258369147",
    "741852963",
    "789456123",
    "159357",
    "159753",
    "abc123abc123",
    "abcd1234abcd1234",
    "correct horse battery staple",
    "correcthorsebatterystaple",
    "thequickbrownfox",
    "the quick brown fox",
    "tobeornottobe",
    "maytheforcebewithyou",
    "letmeinplease",
    "ihateyou",
    "idontknow",
    "iforgot",
    "ilovemyself",
    "ilovejesus",
    "ilovegod",
    "godisgood",
    "jesusislord",
    "jesuslovesme",
    "onetwothree",
    "onetwothreefour",
};

// What may stand around a word without making it another.
constexpr size_t kMaxAround = 6;
constexpr size_t kMinWord = 3;
constexpr size_t kMaxUnit = 6;
constexpr size_t kMinRepeats = 2;

bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

// Digits and signs that stand for letters.
std::string Unmasked(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    switch (c) {
      case '0':
        c = 'o';
        break;
      case '1':
      case '!':
        c = 'i';
        break;
      case '3':
        c = 'e';
        break;
      case '4':
      case '@':
        c = 'a';
        break;
      case '5':
      case '$':
        c = 's';
        break;
      case '7':
        c = 't';
        break;
      default:
        break;
    }
  }
  return plain;
}

// `text` without what is no letter at its ends.
std::string_view Inner(std::string_view text) {
  while (!text.empty() && !IsLetter(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && !IsLetter(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

// The shortest text that `text` is whole repetitions of, the last perhaps cut off.
size_t UnitOf(std::string_view text) {
  for (size_t unit = 1; unit < text.size(); ++unit) {
    if (text.substr(unit) == text.substr(0, text.size() - unit)) {
      return unit;
    }
  }
  return text.size();
}

bool IsRunAlong(std::string_view text, std::string_view path) {
  const std::string backwards(path.rbegin(), path.rend());
  return absl::StrContains(path, text) || absl::StrContains(backwards, text);
}

bool IsCommonWord(std::string_view word) {
  return absl::c_linear_search(kCommon, word) || absl::c_linear_search(kCommon, Unmasked(word));
}

// Whether what stands around a word leaves the whole as easy to guess.
bool IsLittle(std::string_view around) { return around.size() <= kMaxAround || IsPattern(around); }

// The inner part of `lower` is on the list, said once or more, with little around it.
bool IsCommonAround(std::string_view lower) {
  const std::string_view inner = Inner(lower);
  const size_t before = static_cast<size_t>(inner.data() - lower.data());
  if (inner.size() < kMinWord || !IsLittle(lower.substr(0, before)) || !IsLittle(lower.substr(before + inner.size()))) {
    return false;
  }
  // "qwertyuiop1234"; and "letmein!letmein" is "letmein!" over and over.
  return (inner.size() > kMaxAround && IsPattern(inner)) || IsCommonWord(inner) ||
         IsCommonWord(Inner(inner.substr(0, UnitOf(inner))));
}

}  // namespace

bool IsCommonPassword(std::string_view password) {
  const std::string lower = absl::AsciiStrToLower(password);
  const std::string_view text = lower;
  if (IsCommonWord(text) || IsCommonAround(text)) {
    return true;
  }
  // "1q2w3e4r!!", "passw0rd1": digits at the end may belong to the word.
  for (size_t around = 1; around <= kMaxAround && around < text.size(); ++around) {
    if (IsLetter(text[text.size() - around])) {
      break;
    }
    if (IsCommonWord(text.substr(0, text.size() - around))) {
      return true;
    }
  }
  return false;
}

bool IsPattern(std::string_view password) {
  if (password.empty()) {
    return false;
  }
  const std::string lower = absl::AsciiStrToLower(password);
  const size_t unit = UnitOf(lower);
  if (unit <= kMaxUnit && lower.size() >= unit * kMinRepeats) {
    return true;
  }
  static constexpr std::string_view kPaths[] = {"0123456789012345678901234567890123456789",
                                                "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
                                                "1234567890qwertyuiop[]asdfghjkl;'zxcvbnm,./",
                                                "qwertyuiopasdfghjklzxcvbnm1234567890",
                                                "qwertzuiopasdfghjklyxcvbnm",
                                                "azertyuiopqsdfghjklmwxcvbn",
                                                "!@#$%^&*()_+"};
  return absl::c_any_of(kPaths, [&lower](std::string_view path) { return IsRunAlong(lower, path); });
}

bool IsAroundWord(std::string_view password, std::string_view word) {
  if (word.size() < kMinWord) {
    return false;
  }
  std::string lower = absl::AsciiStrToLower(password);
  const std::string wanted = absl::AsciiStrToLower(word);
  for (const std::string& text : {lower, Unmasked(lower)}) {
    // What is left when the word is taken out wherever it stands.
    size_t rest = 0;
    bool found = false;
    for (size_t i = 0; i < text.size();) {
      if (text.compare(i, wanted.size(), wanted) == 0) {
        i += wanted.size();
        found = true;
      } else {
        ++rest;
        ++i;
      }
    }
    if (found && rest <= kMaxAround && rest < text.size() - rest) {
      return true;
    }
  }
  return false;
}

}  // namespace bulkhead::auth
