// A parser by operator precedence over JMESPath's tokens.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/agent/plans/expression.h"
#include "services/agent/plans/expression_node.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using Node = ExpressionNode;
using Kind = ExpressionNode::Kind;

constexpr std::array<FunctionShape, 26> kFunctions = {{
    {.name = "abs"},
    {.name = "avg"},
    {.name = "ceil"},
    {.name = "contains", .min_arguments = 2, .max_arguments = 2},
    {.name = "ends_with", .min_arguments = 2, .max_arguments = 2},
    {.name = "floor"},
    {.name = "join", .min_arguments = 2, .max_arguments = 2},
    {.name = "keys"},
    {.name = "length"},
    {.name = "map", .min_arguments = 2, .max_arguments = 2, .reference = 0},
    {.name = "max"},
    {.name = "max_by", .min_arguments = 2, .max_arguments = 2, .reference = 1},
    {.name = "merge", .min_arguments = 1, .max_arguments = -1},
    {.name = "min"},
    {.name = "min_by", .min_arguments = 2, .max_arguments = 2, .reference = 1},
    {.name = "not_null", .min_arguments = 1, .max_arguments = -1},
    {.name = "reverse"},
    {.name = "sort"},
    {.name = "sort_by", .min_arguments = 2, .max_arguments = 2, .reference = 1},
    {.name = "starts_with", .min_arguments = 2, .max_arguments = 2},
    {.name = "sum"},
    {.name = "to_array"},
    {.name = "to_number"},
    {.name = "to_string"},
    {.name = "type"},
    {.name = "values"},
}};

enum class T {
  kEnd,
  kName,
  kQuoted,
  kLiteral,
  kNumber,
  kDot,
  kStar,
  kFlatten,  // []
  kFilter,   // [?
  kLeftBracket,
  kRightBracket,
  kLeftBrace,
  kRightBrace,
  kLeftParen,
  kRightParen,
  kComma,
  kColon,
  kCurrent,
  kAmpersand,
  kPipe,
  kOr,
  kAnd,
  kNot,
  kComparator
};

struct Token {
  T type = T::kEnd;
  size_t at = 0;
  std::string text;
  nlohmann::json literal;
};

// How strongly a token binds what stands left of it.
int Binding(T type) {
  switch (type) {
    case T::kPipe:
      return 1;
    case T::kOr:
      return 2;
    case T::kAnd:
      return 3;
    case T::kComparator:
      return 5;
    case T::kFlatten:
      return 9;
    case T::kStar:
      return 20;
    case T::kFilter:
      return 21;
    case T::kDot:
      return 40;
    case T::kLeftBrace:
      return 50;
    case T::kLeftBracket:
      return 55;
    case T::kLeftParen:
      return 60;
    default:
      return 0;
  }
}
// Tokens that bind less end a projection.
constexpr int kProjectionStop = 10;
// What `!` negates ends before comparisons: !a.b == c is (!(a.b)) == c.
constexpr int kNegated = 6;

absl::Status Bad(size_t at, std::string_view what) {
  return ExpressionError(absl::StatusCode::kInvalidArgument, "EXPRESSION_INVALID",
                         absl::StrCat(what, " (at byte ", at, ")"));
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Token>> Run() {
    std::vector<Token> tokens;
    while (true) {
      while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) {
        ++at_;
      }
      ASSIGN_OR_RETURN(Token token, Next());
      const bool end = token.type == T::kEnd;
      tokens.push_back(std::move(token));
      if (end) {
        return tokens;
      }
    }
  }

 private:
  bool Follows(char c) const { return at_ + 1 < text_.size() && text_[at_ + 1] == c; }

  Token Take(T type, size_t length) {
    Token token{.type = type, .at = at_, .text = std::string(text_.substr(at_, length)), .literal = nullptr};
    at_ += length;
    return token;
  }

  absl::StatusOr<Token> Next() {
    if (at_ >= text_.size()) {
      return Token{.type = T::kEnd, .at = at_, .text = "", .literal = nullptr};
    }
    const char c = text_[at_];
    if (absl::ascii_isalpha(c) || c == '_') {
      size_t end = at_;
      while (end < text_.size() && (absl::ascii_isalnum(text_[end]) || text_[end] == '_')) {
        ++end;
      }
      return Take(T::kName, end - at_);
    }
    if (absl::ascii_isdigit(c) || c == '-') {
      size_t end = at_ + 1;
      while (end < text_.size() && absl::ascii_isdigit(text_[end])) {
        ++end;
      }
      if (end == at_ + 1 && c == '-') {
        return Bad(at_, "'-' without a digit");
      }
      return Take(T::kNumber, end - at_);
    }
    switch (c) {
      case '.':
        return Take(T::kDot, 1);
      case '*':
        return Take(T::kStar, 1);
      case '[':
        return Follows(']') ? Take(T::kFlatten, 2) : Follows('?') ? Take(T::kFilter, 2) : Take(T::kLeftBracket, 1);
      case ']':
        return Take(T::kRightBracket, 1);
      case '{':
        return Take(T::kLeftBrace, 1);
      case '}':
        return Take(T::kRightBrace, 1);
      case '(':
        return Take(T::kLeftParen, 1);
      case ')':
        return Take(T::kRightParen, 1);
      case ',':
        return Take(T::kComma, 1);
      case ':':
        return Take(T::kColon, 1);
      case '@':
        return Take(T::kCurrent, 1);
      case '|':
        return Follows('|') ? Take(T::kOr, 2) : Take(T::kPipe, 1);
      case '&':
        return Follows('&') ? Take(T::kAnd, 2) : Take(T::kAmpersand, 1);
      case '<':
      case '>':
        return Take(T::kComparator, Follows('=') ? 2 : 1);
      case '!':
        return Follows('=') ? Take(T::kComparator, 2) : Take(T::kNot, 1);
      case '=':
        return Follows('=') ? absl::StatusOr<Token>(Take(T::kComparator, 2)) : Bad(at_, "'=' compares as '=='");
      case '"':
        return Quoted();
      case '\'':
        return Raw();
      case '`':
        return Literal();
      default:
        return Bad(at_, absl::StrCat("'", absl::CHexEscape(text_.substr(at_, 1)), "' has no meaning here"));
    }
  }

  // The end of what is quoted from here on, a backslash protecting any character; npos when there is none.
  size_t ClosingQuote() const {
    for (size_t end = at_ + 1; end < text_.size(); ++end) {
      if (text_[end] == '\\') {
        ++end;
      } else if (text_[end] == text_[at_]) {
        return end;
      }
    }
    return std::string_view::npos;
  }

  absl::StatusOr<Token> Quoted() {
    const size_t end = ClosingQuote();
    if (end == std::string_view::npos) {
      return Bad(at_, "a quoted name does not end");
    }
    nlohmann::json name = nlohmann::json::parse(text_.substr(at_, end + 1 - at_), nullptr, /*allow_exceptions=*/false);
    if (!name.is_string()) {
      return Bad(at_, "a quoted name is not a JSON string");
    }
    Token token = Take(T::kQuoted, end + 1 - at_);
    token.text = name.get<std::string>();
    return token;
  }

  absl::StatusOr<Token> Raw() {
    const size_t end = ClosingQuote();
    if (end == std::string_view::npos) {
      return Bad(at_, "a string does not end");
    }
    std::string text;
    for (size_t i = at_ + 1; i < end; ++i) {
      // Only the quote is escaped; a backslash before anything else is itself.
      if (text_[i] == '\\' && text_[i + 1] == '\'') {
        ++i;
      }
      text += text_[i];
    }
    Token token = Take(T::kLiteral, end + 1 - at_);
    token.literal = std::move(text);
    return token;
  }

  absl::StatusOr<Token> Literal() {
    const size_t end = ClosingQuote();
    if (end == std::string_view::npos) {
      return Bad(at_, "a literal does not end");
    }
    std::string text;
    for (size_t i = at_ + 1; i < end; ++i) {
      if (text_[i] == '\\' && text_[i + 1] == '`') {
        ++i;
      }
      text += text_[i];
    }
    nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded()) {
      return Bad(at_, "what stands between ` and ` is not JSON; a string is written 'so'");
    }
    Token token = Take(T::kLiteral, end + 1 - at_);
    token.literal = std::move(value);
    return token;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<Node> Run() {
    ASSIGN_OR_RETURN(Node node, Parse(0));
    if (Peek().type != T::kEnd) {
      return Unexpected();
    }
    return node;
  }

 private:
  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  Token Take() { return tokens_[next_ < tokens_.size() - 1 ? next_++ : next_]; }
  bool Accept(T type) {
    if (Peek().type != type) {
      return false;
    }
    Take();
    return true;
  }
  absl::Status Expect(T type, std::string_view what) {
    return Accept(type) ? absl::OkStatus() : Bad(Peek().at, absl::StrCat("here should stand ", what));
  }
  absl::Status Unexpected() const {
    const Token& token = Peek();
    return token.type == T::kEnd ? Bad(token.at, "the expression ends too early")
                                 : Bad(token.at, absl::StrCat("'", token.text, "' is not expected"));
  }

  absl::StatusOr<Node> Made(Node node) const {
    for (const Node& child : node.children) {
      node.depth = std::max(node.depth, child.depth + 1);
    }
    if (node.depth > Expression::kMaxDepth) {
      return Bad(Peek().at, absl::StrCat("it is nested more than ", Expression::kMaxDepth, " deep"));
    }
    return node;
  }
  absl::StatusOr<Node> Made(Kind kind, std::vector<Node> children) const {
    Node node;
    node.kind = kind;
    node.children = std::move(children);
    return Made(std::move(node));
  }

  absl::StatusOr<Node> Parse(int binding) {
    if (++nested_ > Expression::kMaxDepth) {
      return Bad(Peek().at, absl::StrCat("it is nested more than ", Expression::kMaxDepth, " deep"));
    }
    ASSIGN_OR_RETURN(Node left, Begin());
    while (binding < Binding(Peek().type)) {
      ASSIGN_OR_RETURN(left, GoOn(std::move(left)));
    }
    --nested_;
    return left;
  }

  absl::StatusOr<Node> Begin() {
    const size_t begin = next_;
    const Token token = Take();
    Node node;
    switch (token.type) {
      case T::kLiteral:
        node.kind = Kind::kLiteral;
        node.literal = token.literal;
        return node;
      case T::kName:
        if (Peek().type == T::kLeftParen) {
          return Function(token);
        }
        [[fallthrough]];
      case T::kQuoted:
        node.kind = Kind::kField;
        node.name = token.text;
        return node;
      case T::kCurrent:
        return node;
      case T::kStar: {
        ASSIGN_OR_RETURN(Node right, Projected(Binding(T::kStar)));
        return Made(Kind::kValueProjection, {Node(), std::move(right)});
      }
      case T::kNot: {
        ASSIGN_OR_RETURN(Node operand, Parse(kNegated));
        return Made(Kind::kNot, {std::move(operand)});
      }
      case T::kLeftParen: {
        ASSIGN_OR_RETURN(Node inner, Parse(0));
        RETURN_IF_ERROR(Expect(T::kRightParen, "')'"));
        return inner;
      }
      case T::kFlatten:
        return FlattenOf(Node());
      case T::kFilter:
        return FilterOf(Node());
      case T::kLeftBracket:
        if (StartsIndex()) {
          return IndexOf(Node());
        }
        return List();
      case T::kLeftBrace:
        return Hash();
      case T::kAmpersand:
        return Bad(token.at, "'&' is for arguments of functions");
      default:
        next_ = begin;
        return Unexpected();
    }
  }

  absl::StatusOr<Node> GoOn(Node left) {
    const size_t begin = next_;
    const Token token = Take();
    switch (token.type) {
      case T::kDot: {
        if (Accept(T::kStar)) {
          ASSIGN_OR_RETURN(Node right, Projected(Binding(T::kStar)));
          return Made(Kind::kValueProjection, {std::move(left), std::move(right)});
        }
        ASSIGN_OR_RETURN(Node right, AfterDot(Binding(T::kDot)));
        return Made(Kind::kThen, {std::move(left), std::move(right)});
      }
      case T::kPipe: {
        ASSIGN_OR_RETURN(Node right, Parse(Binding(T::kPipe)));
        return Made(Kind::kThen, {std::move(left), std::move(right)});
      }
      case T::kOr:
      case T::kAnd: {
        ASSIGN_OR_RETURN(Node right, Parse(Binding(token.type)));
        return Made(token.type == T::kOr ? Kind::kOr : Kind::kAnd, {std::move(left), std::move(right)});
      }
      case T::kComparator: {
        ASSIGN_OR_RETURN(Node right, Parse(Binding(T::kComparator)));
        Node node;
        node.kind = Kind::kComparison;
        node.name = token.text;
        node.children = {std::move(left), std::move(right)};
        return Made(std::move(node));
      }
      case T::kFlatten:
        return FlattenOf(std::move(left));
      case T::kFilter:
        return FilterOf(std::move(left));
      case T::kLeftBracket:
        if (StartsIndex()) {
          return IndexOf(std::move(left));
        }
        return Bad(token.at, "an index, a slice or '*' should follow; a list of expressions is written '.[...]'");
      default:
        next_ = begin;
        return Unexpected();
    }
  }

  // After '[': a number, a slice or `*]`.
  bool StartsIndex() const {
    return Peek().type == T::kNumber || Peek().type == T::kColon ||
           (Peek().type == T::kStar && Peek(1).type == T::kRightBracket);
  }

  absl::StatusOr<Node> IndexOf(Node left) {
    if (Accept(T::kStar)) {
      RETURN_IF_ERROR(Expect(T::kRightBracket, "']'"));
      ASSIGN_OR_RETURN(Node right, Projected(Binding(T::kStar)));
      return Made(Kind::kProjection, {std::move(left), std::move(right)});
    }
    std::array<std::optional<int64_t>, 3> parts;
    size_t part = 0;
    while (Peek().type != T::kRightBracket) {
      const Token token = Take();
      int64_t number = 0;
      if (token.type == T::kColon && part < 2) {
        ++part;
      } else if (token.type == T::kNumber && !parts[part].has_value() && absl::SimpleAtoi(token.text, &number)) {
        parts[part] = number;
      } else {
        return Bad(token.at, "this is neither an index nor a slice start:stop:step");
      }
    }
    const size_t end = Take().at;
    Node node;
    node.start = parts[0];
    node.stop = parts[1];
    node.step = parts[2];
    node.children.push_back(std::move(left));
    if (part == 0) {
      node.kind = Kind::kIndex;
      return Made(std::move(node));
    }
    if (node.step == 0) {
      return Bad(end, "the step of a slice is not 0");
    }
    node.kind = Kind::kSlice;
    ASSIGN_OR_RETURN(Node slice, Made(std::move(node)));
    ASSIGN_OR_RETURN(Node right, Projected(Binding(T::kStar)));
    return Made(Kind::kProjection, {std::move(slice), std::move(right)});
  }

  absl::StatusOr<Node> FlattenOf(Node left) {
    ASSIGN_OR_RETURN(Node flat, Made(Kind::kFlatten, {std::move(left)}));
    ASSIGN_OR_RETURN(Node right, Projected(Binding(T::kFlatten)));
    return Made(Kind::kProjection, {std::move(flat), std::move(right)});
  }

  absl::StatusOr<Node> FilterOf(Node left) {
    ASSIGN_OR_RETURN(Node condition, Parse(0));
    RETURN_IF_ERROR(Expect(T::kRightBracket, "']'"));
    Node right;
    if (Peek().type != T::kFlatten) {
      ASSIGN_OR_RETURN(right, Projected(Binding(T::kFilter)));
    }
    return Made(Kind::kFilterProjection, {std::move(left), std::move(right), std::move(condition)});
  }

  // What is evaluated on each element of a projection.
  absl::StatusOr<Node> Projected(int binding) {
    if (Binding(Peek().type) < kProjectionStop) {
      return Node();
    }
    if (Peek().type == T::kLeftBracket || Peek().type == T::kFilter) {
      return Parse(binding);
    }
    RETURN_IF_ERROR(Expect(T::kDot, "'.'"));
    return AfterDot(binding);
  }

  absl::StatusOr<Node> AfterDot(int binding) {
    switch (Peek().type) {
      case T::kName:
      case T::kQuoted:
      case T::kStar:
        return Parse(binding);
      case T::kLeftBracket:
        Take();
        return List();
      case T::kLeftBrace:
        Take();
        return Hash();
      default:
        return Bad(Peek().at, "after '.' should stand a name, '*', '[' or '{'");
    }
  }

  absl::StatusOr<Node> List() {
    Node node;
    node.kind = Kind::kList;
    do {
      ASSIGN_OR_RETURN(Node element, Parse(0));
      node.children.push_back(std::move(element));
    } while (Accept(T::kComma));
    RETURN_IF_ERROR(Expect(T::kRightBracket, "',' or ']'"));
    return Made(std::move(node));
  }

  absl::StatusOr<Node> Hash() {
    Node node;
    node.kind = Kind::kHash;
    do {
      if (Peek().type != T::kName && Peek().type != T::kQuoted) {
        return Bad(Peek().at, "here should stand the name of a member");
      }
      node.keys.push_back(Take().text);
      RETURN_IF_ERROR(Expect(T::kColon, "':'"));
      ASSIGN_OR_RETURN(Node value, Parse(0));
      node.children.push_back(std::move(value));
    } while (Accept(T::kComma));
    RETURN_IF_ERROR(Expect(T::kRightBrace, "',' or '}'"));
    return Made(std::move(node));
  }

  absl::StatusOr<Node> Function(const Token& name) {
    const FunctionShape* shape = FindFunction(name.text);
    if (shape == nullptr) {
      return Bad(name.at, absl::StrCat("there is no function '", name.text, "'"));
    }
    Take();
    Node node;
    node.kind = Kind::kFunction;
    node.name = name.text;
    if (!Accept(T::kRightParen)) {
      do {
        const Token& first = Peek();
        const bool wanted = static_cast<int>(node.children.size()) == shape->reference;
        if ((first.type == T::kAmpersand) != wanted) {
          return Bad(first.at, wanted ? absl::StrCat(name.text, " takes an expression here, as &name")
                                      : std::string("this argument is a value, not an expression '&'"));
        }
        if (wanted) {
          Take();
        }
        ASSIGN_OR_RETURN(Node argument, Parse(0));
        if (wanted) {
          ASSIGN_OR_RETURN(argument, Made(Kind::kReference, {std::move(argument)}));
        }
        node.children.push_back(std::move(argument));
      } while (Accept(T::kComma));
      RETURN_IF_ERROR(Expect(T::kRightParen, "',' or ')'"));
    }
    const int count = static_cast<int>(node.children.size());
    if (count < shape->min_arguments || (shape->max_arguments >= 0 && count > shape->max_arguments)) {
      return Bad(name.at, absl::StrCat(name.text, " takes ", shape->max_arguments < 0 ? "at least " : "",
                                       shape->min_arguments, " arguments, not ", count));
    }
    return Made(std::move(node));
  }

  const std::vector<Token> tokens_;
  size_t next_ = 0;
  int nested_ = 0;
};

}  // namespace

const FunctionShape* FindFunction(std::string_view name) {
  const auto found = std::ranges::find(kFunctions, name, &FunctionShape::name);
  return found == kFunctions.end() ? nullptr : &*found;
}

absl::Status ExpressionError(absl::StatusCode code, std::string_view reason, std::string_view message) {
  return MakeError(code, message, {.domain = "bulkhead.agent", .reason = std::string(reason)});
}

absl::StatusOr<ExpressionNode> ParseExpression(std::string_view text) {
  if (text.size() > Expression::kMaxBytes) {
    return Bad(Expression::kMaxBytes, absl::StrCat("it is longer than ", Expression::kMaxBytes, " bytes"));
  }
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Lexer(text).Run());
  return Parser(std::move(tokens)).Run();
}

}  // namespace bulkhead::agent
