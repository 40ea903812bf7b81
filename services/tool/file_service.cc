#include "services/tool/file_service.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "services/common/identity/user_context.h"
#include "services/common/paging/page_token.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::tool {
namespace {

constexpr size_t kMaxPieceBytes = 1 << 20;

// The path in "users/{user}/files/{path}" of the caller.
absl::StatusOr<std::string> ParseFileName(const UserContext& user, std::string_view name) {
  std::string_view rest = name;
  if (absl::ConsumePrefix(&rest, absl::StrCat(user.user_name(), "/files/"))) {
    RETURN_IF_ERROR(ValidateFilePath(rest));
    return std::string(rest);
  }
  // Another user's file is as good as none.
  if (name.starts_with("users/") && name.find("/files/") != std::string_view::npos) {
    return MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("'", name, "' does not exist"),
        {.domain = "bulkhead.tool", .reason = "FILE_NOT_FOUND", .metadata = {{"file", std::string(name)}}});
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("'", name, "' is not of the form users/{user}/files/{path}"),
      {.domain = "bulkhead.tool", .reason = "FILE_PATH_INVALID", .metadata = {{"file", std::string(name)}}});
}

v1::File ToProto(const UserContext& user, const FileInfo& info) {
  v1::File file;
  file.set_name(absl::StrCat(user.user_name(), "/files/", info.path));
  file.set_size_bytes(info.size);
  file.set_media_type(info.media_type);
  const timespec time = absl::ToTimespec(info.update_time);
  file.mutable_update_time()->set_seconds(time.tv_sec);
  file.mutable_update_time()->set_nanos(static_cast<int32_t>(time.tv_nsec));
  return file;
}

// The methods, as functions that do file I/O.

absl::StatusOr<v1::File> GetFile(const UserContext& user, Workspace& workspace, const v1::GetFileRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, ParseFileName(user, request.name()));
  ASSIGN_OR_RETURN(const FileInfo info, workspace.Stat(path));
  return ToProto(user, info);
}

absl::StatusOr<v1::ListFilesResponse> ListFiles(const UserContext& user, Workspace& workspace,
                                                const v1::ListFilesRequest& request) {
  const std::string list = absl::StrCat("files\n", user.user(), "\n", request.prefix());
  ASSIGN_OR_RETURN(const std::string after, DecodePageToken(list, request.page_token()));
  ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  const auto size = static_cast<size_t>(page_size);
  // One more, to know whether there is another page.
  ASSIGN_OR_RETURN(const std::vector<FileInfo> files, workspace.List(request.prefix(), after, size + 1));
  v1::ListFilesResponse response;
  for (size_t i = 0; i < std::min(size, files.size()); ++i) {
    *response.add_files() = ToProto(user, files[i]);
  }
  if (files.size() > size) {
    response.set_next_page_token(EncodePageToken(list, files[size - 1].path));
  }
  return response;
}

absl::StatusOr<v1::UploadFileResponse> UploadFile(const UserContext& user, Workspace& workspace,
                                                  const v1::UploadFileRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, ParseFileName(user, request.name()));
  if (request.data().size() > kMaxPieceBytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("a piece has at most ", kMaxPieceBytes, " bytes"),
                     {.domain = "bulkhead.tool", .reason = "UPLOAD_PIECE_TOO_LARGE"});
  }
  ASSIGN_OR_RETURN(const Workspace::UploadState state,
                   workspace.Upload({.path = path,
                                     .upload_id = request.upload_id(),
                                     .offset = request.offset(),
                                     .data = request.data(),
                                     .finish = request.finish(),
                                     .keep = request.has_keep() ? FromDuration(request.keep()) : kUploadKeep}));
  v1::UploadFileResponse response;
  response.set_received_bytes(state.received);
  if (state.file.has_value()) {
    *response.mutable_file() = ToProto(user, *state.file);
  }
  return response;
}

absl::StatusOr<google::protobuf::Empty> DiscardUpload(const UserContext&, Workspace& workspace,
                                                      const v1::DiscardUploadRequest& request) {
  RETURN_IF_ERROR(workspace.DiscardUpload(request.upload_id()));
  return google::protobuf::Empty();
}

absl::StatusOr<google::protobuf::Empty> DeleteFile(const UserContext& user, Workspace& workspace,
                                                   const v1::DeleteFileRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, ParseFileName(user, request.name()));
  RETURN_IF_ERROR(workspace.Delete(path));
  return google::protobuf::Empty();
}

class FileServiceImpl final : public rpc::Service {
 public:
  FileServiceImpl(const rpc::ServerDependencies& calls, Workspaces* workspaces, BlockingPool* blocking)
      : Service("bulkhead.tool.v1.FileService", calls), workspaces_(workspaces), blocking_(blocking) {
    UnaryBlocking("GetFile", &GetFile);
    UnaryBlocking("ListFiles", &ListFiles);
    UnaryBlocking("UploadFile", &UploadFile);
    UnaryBlocking("DiscardUpload", &DiscardUpload);
    UnaryBlocking("DeleteFile", &DeleteFile);
    Stream("DownloadFile", &FileServiceImpl::DownloadFile);
  }

 private:
  // Serves a method by a function that does file I/O: it runs on the pool for what blocks.
  template <typename Request, typename Response>
  void UnaryBlocking(std::string_view method,
                     absl::StatusOr<Response> (*handle)(const UserContext&, Workspace&, const Request&)) {
    Unary<Request, Response>(method, [this, handle](const rpc::CallContext& call, const Request& request) {
      return RunBlocking(blocking_, [this, handle, user = *call.user, &request]() -> absl::StatusOr<Response> {
        ASSIGN_OR_RETURN(const std::shared_ptr<Workspace> workspace, workspaces_->For(user.user()));
        return handle(user, *workspace, request);
      });
    });
  }

  Awaitable<absl::Status> DownloadFile(const rpc::CallContext& call, const v1::DownloadFileRequest& request,
                                       rpc::StreamWriter<v1::DownloadFileResponse>& out) {
    CO_ASSIGN_OR_RETURN(const std::string path, ParseFileName(*call.user, request.name()));
    auto open = [this, user = call.user->user(), path]() -> absl::StatusOr<std::shared_ptr<OpenFile>> {
      ASSIGN_OR_RETURN(const std::shared_ptr<Workspace> workspace, workspaces_->For(user));
      ASSIGN_OR_RETURN(std::unique_ptr<OpenFile> file, workspace->Open(path));
      return std::shared_ptr<OpenFile>(std::move(file));
    };
    CO_ASSIGN_OR_RETURN(const std::shared_ptr<OpenFile> file, co_await RunBlocking(blocking_, std::move(open)));
    for (uint64_t offset = 0; offset < file->info().size;) {
      auto read = [file, offset]() -> absl::StatusOr<std::string> {
        std::string data(static_cast<size_t>(std::min<uint64_t>(kMaxPieceBytes, file->info().size - offset)), '\0');
        ASSIGN_OR_RETURN(const size_t count, file->ReadAt(offset, absl::MakeSpan(data.data(), data.size())));
        data.resize(count);
        return data;
      };
      CO_ASSIGN_OR_RETURN(std::string data, co_await RunBlocking(blocking_, std::move(read)));
      if (data.empty()) {
        break;
      }
      offset += data.size();
      v1::DownloadFileResponse response;
      response.set_data(std::move(data));
      if (!co_await out.Write(std::move(response))) {
        break;  // Nobody listens any more.
      }
    }
    co_return absl::OkStatus();
  }

  Workspaces* const workspaces_;
  BlockingPool* const blocking_;
};

}  // namespace

std::unique_ptr<grpc::Service> CreateFileService(rpc::ServerDependencies calls, Workspaces* workspaces,
                                                 BlockingPool* blocking) {
  return std::make_unique<FileServiceImpl>(calls, workspaces, blocking);
}

}  // namespace bulkhead::tool
